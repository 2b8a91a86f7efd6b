import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../../core/quantile.ts';
import { Random } from '../../core/random.ts';
import { openMeter } from '../../latency/isolate.ts';
import { candidateModel } from '../../latency/model-file.ts';
import { protocols } from '../../latency/protocol.ts';
import { chartFile } from '../../report/page.ts';
import { xyChart } from '../../report/xy-chart.ts';
import { runStudy } from '../../study/study.ts';
import { type Delivered, deliveredBy, type DeliveredMember, keep, kept } from './delivered.ts';
import { mean, pooledDeviation, speedUpAtEqualAccuracy } from './speed-up.ts';
import { headlineStudy, publishedRule, type Scale, type StudyName, studyNames } from './studies.ts';

// At equal accuracy, how much faster is a searched base scaled by measured latency than EfficientNet's own base and rule?
// See bench/README.md. Interrupted, the same command goes on; what a study delivered is kept beside this file.

const { values } = parseArgs({
  options: {
    /** Folder of CIFAR-10 records; not needed for what is kept. */
    data: { type: 'string' },
    /** Some of the studies; all by default. */
    only: { type: 'string' },
    runs: { type: 'string', default: 'runs' },
    examples: { type: 'string', default: '128000' },
    proxy: { type: 'string', default: '48000' },
    trials: { type: 'string', default: '60' },
    seeds: { type: 'string', default: '3' },
    /** Times that every network is measured, all of them in turn. */
    rounds: { type: 'string', default: '3' },
  },
});
const scale: Scale = {
  finalExamples: Number(values.examples),
  proxyExamples: Number(values.proxy),
  trials: Number(values.trials),
  seeds: Number(values.seeds),
};

/** A network of a line, with its latency measured together with all others. */
interface Member extends DeliveredMember {
  readonly latencyMs: number;
  /** Rounds whose latency was not stable. */
  readonly unstable: number;
}

function studiesAsked(only: string | undefined): readonly StudyName[] {
  if (only === undefined) return studyNames;
  return only.split(',').map((asked) => {
    const name = studyNames.find((each) => each === asked);
    if (!name) throw new Error(`--only: expected some of ${studyNames.join(', ')}, got ${asked}`);
    return name;
  });
}

async function runToEnd(name: StudyName): Promise<Delivered> {
  const say = (text: string): void => console.error(`${name}: ${text}`);
  const before = kept(name, scale);
  if (before) {
    say('as kept in delivered/; to run it again, remove the file');
    return before;
  }
  if (values.data === undefined) throw new Error('--data: expected a folder of CIFAR-10 records, got none');
  const config = headlineStudy(name, resolve(values.data), fileURLToPath(new URL('.', import.meta.url)), scale);
  let toldMs = 0;
  const summary = await runStudy(config, {
    folder: join(values.runs, config.study),
    onNotice: say,
    onProgress: ({ phase, text }) => {
      if (Date.now() - toldMs < 30_000) return;
      toldMs = Date.now();
      say(`${phase}: ${text}`);
    },
  });
  const delivered = deliveredBy(summary, scale);
  keep(name, delivered);
  return delivered;
}

const delivered = new Map<StudyName, Delivered>();
for (const name of studiesAsked(values.only)) delivered.set(name, await runToEnd(name));
const familyOf = (...names: readonly StudyName[]): readonly DeliveredMember[] =>
  names.flatMap((name) => delivered.get(name)?.lines.family ?? []);
const lines = [
  { id: 'a', name: 'searched base, scaled by latency', members: familyOf('searched') },
  {
    id: 'b',
    name: `EfficientNet-B0's stages, ${publishedRule}`,
    members: familyOf('published-1x', 'published-2x', 'published-4x'),
  },
  { id: 'c', name: "EfficientNet-B0's stages, dWr", members: familyOf('dwr-2x', 'dwr-4x') },
  { id: 'd', name: `searched base, ${publishedRule}`, members: delivered.get('searched')?.lines.rule ?? [] },
];

