import type { DeviceProfile } from '../accelerators/device-profile.ts';
import type { Clock } from '../core/clock.ts';
import { ConfigError, InterruptedError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import type { Fusion } from '../models/kernels.ts';
import type { NetworkSpec } from '../models/spec.ts';
import {
  agreement,
  detectFusion,
  estimateNetwork,
  type FittedModel,
  fitModel,
  programOf,
  rooflineOf,
  type Sighting,
  sightingsOf,
  validate,
} from './calibration.ts';
import type { Observation, ObservationFile } from './calibration-observations.ts';
import { featureNames } from './kernel-features.ts';
import type { KernelModelOptions } from './kernel-model.ts';
import type { Fingerprint } from './latency.ts';
import type { ObservedTimes } from './observe-child.ts';

/** A network and the batch it is run at. */
export interface NetworkDraw {
  readonly spec: NetworkSpec;
  readonly batch: number;
}

/** What a calibration works with. */
export interface CalibrateContext {
  readonly file: ObservationFile;
  readonly random: Random;
  /** A network drawn at random; each from its own stream. */
  readonly draw: (random: Random) => NetworkDraw;
  /** Measures it, with the runtime's profile or without. */
  readonly observe: (network: NetworkDraw, profiles: boolean) => Promise<ObservedTimes>;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CalibrateProgress) => void;
}

export interface CalibrateProgress {
  readonly observations: number;
  readonly kernels: number;
  readonly leftMs: number;
  /** What the last network took, and what was foretold where something was. */
  readonly p50Ms: number;
  readonly foretoldMs?: number;
}

/** Networks drawn at random before anything is chosen, */
const firstNetworks = 12;
/** candidates of a choice, */
const poolSize = 8;
/** and networks from one fit of the model that chooses to the next; with more observations it is fitted more rarely. */
const refitEvery = 8;
/** One of so many is an earlier network again. */
const repeatEvery = 8;
/** A candidate costs this beside its runs: opening sessions, warming up. */
const fixedCostMs = 400;
/** Runs of a candidate that are paid for. */
const runsPaid = 25;
const leastNetworks = 10;

/**
 * Observes networks until the budget is used up: in turn one drawn at random and the one of a pool that the model
 * knows least of per second of measuring; now and then an earlier one again, for the noise ceiling. Observations the
 * file already has cost nothing.
 * @param budgetMs time to spend in this call.
 * @throws {InterruptedError} when aborted; what was observed is in the file.
 */
export async function observeNetworks(context: CalibrateContext, budgetMs: number): Promise<void> {
  const { file, clock, signal } = context;
  const startMs = clock.now();
  let chooser: { readonly model: FittedModel; readonly at: number; readonly fusion: Fusion } | undefined;
  while (clock.now() - startMs < budgetMs) {
    if (signal?.aborted) throw new InterruptedError('calibrating: interrupted');
    const beganMs = clock.now();
    const count = file.observations.length;
    const random = context.random.child('network', count);
    if (count >= firstNetworks && (!chooser || count - chooser.at >= Math.max(refitEvery, count / 10))) {
      const fusion = chooser?.fusion ?? detectFusion(profiled(file.observations));
      const like = chooser?.model.kernels;
      const options = { maxPoints: 60, evidenceSamples: 100, like };
      chooser = { model: fitModel(sightingsOf(file.observations, fusion), options), at: count, fusion };
    }
    const { role, network } = next(context, random, chooser);
    const times = await context.observe(network, role !== 'repeat');
    const foretold = chooser && estimateNetwork(chooser.model, programOf(network, chooser.fusion));
    await file.append({
      role,
      ...network,
      p50Ms: times.p50Ms,
      sessionP50Ms: [...times.sessionP50Ms],
      stable: times.stable,
      referenceMs: times.referenceMs,
      kernels: times.kernels.map(({ key, count, ms }) => [key, count, Number(ms.toPrecision(6))]),
      costMs: Math.round(clock.now() - beganMs),
    });
    context.onProgress?.({
      observations: file.observations.length,
      kernels: file.observations.reduce((sum, { kernels }) => sum + kernels.length, 0),
      leftMs: Math.max(0, budgetMs - (clock.now() - startMs)),
      p50Ms: times.p50Ms,
      foretoldMs: foretold?.ms,
    });
  }
}

