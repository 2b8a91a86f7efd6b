// How well a calibrated profile foretells networks it has not seen, on this CPU: `npx tsx bench/latency/cpu-prediction.ts`.
// See bench/README.md.
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { DeviceProfile } from '../../accelerators/device-profile.ts';
import { findProfile } from '../../accelerators/profile-file.ts';
import { openChild } from '../../core/child.ts';
import { Random } from '../../core/random.ts';
import { rankCorrelation } from '../../core/rank-correlation.ts';
import type { NetworkDraw } from '../../latency/calibrate.ts';
import { programOf, type Sighting, sightingsOf } from '../../latency/calibration.ts';
import { openObservations } from '../../latency/calibration-observations.ts';
import { fingerprint } from '../../latency/fingerprint.ts';
import { withHostLock } from '../../latency/host-lock.ts';
import { type KernelFeatures, programFeatures } from '../../latency/kernel-features.ts';
import type { ObservedTimes, ObserveTask } from '../../latency/observe-child.ts';
import { predictLatency } from '../../latency/predicted.ts';
import { type Protocol, protocols } from '../../latency/protocol.ts';
import { programLatency } from '../../latency/roofline.ts';
import { median } from '../../core/quantile.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import type { KernelProgram } from '../../models/kernels.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { drawNetwork, networkModel } from '../../study/evaluation/calibration-networks.ts';
import { fitForest } from './random-forest.ts';

const { values } = parseArgs({
  options: {
    /** Made by `ridgepoint calibrate` first where it does not exist. */
    profile: { type: 'string', default: 'cpu-profile.yaml' },
    budget: { type: 'string', default: '20m' },
    /** Networks of each family. */
    each: { type: 'string', default: '12' },
    seed: { type: 'string', default: 'bench' },
    json: { type: 'string' },
  },
});