const meter = openMeter();
const timed = lines.map(({ members, ...line }) => ({
  ...line,
  members: members.map((member) => ({ ...member, rounds: [] as number[], unstable: 0 })),
}));
const everyone = timed.flatMap(({ members }) => members);
for (let round = 0; round < Number(values.rounds); round++)
  for (const [index, member] of everyone.entries()) {
    console.error(`measuring ${index + 1}/${everyone.length} in round ${round + 1}`);
    const setting = { accelerator: 'cpu', batch: 1, threads: 1 };
    const { p50Ms, stable } = await meter.measure({
      model: candidateModel(member.spec, 1),
      setting,
      protocol: protocols.thorough,
    });
    member.rounds.push(p50Ms);
    if (!stable) member.unstable++;
  }
await meter.close();
const measured = timed.map(({ members, ...line }) => ({
  ...line,
  members: members.map((member): Member => ({ ...member, latencyMs: median(member.rounds) })),
}));

for (const [name, { data, activeS, environment }] of delivered)
  console.log(
    `${name}: ${(activeS / 60).toFixed(0)} min on ${environment['cpu']}, ridgepoint ${environment['ridgepoint']}; ` +
      `${data.train} to train, ${data.holdout} hold-out, ${data.test} test`,
  );
console.log(
  `${scale.finalExamples} examples a final training, ${scale.seeds} seeds; ${scale.trials} bases tried; seeds' deviation ` +
    `${(100 * pooledDeviation(measured.flatMap(({ members }) => members))).toFixed(2)} points\n`,
);
console.log(
  '| | size | depth · width · resolution | params | MMACs | p50 ms | test top-1 % | against (b) at equal accuracy |',
);
console.log('|---|---|---|---|---|---|---|---|');
const reference = measured.find(({ id }) => id === 'b')?.members ?? [];
for (const { id, name, members } of measured)
  for (const member of members) {
    const against = id === 'b' || reference.length === 0 ? '' : speedUpText(member, id);
    const latency = `${member.latencyMs.toPrecision(3)}${member.unstable > 0 ? ` (${member.unstable} of ${values.rounds} unstable)` : ''}`;
    console.log(
      `| (${id}) ${name} | ${member.size} | ${member.multipliers} | ${(member.params / 1e3).toFixed(0)} k | ${(member.macs / 1e6).toFixed(2)} | ${latency} | ${(100 * mean(member.accuracies)).toFixed(1)} | ${against} |`,
    );
  }

function speedUpText(member: Member, id: string): string {
  const { ratio, interval, beyond } = speedUpAtEqualAccuracy(member, reference, new Random(`${id} ${member.size}`));
  const sign = beyond === 'above' ? '≥ ' : beyond === 'below' ? '≤ ' : '';
  return `${sign}${ratio.toFixed(2)} (${interval.map((end) => end.toFixed(2)).join('–')})`;
}

const plot = xyChart(
  'Test accuracy against latency, measured together',
  { title: 'p50, ms, batch 1', log: true },
  { title: 'test top-1, %', log: false, within: [0, 100] },
  measured.map(({ id, name, members }) => ({
    name: `(${id}) ${name}`,
    kind: 'joined',
    points: members
      .toSorted((a, b) => a.latencyMs - b.latencyMs)
      .map(({ latencyMs, accuracies }) => [latencyMs, 100 * mean(accuracies)] as const),
  })),
);
mkdirSync(join(values.runs, 'headline'), { recursive: true });
writeFileSync(join(values.runs, 'headline', 'headline.json'), `${JSON.stringify(measured, null, 2)}\n`);
if (plot) writeFileSync(join(values.runs, 'headline', 'headline.svg'), chartFile(plot));
console.error(`\nwritten to ${join(values.runs, 'headline')}`);
