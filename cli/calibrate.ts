import { defineCommand } from 'citty';
import { basename } from 'node:path';
import { type DeviceProfile, precisions } from '../accelerators/device-profile.ts';
import { findProfile, formatProfile } from '../accelerators/profile-file.ts';
import { commandNameOf, readCommand } from '../commands/declaration.ts';
import { commandProtocols } from '../commands/sampling.ts';
import { openCommandTarget } from '../commands/target.ts';
import { childEntry, openChild } from '../core/child.ts';
import { systemClock } from '../core/clock.ts';
import { digestJson } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { parseDurationMs } from '../core/units.ts';
import { calibrateProfile } from '../latency/calibrate-profile.ts';
import { calibratedProfile, type NetworkDraw, observeNetworks } from '../latency/calibrate.ts';
import { programOf } from '../latency/calibration.ts';
import { type ObservationFile, openObservations } from '../latency/calibration-observations.ts';
import { fingerprint } from '../latency/fingerprint.ts';
import type { Latency } from '../latency/latency.ts';
import { withHostLock } from '../latency/host-lock.ts';
import type { ObservedTimes, ObserveTask } from '../latency/observe-child.ts';
import { calibrationProtocol } from '../latency/protocol.ts';
import { loadSpace } from '../search/space-file.ts';
import { drawNetwork, networkModel } from '../study/evaluation/calibration-networks.ts';
import { numberArgument, oneOf } from './arguments.ts';
import { interruptible, openReporter, type Reporter } from './progress.ts';
import { writeWhole } from './written-file.ts';

/** `ridgepoint calibrate --on cpu -o profile.yaml`: a profile of the device at hand, learned from measurements, for `predict --on`. */
export const command = defineCommand({
  args: {
    on: { type: 'string', description: 'cpu, or command:<name>', default: 'cpu' },
    output: { type: 'string', alias: 'o', description: 'profile to write (.yaml)', required: true },
    budget: {
      type: 'string',
      description: 'time to measure the CPU in this call; calling again adds to it',
      default: '20m',
    },
    threads: { type: 'string', description: 'threads inside one inference', default: '1' },
    seed: { type: 'string', description: 'seed of the networks that are drawn', default: '0' },
    space: { type: 'string', description: 'search space (YAML) to draw from too' },
    commands: { type: 'string', description: 'file that declares commands by name', default: 'commands.yaml' },
    like: { type: 'string', description: 'profile that the one of a command starts from, e.g. t4' },
    precision: { type: 'string', description: 'precision of a command', default: 'fp32' },
    points: { type: 'string', description: 'networks a command measures', default: '10' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    if (!/\.ya?ml$/i.test(args.output)) throw new ConfigError(`--output: expected a .yaml file, got ${args.output}`);
    const name = commandNameOf(args.on);
    if (name === undefined && args.on !== 'cpu')
      throw new ConfigError(`--on: expected cpu or command:<name>, got ${args.on}`);
    expectSense(args.on, name !== undefined, rawArgs);
    const precision = oneOf('--precision', precisions, args.precision);
    const budgetMs = parseDurationMs(args.budget);
    const threads = numberArgument('--threads', args.threads, 1);
    const points = numberArgument('--points', args.points, 3);
    const space = args.space === undefined ? undefined : await loadSpace(args.space, userData);
    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'what was measured is kept; the same command goes on');
    const random = new Random(`calibrate/${args.seed}`);
    const draw = (from: Random): NetworkDraw => drawNetwork(from, space);
    const id = basename(args.output).replace(/\.ya?ml$/i, '');
    const base = name === undefined ? undefined : await profileLike(args.like);
    const declared = name === undefined ? undefined : readCommand(args.commands, name);
    const header = {
      schema: 2 as const,
      precision,
      space: space === undefined ? 'built-in' : digestJson(space),
      threads,
      seed: args.seed,
      fingerprint: fingerprint(args.on),
    };
    const file = await openObservations(`${args.output}.observations.ndjson`, header);
    let profile: DeviceProfile;
    try {
      if (base && declared) {
        const target = openCommandTarget(declared);
        const measureOne = ({ spec, batch }: NetworkDraw): Promise<Latency> => {
          const request = { model: networkModel(spec), spec: JSON.stringify(spec), batch, threads, precision };
          return target.measure({ ...request, protocol: commandProtocols.quick }, { signal });
        };
        await measurePoints({ file, points, random, draw, measureOne, reporter }).finally(() => target.close());
        const measured = file.observations.map((observation) => ({
          program: programOf(observation, base.fusion),
          measuredMs: observation.p50Ms,
        }));
        profile = { ...calibrateProfile(base, precision, measured), id, name: args.on };
      } else {
        await observeOnCpu({ file, budgetMs, threads, random, draw, reporter, signal });
        reporter.progress({ phase: 'fit', text: `${file.observations.length} networks` });
        profile = calibratedProfile(file.observations, {
          id,
          threads,
          fingerprint: header.fingerprint,
          seed: args.seed,
        });
      }
    } finally {
      reporter.finish();
    }
    writeWhole(args.output, formatProfile(profile));
    if (args.json)
      console.log(JSON.stringify({ schema: 1, profile: args.output, id, calibration: profile.calibration }));
    else console.log(describe(args.output, profile));
  },
});

