import type { NetworkSpec } from '../models/spec.ts';
import { applyMultipliers, realisedKey, type ScaledNetwork } from './apply.ts';
import { largest, type ScalingConstraints, smallest } from './candidates.ts';
import { identity, type Multipliers } from './multipliers.ts';

/**
 * Scalings whose latency tells how depth, width and resolution each and together cost time: the base, each
 * axis at half and full reach, pairs, the diagonal and a smaller input; at most 12, fewer where limits merge them.
 * @param largestRatio latency of the largest target ÷ that of the base; the design spans about that much.
 */
export function latencyDesign(
  base: NetworkSpec,
  constraints: ScalingConstraints,
  largestRatio: number,
): readonly (ScaledNetwork & { readonly multipliers: Multipliers })[] {
  const reach = Math.log(Math.max(1.5, largestRatio));
  // What one axis must grow by for a given log latency, by the prior of fitLatency.
  const at = (depth: number, width: number, resolution: number): Multipliers => ({
    depth: Math.min(largest.depth, Math.exp(depth * reach)),
    width: Math.min(largest.width, Math.exp((width * reach) / 1.5)),
    resolution: Math.min(largest.resolution, Math.exp((resolution * reach) / 1.8)),
  });
  const points = [
    identity,
    at(1, 0, 0),
    at(0, 1, 0),
    at(0, 0, 1),
    at(0.5, 0, 0),
    at(0, 0.5, 0),
    at(0, 0, 0.5),
    at(0.5, 0.5, 0),
    at(0.5, 0, 0.5),
    at(0, 0.5, 0.5),
    at(1 / 3, 1 / 3, 1 / 3),
    { depth: 1, width: 1, resolution: smallest.resolution },
  ];
  const networks = new Map<string, ScaledNetwork & { readonly multipliers: Multipliers }>();
  for (const multipliers of points) {
    const scaled = applyMultipliers(base, multipliers, constraints);
    const key = realisedKey(scaled.realised);
    if (!networks.has(key) && constraints.admits?.(scaled.spec) !== false)
      networks.set(key, { ...scaled, multipliers });
  }
  return [...networks.values()];
}