if (!existsSync(values.profile)) {
  const command = ['cli/main.ts', 'calibrate', '--on', 'cpu', '--budget', values.budget, '-o', values.profile];
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', ...command], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** As published: calibration never draws these. */
const families: Readonly<Record<string, readonly string[]>> = {
  EfficientNet: ['efficientnet-b0', 'efficientnet-b1', 'efficientnet-b2', 'efficientnet-lite0', 'efficientnet-lite2'],
  EfficientNetV2: ['efficientnetv2-b0', 'efficientnetv2-b1', 'efficientnetv2-b2'],
  'EfficientNet-X': ['efficientnet-x-b0', 'efficientnet-x-b1', 'efficientnet-x-b2'],
  MobileNet: ['mobilenet-v2', 'mobilenet-v3-small', 'mobilenet-v3-large'],
  ResNet: ['resnet-18', 'resnet-34', 'resnet-50'],
  RegNet: ['regnet-x-400mf', 'regnet-x-800mf', 'regnet-y-400mf', 'regnet-y-800mf', 'regnet-x-1.6gf'],
};
const sides = [96, 128, 160, 192, 224, 256] as const;
const batches = [1, 1, 2, 4, 8] as const;
const maxMacs = 5e9;

interface Subject extends NetworkDraw {
  readonly family: string;
  readonly name: string;
}

const random = new Random(values.seed);
const each = Number(values.each);
const macsOf = (spec: NetworkSpec, batch: number) => countGraph(buildNetwork(spec, 1)).macs * batch;

function member(family: string, index: number): Subject {
  for (let attempt = 0; ; attempt++) {
    const stream = random.child(family, index, attempt);
    const names = families[family] ?? [];
    const name = names[index % names.length] as string;
    const spec = loadNetwork(name);
    const resized = { ...spec, input: { ...spec.input, resolution: stream.pick(sides) } };
    const batch = stream.pick(batches);
    if (macsOf(resized, batch) <= maxMacs) return { family, name, spec: resized, batch };
  }
}

const subjects: readonly Subject[] = [
  ...Object.keys(families).flatMap((family) => Array.from({ length: each }, (_, index) => member(family, index))),
  ...Array.from({ length: 2 * each }, (_, index) => ({
    family: 'random draws',
    name: `draw ${index}`,
    ...drawNetwork(random.child('draw', index)),
  })),
];
const order = [...random.child('order').permutation(subjects.length)].map((at) => subjects[at] as Subject);

const profile = await findProfile(values.profile);
const learned = profile.learned;
if (!learned) throw new Error(`expected a profile with a learned model, got ${values.profile}`);
const seed = profile.calibration?.seed ?? '0';
const drawn = { precision: learned.precision, space: 'built-in', threads: learned.threads, seed };
const header = { schema: 2 as const, ...drawn, fingerprint: fingerprint('cpu') };
const { observations } = await openObservations(`${values.profile}.observations.ndjson`, header);
const sightings = sightingsOf(observations, profile.fusion);
const usualMs = median(observations.map(({ referenceMs }) => referenceMs));
// A study of both blocks of a network: five sessions each, the second one after all networks had their first.
const protocol: Protocol = { ...protocols.quick, sessions: { ...protocols.quick.sessions, max: 5 } };

interface Measured extends Subject {
  readonly program: KernelProgram;
  readonly rounds: readonly ObservedTimes[];
}

const child = openChild<ObserveTask, ObservedTimes>({
  entry: new URL('../../latency/observe-child.ts', import.meta.url),
});
const rounds = new Map<Subject, ObservedTimes[]>();
for (const round of [1, 2])
  for (const [index, subject] of order.entries()) {
    const task = { model: networkModel(subject.spec), batch: subject.batch, threads: learned.threads, protocol };
    const times = await withHostLock('exclusive', async () => (await child.call({ ...task, profiles: false })).output);
    rounds.set(subject, [...(rounds.get(subject) ?? []), times]);
    if (index % 10 === 0) console.error(`round ${round}: ${index} of ${order.length}`);
  }
await child.close();
const measured = subjects.map((subject): Measured => ({
  ...subject,
  program: programOf(subject, profile.fusion),
  rounds: rounds.get(subject) ?? [],
}));

// Predictors. All learn from the same observations.
const analytic: DeviceProfile = { ...profile, learned: undefined };
const line = (of: (sighting: Pick<Sighting, 'program'> & NetworkDraw) => number) => {
  const points = sightings.map(({ program, observation, p50Ms }) => ({ x: of({ program, ...observation }), y: p50Ms }));
  // Least squares of relative errors: large networks are not all that counts.
  const [a, b] = relativeLine(points);
  return (subject: Measured) => a + b * of(subject);
};
function relativeLine(points: readonly { readonly x: number; readonly y: number }[]): readonly [number, number] {
  const sum = (of: (point: { readonly x: number; readonly y: number }) => number) =>
    points.reduce((total, point) => total + of(point), 0);
  const [w, wx, wxx] = [sum(({ y }) => 1 / y ** 2), sum(({ x, y }) => x / y ** 2), sum(({ x, y }) => (x / y) ** 2)];
  const [v, vx] = [sum(({ y }) => 1 / y), sum(({ x, y }) => x / y)];
  const determinant = w * wxx - wx * wx;
  return [(v * wxx - vx * wx) / determinant, (w * vx - wx * v) / determinant];
}
const count = ({ spec, batch }: NetworkDraw) => {
  const { macs, activations } = countGraph(buildNetwork(spec, 1));
  return { macs: macs * batch, activations: activations * batch };
};
const forests = fitForest(
  sightings.flatMap(({ kernels }) => kernels.map(({ features, ms }) => ({ features, ms }))),
  random.child('forest'),
);
const forestMs = (program: KernelProgram) =>
  programFeatures(program).reduce((sum, features: KernelFeatures) => sum + forests(features), 0);

const predictors: Readonly<Record<string, (subject: Measured) => number>> = {
  'learned (this)': ({ program }) => predictLatency(program, profile, 'fp32').latency.p50Ms,
  'random forest a kernel kind': ({ program }) => forestMs(program),
  'roofline of the same profile': ({ program }) => programLatency(program, analytic, 'fp32').ms,
  'multiply-adds, a line': line((subject) => count(subject).macs),
  'activations, a line': line((subject) => count(subject).activations),
};

/** Of both rounds, as measured and at the host's usual speed. */
const raw = ({ rounds: both }: Measured) => Math.sqrt(both.reduce((product, { p50Ms }) => product * p50Ms, 1));
const usual = ({ rounds: both }: Measured) =>
  Math.sqrt(both.reduce((product, { p50Ms, referenceMs }) => product * p50Ms * (usualMs / referenceMs), 1));
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const within = (errors: readonly number[]) => percent(errors.filter((error) => error <= 0.1).length / errors.length);
const errorsOf = (
  list: readonly Measured[],
  predict: (subject: Measured) => number,
  truth: (subject: Measured) => number,
) => list.map((subject) => Math.abs(predict(subject) / truth(subject) - 1));

function table(title: string, truth: (subject: Measured) => number): void {
  console.log(`\n${title}`);
  console.log('| predictor | within ±10 % | median error | rank |');
  console.log('|---|---|---|---|');
  for (const [name, predict] of Object.entries(predictors)) {
    const errors = errorsOf(measured, predict, truth);
    console.log(
      `| ${name} | ${within(errors)} | ${percent(median(errors))} | ${rankCorrelation(measured.map(predict), measured.map(truth)).toFixed(3)} |`,
    );
  }
}

table('as measured (geometric mean of two rounds)', raw);
table("at the host's usual speed, by the reference kernel", usual);

const ours = predictors['learned (this)'] as (subject: Measured) => number;
console.log(
  '\n| family | networks | within ±10 % | median error | median error, usual speed | second round within ±10 % of the first | in the 95 % interval |',
);
console.log('|---|---|---|---|---|---|---|');
const repeated = ({ rounds: both }: Measured) => Math.abs((both[1]?.p50Ms ?? 0) / (both[0]?.p50Ms ?? 1) - 1);
const isCovered = (subject: Measured) => {
  const { lo, hi } = predictLatency(subject.program, profile, 'fp32').latency.intervalMs;
  return raw(subject) >= lo && raw(subject) <= hi;
};
for (const family of [...new Set(measured.map((subject) => subject.family)), 'all']) {
  const own = measured.filter((subject) => family === 'all' || subject.family === family);
  const errors = errorsOf(own, ours, raw);
  console.log(
    `| ${family} | ${own.length} | ${within(errors)} | ${percent(median(errors))} | ${percent(median(errorsOf(own, ours, usual)))} | ${within(own.map(repeated))} | ${percent(own.filter(isCovered).length / own.length)} |`,
  );
}
const stable = measured.filter(({ rounds: both }) => both.every((times) => times.stable));
console.log(
  `\n${stable.length} of ${measured.length} networks stable in both rounds: ${stable.length > 0 ? `${within(errorsOf(stable, ours, raw))} of them within ±10 %` : 'none to judge by'}`,
);
if (values.json) {
  const rows = measured.map((subject) => ({
    family: subject.family,
    name: subject.name,
    batch: subject.batch,
    resolution: subject.spec.input.resolution,
    rounds: subject.rounds.map(({ p50Ms, referenceMs, stable: isStable }) => ({
      p50Ms,
      referenceMs,
      stable: isStable,
    })),
    predicted: Object.fromEntries(Object.entries(predictors).map(([name, predict]) => [name, predict(subject)])),
  }));
  writeFileSync(values.json, JSON.stringify({ schema: 1, profile: values.profile, rows }, null, 1));
}
