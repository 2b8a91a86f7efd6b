import type { NetworkSpec } from '../models/spec.ts';
import { applyMultipliers, realisedKey, type ScaledNetwork } from './apply.ts';
import { type Elasticity, fitElasticity } from './elasticity.ts';
import type { Multipliers } from './multipliers.ts';
import { type AccuracyObservation, type AccuracyPrediction, type AccuracySurrogate, fitAccuracy } from './surrogate.ts';

/** What is known of one scaling of the base. Later observations of one network replace earlier ones, part by part. */
export interface ScalingObservation {
  /** *Realised* multipliers, as `applyMultipliers` gives them. */
  readonly multipliers: Multipliers;
  readonly latencyMs?: number;
  /** 0 … 1 on the hold-out, all at one fidelity; over seeds their mean. */
  readonly accuracy?: number;
  /** It was trained or refused, whatever came of it, and is not proposed again; by default where its accuracy is known. */
  readonly tried?: boolean;
}

/** What a scaled network must respect besides latency. */
export interface ScalingConstraints {
  /** The data's native side in pixels. */
  readonly maxResolution: number;
  /** Input sides are multiples of this; default 1. */
  readonly resolutionMultiple?: number;
  /** Any further limit: parameters, peak memory. Pure. */
  readonly admits?: (spec: NetworkSpec) => boolean;
}

/** A network of the grid, with what models and measurements say of it. */
export interface GridPoint extends ScaledNetwork {
  readonly multipliers: Multipliers;
  readonly latencyMs: number;
  readonly latencyLogSd: number;
  readonly accuracy: AccuracyPrediction | null;
  readonly tried: boolean;
}

/** Observations merged per network, with the models fitted to them. */
export interface Knowledge {
  readonly byNetwork: ReadonlyMap<string, ScalingObservation>;
  readonly latency: Elasticity;
  readonly accuracy: AccuracySurrogate | null;
}

/** Corners of the box of multipliers looked at; networks smaller than the base may still win by resolution. */
export const smallest: Multipliers = { depth: 0.75, width: 0.75, resolution: 0.75 };
export const largest: Multipliers = { depth: 8, width: 5, resolution: 4 };

/**
 * Models of everything observed.
 * @param evidence trainings besides, which tell of accuracy alone: at other fidelities, of other networks.
 * @throws {RangeError} without any observed latency.
 */
export function learn(
  observations: readonly ScalingObservation[],
  evidence: readonly AccuracyObservation[] = [],
): Knowledge {
  const byNetwork = new Map<string, ScalingObservation>();
  for (const observation of observations) {
    const key = realisedKey(observation.multipliers);
    const known = byNetwork.get(key);
    byNetwork.set(key, {
      multipliers: observation.multipliers,
      latencyMs: observation.latencyMs ?? known?.latencyMs,
      accuracy: observation.accuracy ?? known?.accuracy,
      tried: observation.tried === true || observation.accuracy !== undefined || known?.tried === true,
    });
  }
  const merged = [...byNetwork.values()];
  const timed = merged.flatMap(({ multipliers, latencyMs }) =>
    latencyMs === undefined ? [] : { multipliers, latencyMs },
  );
  const scored = merged.flatMap(({ multipliers, accuracy }) =>
    accuracy === undefined ? [] : { multipliers, accuracy },
  );
  if (timed.length === 0) throw new RangeError('scaling: expected at least one observed latency, got none');
  const trainings = [...scored, ...evidence];
  return { byNetwork, latency: fitElasticity(timed), accuracy: trainings.length > 0 ? fitAccuracy(trainings) : null };
}

/**
 * Every distinct network of the box that the constraints admit and whose latency is not hopelessly above
 * `highestMs`.
 */
