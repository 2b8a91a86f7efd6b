import { Random } from '../core/random.ts';
import type { ProcessPrediction } from './gaussian-process.ts';
import { normalDensity, normalProbability } from './normal.ts';

/** Directions over which three and more objectives are averaged, and slices of each one's integral. */
const directionCount = 24;
const slices = 24;

/** E[max(0, bound − Y)] of a normal Y: what it is expected to stay below a bound by. Jones, Schonlau & Welch (1998). */
export function expectedBelow(bound: number, { mean, sd }: ProcessPrediction): number {
  const z = (bound - mean) / sd;
  return (bound - mean) * normalProbability(z) + sd * normalDensity(z);
}

/**
 * Expected hypervolume improvement of independent normal losses, less being better: what a point is expected to add to the volume
 * between a front and a reference. One objective: expected improvement. Two: exact, in strips (Emmerich, Giannakoglou
 * & Naujoks 2006). More: in proportion to it, by {@link directionalImprovement}.
 * @param front losses of points, `[point][objective]`; dominated ones change nothing. @param reference `[objective]`, what lies beyond adds nothing.
 */
export function expectedImprovement(
  front: readonly (readonly number[])[],
  reference: readonly number[],
): (predictions: readonly ProcessPrediction[]) => number {
  if (reference.length === 1) {
    const best = Math.min(reference[0] ?? 0, ...front.map(([loss = Infinity]) => loss));
    return ([prediction]) => (prediction ? expectedBelow(best, prediction) : 0);
  }
  if (reference.length > 2) return directionalImprovement(front, reference, directionCount);
  const [right = 0, top = 0] = reference;
  const corners = staircase(front, { right, top });
  return ([x, y]) => {
    if (!x || !y) return 0;
    let volume = 0;
    let left = 0;
    let bound = top;
    for (const [edge, next] of [...corners, [right, top] as const]) {
      const until = expectedBelow(edge, x);
      volume += (until - left) * expectedBelow(bound, y);
      left = until;
      bound = next;
    }
    return volume;
  };
}

/** Undominated points below a reference, by their first loss. */
function staircase(
  front: readonly (readonly number[])[],
  { right, top }: { readonly right: number; readonly top: number },
): readonly (readonly [number, number])[] {
  const corners: (readonly [number, number])[] = [];
  let lowest = top;
  for (const [x = 0, y = 0] of front.toSorted(([a = 0, b = 0], [c = 0, d = 0]) => a - c || b - d)) {
    if (x >= right || y >= lowest) continue;
    corners.push([x, y]);
    lowest = y;
  }
  return corners;
}

/**
 * The same, for any number m of objectives, up to a constant factor: the mean over directions λ of the expected gain in
 * the m-th power of min over i of (r_i − y_i) ÷ λ_i, whose maximum over a front averages to its hypervolume (Zhang & Golovin
 * 2020, "Random hypervolume scalarizations for provable multi-objective black box optimization", lemma 5). For independent normals
 * the gain is one integral a direction.
 */
export function directionalImprovement(
  front: readonly (readonly number[])[],
  reference: readonly number[],
  count: number,
): (predictions: readonly ProcessPrediction[]) => number {
  const directions = Array.from({ length: count }, (_, index) => {
    const random = new Random('directions').child(reference.length, index);
    const weights = reference.map(() => Math.abs(random.normal()) + 1e-6);
    const norm = Math.hypot(...weights);
    const direction = weights.map((weight) => weight / norm);
    const heightOf = (losses: readonly number[]): number =>
      Math.min(...direction.map((weight, i) => ((reference[i] ?? 0) - (losses[i] ?? 0)) / weight));
    return { direction, best: Math.max(0, ...front.map(heightOf)) };
  });
  const power = reference.length;
  return (predictions) => {
    let sum = 0;
    for (const { direction, best } of directions) {
      const chanceAbove = (height: number): number =>
        predictions.reduce(
          (chance, { mean, sd }, i) =>
            chance * normalProbability(((reference[i] ?? 0) - (direction[i] ?? 0) * height - mean) / sd),
          1,
        );
      const top = Math.min(
        ...predictions.map(({ mean, sd }, i) => ((reference[i] ?? 0) - mean + 5 * sd) / (direction[i] ?? 1)),
      );
      if (top <= best) continue;
      const width = (top - best) / slices;
      for (let slice = 0; slice < slices; slice++) {
        const height = best + (slice + 0.5) * width;
        sum += width * power * height ** (power - 1) * chanceAbove(height);
      }
    }
    return sum / directions.length;
  };
}