/** Spaces of users' own are bound to images like those the built-in ones get. */
const userData = { channels: 3, classes: 1000, nativeResolution: 320 };

/** Refuses options that would be ignored: the CPU is calibrated in fp32 for a time, a command by so many networks. */
function expectSense(on: string, isCommand: boolean, rawArgs: readonly string[]): void {
  const given = rawArgs.flatMap((argument) => /^--([a-z-]+)/.exec(argument)?.[1] ?? []);
  const ofOthers = isCommand ? ['budget'] : ['like', 'precision', 'points', 'commands'];
  const ignored = given.find((name) => ofOthers.includes(name));
  if (ignored !== undefined)
    throw new ConfigError(`--${ignored}: expected --on ${isCommand ? 'cpu' : 'command:<name>'} beside it, got ${on}`);
}

/** What a command's profile starts from. */
function profileLike(like: string | undefined): Promise<DeviceProfile> {
  if (like === undefined) throw new ConfigError('--like: expected the profile nearest to the command, got none');
  return findProfile(like);
}

interface PointsContext {
  readonly file: ObservationFile;
  readonly points: number;
  readonly random: Random;
  readonly draw: (random: Random) => NetworkDraw;
  readonly measureOne: (network: NetworkDraw) => Promise<Latency>;
  readonly reporter: Reporter;
}

/** Whole networks, one after another; those the file has are not measured again. */
async function measurePoints({ file, points, random, draw, measureOne, reporter }: PointsContext): Promise<void> {
  while (file.observations.length < points) {
    const network = draw(random.child('network', file.observations.length));
    const startMs = systemClock.now();
    const { p50Ms, sessionP50Ms = [p50Ms], stable } = await measureOne(network);
    await file.append({
      role: 'random',
      ...network,
      p50Ms,
      sessionP50Ms,
      stable,
      referenceMs: 1,
      kernels: [],
      costMs: systemClock.now() - startMs,
    });
    reporter.progress({ phase: 'measure', text: `${file.observations.length} of ${points} networks` });
  }
}

interface CpuContext extends Pick<PointsContext, 'file' | 'random' | 'draw' | 'reporter'> {
  readonly budgetMs: number;
  readonly threads: number;
  readonly signal: AbortSignal;
}

async function observeOnCpu({ file, budgetMs, threads, random, draw, reporter, signal }: CpuContext): Promise<void> {
  const child = openChild<ObserveTask, ObservedTimes>({
    entry: childEntry(import.meta.url, '../latency/observe-child'),
  });
  const observe = ({ spec, batch }: NetworkDraw, profiles: boolean): Promise<ObservedTimes> => {
    const task = { model: networkModel(spec), batch, threads, protocol: calibrationProtocol, profiles };
    return withHostLock('exclusive', async () => (await child.call(task, { signal })).output, { signal });
  };
  try {
    await observeNetworks(
      {
        file,
        random,
        draw,
        observe,
        clock: systemClock,
        signal,
        onProgress: ({ observations, kernels, leftMs, p50Ms, foretoldMs }) =>
          reporter.progress({
            phase: 'measure',
            text: `${observations} networks, ${kernels} kernels; the last one ${p50Ms.toPrecision(3)} ms${foretoldMs === undefined ? '' : `, ${foretoldMs.toPrecision(3)} foretold`}`,
            etaMs: leftMs,
          }),
      },
      budgetMs,
    );
  } finally {
    await child.close();
  }
}

const percent = (value: number | undefined): string => `${(100 * (value ?? 0)).toFixed(1)} %`;

function describe(path: string, { name, calibration }: DeviceProfile): string {
  if (!calibration) return path;
  const { points, kernels, heldOut, noiseCeiling, kernelError, byBudget = [], agreement, logDeviation } = calibration;
  if (!heldOut)
    return `${path}: ${name}, ${points} networks; each foretold by the others with a deviation of ${percent(logDeviation)}`;
  return [
    `${path}: ${name}`,
    `  from ${kernels} kernels of ${points} networks; ${percent(agreement)} of the runtime's kernels foretold by the fusion rules`,
    `  networks left out: ${percent(heldOut.within10)} within ±10 %, median error ${percent(heldOut.medianError)} (${heldOut.networks} networks); kernels: median error ${percent(kernelError)}`,
    `  noise ceiling: ${percent(noiseCeiling?.within10)} of ${noiseCeiling?.networks ?? 0} networks measured twice within ±10 % of themselves, median ${percent(noiseCeiling?.medianError)}`,
    ...byBudget.map(
      ({ seconds, within10, medianError }) =>
        `  after ${String(seconds).padStart(5)} s: ${percent(within10)} within ±10 %, median error ${percent(medianError)}`,
    ),
  ].join('\n');
}
