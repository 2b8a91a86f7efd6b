/** Accuracies of one network at a rung and at the next, 0 to 1. */
export interface RungPair {
  readonly lower: number;
  readonly higher: number;
}

/** Weight of the belief that differences between networks stay as they are, in squared logits: about that of two networks half a logit apart. */
const slopePrior = 0.1;
/** However little the rungs agree, more accurate below is expected to be more accurate above. */
const leastSlope = 0.05;
/** Accuracies of 0 and 1 have no logit. */
const edge = 1e-3;

/**
 * What an accuracy at a rung promises for the next one, from the networks that were trained at both: a line between logits, by least
 * squares with a ridge that holds its slope near 1. One network gives the rungs' distance, several the slope as well. Without
 * any it is the accuracy itself. Increasing, so it never changes the order of networks of one rung.
 *
 * That only promising networks are trained at both does not bias it: they were chosen by the accuracy that is given, not by the one
 * that is predicted.
 */
export function calibrateRung(pairs: readonly RungPair[]): (lower: number) => number {
  if (pairs.length === 0) return (lower) => lower;
  const points = pairs.map(({ lower, higher }) => ({ x: logit(lower), gain: logit(higher) - logit(lower) }));
  const centre = mean(points.map(({ x }) => x));
  const gain = mean(points.map((point) => point.gain));
  const covariance = points.reduce((sum, point) => sum + (point.x - centre) * (point.gain - gain), 0);
  const variance = points.reduce((sum, { x }) => sum + (x - centre) ** 2, 0);
  const slope = Math.max(leastSlope, 1 + covariance / (variance + slopePrior));
  return (lower) => sigmoid(centre + gain + slope * (logit(lower) - centre));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function logit(share: number): number {
  const inside = Math.min(1 - edge, Math.max(edge, share));
  return Math.log(inside / (1 - inside));
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