function profiled(observations: readonly Observation[]): Observation {
  const found = observations.find(({ kernels }) => kernels.length > 0);
  if (!found) throw new ConfigError('expected an observation with a profile, got none; begin another file');
  return found;
}

function next(
  { file: { observations }, draw }: CalibrateContext,
  random: Random,
  chooser: { readonly model: FittedModel; readonly fusion: Fusion } | undefined,
): { readonly role: Observation['role']; readonly network: NetworkDraw } {
  const count = observations.length;
  if (count >= firstNetworks && count % repeatEvery === repeatEvery - 1) {
    const { spec, batch } = random.pick(observations.filter(({ role }) => role !== 'repeat'));
    return { role: 'repeat', network: { spec, batch } };
  }
  if (!chooser || count % 2 === 0) return { role: 'random', network: draw(random) };
  const pool = Array.from({ length: poolSize }, (_, index) => draw(random.child(index)));
  const gains = pool.map((network) => {
    const { ms, uncertainty, unseen } = estimateNetwork(chooser.model, programOf(network, chooser.fusion));
    return (uncertainty + unseen) / (fixedCostMs + runsPaid * ms);
  });
  return { role: 'chosen', network: pool[gains.indexOf(Math.max(...gains))] as NetworkDraw };
}

/** What a profile is called and of what it is. */
export interface ProfileIdentity {
  readonly id: string;
  readonly threads: number;
  readonly fingerprint: Fingerprint;
  readonly seed: string;
}

/**
 * The profile that observations make: the learned model, a roofline for kernels it knows nothing of, and what
 * cross-validation says of both.
 * @throws {ConfigError} for fewer than ten networks.
 */
export function calibratedProfile(
  observations: readonly Observation[],
  identity: ProfileIdentity,
  options: KernelModelOptions = {},
): DeviceProfile {
  const fusion = detectFusion(profiled(observations));
  const sightings = sightingsOf(observations, fusion);
  if (sightings.length < leastNetworks)
    throw new ConfigError(
      `expected observations of at least ${leastNetworks} networks to calibrate by, got ${sightings.length}; give it a larger budget`,
    );
  const model = fitModel(sightings, options);
  const validation = validate(observations, sightings, { ...options, like: model.kernels, keepsPoints: true });
  const { fingerprint, id, threads, seed } = identity;
  return {
    id,
    name: `${fingerprint.cpu}, ${fingerprint.runtime}, ${threads} thread${threads === 1 ? '' : 's'}`,
    ...rooflineOf(sightings),
    dispatchUs: 0,
    runOverheadUs: model.runMs * 1e3,
    fusion,
    calibration: {
      precision: 'fp32',
      points: sightings.length,
      logDeviation: rounded(validation.logDeviation),
      seed,
      runtime: fingerprint.runtime,
      cpu: fingerprint.cpu,
      kernels: sightings.reduce((sum, { kernels }) => sum + kernels.length, 0),
      kernelError: rounded(validation.kernelError),
      agreement: rounded(shareForetold(sightings)),
      heldOut: mapped(validation.networks),
      noiseCeiling: mapped(validation.ceiling),
      byBudget: validation.byBudget.map(mapped),
    },
    learned: {
      precision: 'fp32',
      threads,
      features: featureNames,
      intervalFactor: rounded(validation.intervalFactor),
      groups: model.kernels.groups,
    },
  };
}

/** Of kernels, how many the fusion rules foretold. */
function shareForetold(sightings: readonly Sighting[]): number {
  const shares = sightings.map(({ program, observation }) => agreement(program, observation.kernels));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

const rounded = (value: number): number => Number(value.toPrecision(4));
const mapped = <T extends object>(record: T): T =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, rounded(value as number)])) as T;
