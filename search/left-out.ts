import type { Choices } from '../core/trial.ts';
import { fitParameters, GaussianProcess, type Dimension, type Levels, priorParameters } from './gaussian-process.ts';
import { halfRankWarp } from './half-rank.ts';

/** Trials from which on parameters are fitted, as the search does. */
const fewestFitted = 10;

/**
 * What the Bayesian search's process expects of each trial from all others, in units of its half-rank warp: the lower, the better it
 * looks. It is the deviation from the others' mean: that mean is the smaller the larger the trial left out, so that a process that knows
 * nothing would seem to know the opposite. Decisions and their options are those that the trials made; parameters are fitted once, to all trials, so that what is left out
 * is a little known through them. Its time grows with the fourth power of the trials: give at most some dozens.
 * @param losses less is better, one a trial.
 */
export function leftOutExpectations(choices: readonly Choices[], losses: readonly number[]): number[] {
  const tags = [...new Set(choices.flatMap(Object.keys))];
  const options = tags.map((tag) => {
    const seen = [...new Set(choices.flatMap((one) => one[tag] ?? []))];
    return seen.every((value) => typeof value === 'number') ? seen.toSorted((a, b) => a - b) : seen;
  });
  const dimensions = options.map((seen): Dimension => {
    return { kind: seen.every((value) => typeof value === 'number') ? 'steps' : 'names', options: seen.length };
  });
  const points = choices.map((one): Levels => {
    return Uint16Array.from(tags, (tag, index) => 1 + (options[index] as readonly unknown[]).indexOf(one[tag]));
  });
  const values = halfRankWarp(losses);
  const fitted = points.length >= fewestFitted ? fitParameters(dimensions, points, centred(values)) : undefined;
  return points.map((point, left) => {
    const others = halfRankWarp(losses.toSpliced(left, 1));
    const process = new GaussianProcess(dimensions, fitted ?? priorParameters(dimensions));
    process.observe(points.toSpliced(left, 1), centred(others));
    const [expected = 0] = process.means([point]);
    return expected;
  });
}

function centred(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  return values.map((value) => value - mean);
}