export function enumerate(
  base: NetworkSpec,
  constraints: ScalingConstraints,
  knowledge: Knowledge,
  highestMs: number,
): readonly GridPoint[] {
  const axes = {
    depth: depthSteps(base),
    width: withBase(geometric(smallest.width, largest.width, 32)),
    resolution: resolutionSteps(base, constraints),
  };
  const predict = (multipliers: Multipliers): number => knowledge.latency.predict(multipliers).latencyMs;
  const cheapest: Multipliers = {
    depth: axes.depth[0] ?? 1,
    width: axes.width[0] ?? 1,
    resolution: axes.resolution[0] ?? 1,
  };
  // Even when every target is out of reach the cheapest networks stay, so that the nearest can be named.
  const ceilingMs = Math.max(2 * highestMs, 1.5 * predict(cheapest));
  const axis = (dimension: keyof Multipliers): readonly number[] =>
    axes[dimension].filter((value) => predict({ ...cheapest, [dimension]: value }) <= ceilingMs);

  const widths = axis('width');
  const resolutions = axis('resolution');
  const networks = new Map<string, GridPoint>();
  for (const depth of axis('depth'))
    for (const width of widths)
      for (const resolution of resolutions) {
        const multipliers = { depth, width, resolution };
        if (predict(multipliers) > ceilingMs) continue;
        const scaled = applyMultipliers(base, multipliers, constraints);
        const key = realisedKey(scaled.realised);
        if (networks.has(key) || constraints.admits?.(scaled.spec) === false) continue;
        networks.set(key, gridPoint(scaled, multipliers, knowledge));
      }
  return [...networks.values()];
}

/** A scaled network with what is measured of it, or else predicted. */
export function gridPoint(scaled: ScaledNetwork, multipliers: Multipliers, knowledge: Knowledge): GridPoint {
  const known = knowledge.byNetwork.get(realisedKey(scaled.realised));
  const predicted = knowledge.latency.predict(scaled.realised);
  return {
    ...scaled,
    multipliers,
    latencyMs: known?.latencyMs ?? predicted.latencyMs,
    latencyLogSd: known?.latencyMs === undefined ? predicted.logSd : 0,
    accuracy: knowledge.accuracy?.predict(scaled.realised) ?? null,
    tried: known?.tried ?? false,
  };
}

/** Depth multipliers at which ⌈d·r⌉ steps for some stage, thinned to 24. */
function depthSteps(base: NetworkSpec): readonly number[] {
  const steps = new Set<number>([1]);
  for (const { repeats } of base.stages)
    for (let k = 1; k <= largest.depth * repeats; k++) if (k / repeats >= smallest.depth) steps.add(k / repeats);
  const ascending = [...steps].sort((a, b) => a - b);
  return withBase(thin(ascending, 24));
}

/** The values with 1 among them, ascending: the base is always a candidate. */
function withBase(values: readonly number[]): readonly number[] {
  return [...new Set([1, ...values])].sort((a, b) => a - b);
}

/** Resolution multipliers of whole input sides up to the native one, thinned to 14. */
function resolutionSteps(
  base: NetworkSpec,
  { maxResolution, resolutionMultiple = 1 }: ScalingConstraints,
): readonly number[] {
  const from = base.input.resolution;
  const highest = Math.min(maxResolution, from * largest.resolution);
  const sides: number[] = [];
  const first = Math.ceil((from * smallest.resolution) / resolutionMultiple) * resolutionMultiple;
  for (let side = first; side <= highest; side += resolutionMultiple) sides.push(side);
  // A list of explicit sides, so that the base's own is among them after thinning.
  const kept = new Set([...thin(sides, 14), ...(from <= maxResolution ? [from] : [])]);
  return kept.size > 0 ? [...kept].sort((a, b) => a - b).map((side) => side / from) : [highest / from];
}

/** At most `count` of ascending values, ends kept, spread evenly in the logarithm. */
function thin(values: readonly number[], count: number): readonly number[] {
  const [first, last] = [values[0], values.at(-1)];
  if (values.length <= count || first === undefined || last === undefined) return values;
  const wanted = geometric(first, last, count);
  const nearest = (goal: number): number =>
    values.reduce((best, value) => (Math.abs(value - goal) < Math.abs(best - goal) ? value : best), first);
  return [...new Set(wanted.map(nearest))];
}

function geometric(from: number, to: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => from * (to / from) ** (index / (count - 1)));
}
