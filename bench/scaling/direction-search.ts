import { deviceProfiles } from '../../accelerators/profiles.ts';
import type { DeviceProfile, Precision } from '../../accelerators/device-profile.ts';
import type { NetworkCount } from '../../models/counts.ts';
import { type NetworkSpec, networkSpecSchema, specDigest } from '../../models/spec.ts';
import { applyMultipliers, realisedMultipliers, type ScaledNetwork } from '../../scaling/apply.ts';
import { builtInNetwork } from '../../scaling/built-in-networks.ts';
import type { ScalingObservation } from '../../scaling/candidates.ts';
import { latencyDesign } from '../../scaling/latency-design.ts';
import { macsRatio, type Multipliers } from '../../scaling/multipliers.ts';
import { proposeScalings } from '../../scaling/optimizer.ts';
import { countSpec } from '../../study/evaluation/evaluate.ts';
import { predictSpec } from '../../study/evaluation/profiles.ts';

/** What a scaling costs: GMACs, or milliseconds on a profiled device at a batch of 128. */
export type CostOf = (spec: NetworkSpec) => number;

/** A network that a search found, relative to the start. */
export interface Direction {
  readonly network: ScaledNetwork;
  readonly multipliers: Multipliers;
  readonly gmacs: number;
  readonly activations: number;
  readonly params: number;
  readonly cost: number;
  readonly accuracy: number;
}

const known = new Map<string, NetworkCount>();

/** Counts, each network once. */
function countOf(spec: NetworkSpec): NetworkCount {
  const digest = specDigest(spec);
  const count = known.get(digest) ?? countSpec(spec);
  known.set(digest, count);
  return count;
}

export const gmacsOf: CostOf = (spec) => countOf(spec).macs / 1e9;

/** Latency that a profile predicts. */
export function latencyOn(profile: string, precision: Precision): CostOf {
  const device = deviceProfiles.get(profile) as DeviceProfile;
  return (spec) => predictSpec(spec, device, { device: profile, batch: 128, threads: 1, precision }).latency.p50Ms;
}

/** EfficientNet-X-B0 with the squeeze-and-excitation of its larger members, so that scaling it gives them exactly. */
export const xBase: NetworkSpec = (() => {
  const [b0, b7] = ['efficientnet-x-b0', 'efficientnet-x-b7'].map((name) => builtInNetwork(name) as NetworkSpec);
  const stages = b0?.stages.map((stage, index) => {
    const larger = b7?.stages[index];
    return larger && 'squeezeExcite' in larger ? { ...stage, squeezeExcite: larger.squeezeExcite } : stage;
  });
  return networkSpecSchema.parse({ ...b0, stages });
})();

/** Data of 4 × the base's side: nothing is cut. */
const data = { maxResolution: 4 * xBase.input.resolution };

/** The base scaled by what EfficientNet took for B7: depth 3.1, width 2, 600 px; 91.8 GMACs. */
export const start: ScaledNetwork = applyMultipliers(
  xBase,
  { depth: 3.1, width: 2, resolution: 600 / xBase.input.resolution },
  data,
);

/** Smallest and largest multiply-adds that count as the start's, in 10⁹. */
const budget = [85, 92] as const;
const axes = ['depth', 'width', 'resolution'] as const;
/** Logits gained by e times the multiply-adds: between B0's 77.1 % at .39 G and B7's 84.3 % at 37.7 G (Tan & Le 2019). */
const slope = 0.1;
/** Of B7 (84.3 %), in logits. */
const startLogit = 1.68;

/**
 * Accuracy that multiply-adds alone decide, less κ times the squared distance of ln multipliers from the start's: at equal
 * multiply-adds nothing beats the start.
 * @param kappa logits: at .2 a multiplier halved or doubled costs .1, 1.3 points.
 */
export function accuracyOf({ spec, realised }: ScaledNetwork, kappa: number): number {
  const departure = axes.reduce((sum, axis) => sum + Math.log(realised[axis] / start.realised[axis]) ** 2, 0);
  const logit = startLogit + slope * Math.log(gmacsOf(spec) / gmacsOf(start.spec)) - kappa * departure;
  return 1 / (1 + Math.exp(-logit));
}

/** Whether a network's multiply-adds count as the start's. Counting takes milliseconds, so those far off by d·w²·r² are not counted. */
function isEqual(spec: NetworkSpec): boolean {
  const about = macsRatio(realisedMultipliers(xBase, spec)) / macsRatio(start.realised);
  if (about < 0.6 || about > 1.6) return false;
  return gmacsOf(spec) >= budget[0] && gmacsOf(spec) <= budget[1];
}

/** How a search for a direction goes. */
export interface DirectionSearch {
  readonly costOf: CostOf;
  /** Cost that is allowed ÷ the start's. */
  readonly share: number;
  readonly kappa: number;
  readonly rounds?: number;
}

/**
 * The study's own loop, without noise: a latency design, then rounds of four proposals of `proposeScalings` among networks of 85–92
 * GMACs, each told with its cost, and its accuracy where the cost is allowed. The start is among what is known.
 * @returns the most accurate network within the cost.
 */
export function searchDirection({ costOf, share, kappa, rounds = 6 }: DirectionSearch): Direction | undefined {
  const startCost = costOf(start.spec);
  const targetMs = share * startCost;
  const constraints = {
    ...data,
    admits: isEqual,
  };
  const tried: { readonly network: ScaledNetwork; readonly cost: number; readonly accuracy: number }[] = [];
  let observations: readonly ScalingObservation[] = latencyDesign(xBase, data, startCost / costOf(xBase)).map(
    ({ spec, realised }) => ({ multipliers: realised, latencyMs: costOf(spec) }),
  );
  const tell = (network: ScaledNetwork): void => {
    const cost = costOf(network.spec);
    const isAllowed = cost <= targetMs;
    const accuracy = accuracyOf(network, kappa);
    if (isAllowed) tried.push({ network, cost, accuracy });
    const observation = { multipliers: network.realised, latencyMs: cost, ...(isAllowed ? { accuracy } : {}) };
    observations = [...observations, observation];
  };
  tell(start);
  for (let round = 0; round < rounds; round++) {
    const sizes = [{ name: 'equal', targetMs }];
    const [proposed] = proposeScalings({ base: xBase, sizes, observations, constraints, count: 4, seed: round });
    for (const network of proposed?.proposals ?? []) tell(network);
  }
  const best = tried.toSorted((a, b) => b.accuracy - a.accuracy)[0];
  if (!best) return undefined;
  const [count, first] = [countOf(best.network.spec), countOf(start.spec)];
  const relative = (axis: keyof Multipliers) => best.network.realised[axis] / start.realised[axis];
  return {
    network: best.network,
    multipliers: { depth: relative('depth'), width: relative('width'), resolution: relative('resolution') },
    gmacs: gmacsOf(best.network.spec),
    activations: count.activations / first.activations,
    params: count.params / first.params,
    cost: best.cost / startCost,
    accuracy: best.accuracy,
  };
}
