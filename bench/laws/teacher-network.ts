import type { Random } from '../../core/random.ts';

/*
 * A network that data comes from (Jeon & Van Roy 2022): one hidden layer of ReLUs under a sigmoid, on normal inputs. What it
 * says of an input is known exactly, and so is what any learner lacks.
 */

/** What a teacher is drawn from. */
export interface TeacherPrior {
  /** Of the input, d. */
  readonly dimension: number;
  /** Hidden units, M, many times K: most of them hardly count. */
  readonly width: number;
  /** Latent complexity K: about how many units carry most of the output, whatever the width. */
  readonly complexity: number;
  /** Root mean square of the logits over teachers and inputs: 0 teaches nothing, a large one has labels without noise. */
  readonly logitScale: number;
}

/** The probability of label 1 is σ(Σⱼ weightsⱼ · relu(directionsⱼ · x)); there are no biases. */
export interface Teacher {
  readonly dimension: number;
  /** `[width, dimension]`, each row of length 1. */
  readonly directions: Float64Array;
  /** `[width]`, of the units that count. */
  readonly weights: Float64Array;
}

/** Units of a smaller share are left out: all of them together move no logit by a thousandth. */
const leastShare = 1e-6;

/**
 * A teacher: directions uniform on the sphere, weights √(2(K + 1)) · scale · (a Dirichlet share of concentration K ÷ M) with
 * a random sign. For large M that is the paper's Dirichlet process (recalled, its constants ours): E Σ share² = (1 + K ÷ M) ÷ (K + 1)
 * and half of a normal's square is positive, so the logits' mean square is scale² · (1 + K ÷ M).
 */
export function drawTeacher({ dimension, width, complexity, logitScale }: TeacherPrior, random: Random): Teacher {
  const [gamma, sign] = [random.child('shares'), random.child('signs')];
  const gammas = Array.from({ length: width }, () => gamma.gamma(complexity / width));
  const total = gammas.reduce((sum, value) => sum + value, 0);
  const shares = gammas.map((value) => value / total).filter((share) => share >= leastShare);
  const factor = Math.sqrt(2 * (complexity + 1)) * logitScale;
  const normal = random.child('directions');
  return {
    dimension,
    weights: Float64Array.from(shares, (share) => (sign.uniform() < 0.5 ? -factor : factor) * share),
    directions: Float64Array.from(shares.flatMap(() => direction(dimension, normal))),
  };
}

/** Uniform on the unit sphere. */
function direction(dimension: number, normal: Random): readonly number[] {
  const row = Array.from({ length: dimension }, () => normal.normal());
  const length = Math.hypot(...row);
  return row.map((value) => value / length);
}

/** Log odds of label 1. @param input `[dimension]` */
export function teacherLogit({ dimension, directions, weights }: Teacher, input: ArrayLike<number>): number {
  let logit = 0;
  for (let unit = 0, at = 0; unit < weights.length; unit++) {
    let product = 0;
    for (let axis = 0; axis < dimension; axis++, at++) product += (directions[at] as number) * (input[axis] as number);
    if (product > 0) logit += (weights[unit] as number) * product;
  }
  return logit;
}

/** Inputs and what the teacher says of them. */
export interface Examples {
  readonly count: number;
  /** `[count, dimension]`, standard normal. */
  readonly inputs: Float32Array;
  /** `[count, 2]`, distributions over the labels 0 and 1: the teacher's own, or one label drawn from each. */
  readonly targets: Float32Array;
}

/** @param targets `labels` are what a learner sees; `probabilities` are what it is judged by. */
export function drawExamples(
  teacher: Teacher,
  count: number,
  targets: 'labels' | 'probabilities',
  random: Random,
): Examples {
  const { dimension } = teacher;
  const [normal, uniform] = [random.child('inputs'), random.child('labels')];
  const inputs = Float32Array.from({ length: count * dimension }, () => normal.normal());
  const rows = new Float32Array(2 * count);
  for (let row = 0; row < count; row++) {
    const probability =
      1 / (1 + Math.exp(-teacherLogit(teacher, inputs.subarray(row * dimension, (row + 1) * dimension))));
    const one = targets === 'labels' ? Number(uniform.uniform() < probability) : probability;
    rows[2 * row] = 1 - one;
    rows[2 * row + 1] = one;
  }
  return { count, inputs, targets: rows };
}

/** Mean entropy of the targets in nats: the cross-entropy of the teacher itself, which no learner goes below. */
export function meanEntropy({ count, targets }: Examples): number {
  let nats = 0;
  for (const share of targets) if (share > 0) nats -= share * Math.log(share);
  return nats / count;
}
