import { cholesky, dot, solve } from '../core/linear-algebra.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { applyMultipliers, realisedKey, type ScaledNetwork } from './apply.ts';
import { largest, type ScalingConstraints, smallest } from './candidates.ts';
import { axes, exponentPrior } from './elasticity.ts';
import { identity, type Multipliers } from './multipliers.ts';

/** A scaling whose latency is worth knowing. */
export type DesignPoint = ScaledNetwork & { readonly multipliers: Multipliers };

/** Steps from the base to full reach of one axis in which further points are looked for. */
const steps = 6;

/**
 * Scalings whose latency tells how depth, width and resolution each and together cost time: the base, each axis at
 * half and full reach, pairs, the diagonal and a smaller input; then, one by one, the scaling that a quadratic model in
 * logarithms is least sure of so far (sequential D-optimal design; Wynn 1970). Fewer where limits merge them.
 * @param largestRatio latency of the largest target ÷ that of the base; the design spans about that much.
 * @param count points wanted, the base included.
 */
export function latencyDesign(
  base: NetworkSpec,
  constraints: ScalingConstraints,
  largestRatio: number,
  count = 15,
): readonly DesignPoint[] {
  const reach = Math.log(Math.max(1.5, largestRatio));
  // What one axis must grow by for a given share of the log latency.
  const at = (depth: number, width: number, resolution: number): Multipliers => ({
    depth: Math.min(largest.depth, Math.exp((depth * reach) / exponentPrior.depth)),
    width: Math.min(largest.width, Math.exp((width * reach) / exponentPrior.width)),
    resolution: Math.min(largest.resolution, Math.exp((resolution * reach) / exponentPrior.resolution)),
  });
  const networks = new Map<string, DesignPoint>();
  const realise = (multipliers: Multipliers): [string, DesignPoint][] => {
    const scaled = applyMultipliers(base, multipliers, constraints);
    const key = realisedKey(scaled.realised);
    return constraints.admits?.(scaled.spec) === false ? [] : [[key, { ...scaled, multipliers }]];
  };
  const first = [
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
  for (const multipliers of first)
    for (const [key, point] of realise(multipliers))
      if (networks.size < count && !networks.has(key)) networks.set(key, point);
  if (networks.size < count) {
    const lattice = new Map(simplex().flatMap(([d, w, r]) => realise(at(d, w, r))));
    while (networks.size < count) {
      const free = [...lattice].filter(([key]) => !networks.has(key));
      const next = leastKnown([...networks.values()], free, reach);
      if (!next) break;
      networks.set(...next);
    }
  }
  return [...networks.values()];
}

/** Shares of the reach along depth, width and resolution that add up to at most one. */
function simplex(): readonly (readonly [number, number, number])[] {
  const found: (readonly [number, number, number])[] = [];
  for (let depth = 0; depth <= steps; depth++)
    for (let width = 0; width + depth <= steps; width++)
      for (let resolution = 0; resolution + width + depth <= steps; resolution++)
        found.push([depth / steps, width / steps, resolution / steps]);
  return found;
}

/** The point at which a quadratic model has the largest variance, given those that are known: it adds most to the determinant. */
function leastKnown(
  known: readonly DesignPoint[],
  free: readonly (readonly [string, DesignPoint])[],
  reach: number,
): [string, DesignPoint] | undefined {
  const rows = known.map(({ realised }) => quadratic(realised, reach));
  const size = rows[0]?.length ?? 0;
  // A little ridge, so that terms which nothing tells apart yet count as unknown instead of breaking the factoring.
  const information = Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, j) =>
      rows.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), i === j ? 1e-3 : 0),
    ),
  );
  const lower = cholesky(information);
  const variance = ({ realised }: DesignPoint) => {
    const row = quadratic(realised, reach);
    return dot(row, solve(lower, row));
  };
  const best = free
    .map(([key, point]) => ({ key, point, variance: variance(point) }))
    .reduce<{ key: string; point: DesignPoint; variance: number } | undefined>(
      (winner, other) => (winner && winner.variance >= other.variance ? winner : other),
      undefined,
    );
  return best && [best.key, best.point];
}

/** Constant, shares of the reach, their squares and products. */
function quadratic(multipliers: Multipliers, reach: number): readonly number[] {
  const shares = axes.map((axis) => (exponentPrior[axis] * Math.log(multipliers[axis])) / reach);
  return [1, ...shares, ...shares.flatMap((share, index) => shares.slice(index).map((other) => share * other))];
}
