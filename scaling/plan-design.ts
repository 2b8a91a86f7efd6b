import { cholesky, dot, type Matrix, solve } from '../core/linear-algebra.ts';
import { Random } from '../core/random.ts';
import { checkDesign, curvatureAt, type DesignCheck } from './fit-identifiability.ts';
import { columnsOf, type LossLaw, type Point, type Theta } from './laws/law.ts';

/** Trial allocation tuples to train and score before a large budget is spent, and what they will tell. */
export interface TrialDesign {
  /** With the distinct data of each for a law that counts repeats. */
  readonly trials: readonly (Point & { readonly flops: number; readonly tokensPerParam: number })[];
  /** Of all trials together. */
  readonly flops: number;
  readonly check: DesignCheck;
  /**
   * Expected standard error of the allocation exponent a, null for a law whose mapping has none, and of ln N at the target budget,
   * with the noise assumed.
   */
  readonly expected: { readonly exponent: number | null; readonly logParams: number };
}

export interface DesignRequest {
  readonly law: LossLaw;
  /** Parameters that are believed before any trial. */
  readonly theta: Theta;
  readonly trials: number;
  /** FLOPs of all trials together. */
  readonly flops: number;
  /** Budget that will be planned with the fit. */
  readonly targetFlops: number;
  /** Distinct data there will be for that budget. */
  readonly uniqueData?: number;
  /** Standard deviation of ln L between seeds. */
  readonly noise: number;
  readonly seed?: number;
}

/** Data per parameter that trials may have: from far too little to far too much, since near the optimum the loss is flat. */
const ratios = [1, 2, 5, 10, 20, 40, 80, 160, 320] as const;
/** Passes over the distinct data that trials of a law of repeats may make: from new data to what hardly helps any more. */
const passes = [1, 4, 16, 64] as const;
/** Standard error of a parameter from which on it counts as not determined: of a positive one, a factor of e. */
const largestError = 1;
/** More would need candidates that differ too little to be worth a training. */
const mostTrials = 40;
/** Most a single trial may take of the trials' budget. */
const largestShare = 0.5;

/**
 * Trials under a budget that determine a law's parameters best: those of the largest determinant of the information matrix
 * Jᵀ·J (D-optimal), by exchange (Fedorov 1972) from several random designs. The information is of the law at `theta`, so the design
 * is as good as that belief is near.
 * @throws {RangeError} when there are no more trials than parameters.
 */
export function proposeTrials(request: DesignRequest): TrialDesign {
  const { law, theta, trials, flops, targetFlops, uniqueData, noise, seed = 0 } = request;
  const parameters = law.parameters.length;
  if (trials > mostTrials) throw new RangeError(`expected at most ${mostTrials} trials, got ${trials}`);
  if (trials <= parameters)
    throw new RangeError(
      `expected more than ${parameters} trials for the ${parameters} parameters of ${law.name}, got ${trials}`,
    );
  // Budgets of one trial: seven octaves below the most one may take.
  const levels = Array.from({ length: 15 }, (_, i) => flops * largestShare * 2 ** (-i / 2));
  const candidates = levels.flatMap((budget) =>
    ratios.flatMap((ratio) => {
      const params = Math.sqrt(budget / 6 / ratio);
      const trial = { params, data: ratio * params, flops: budget, tokensPerParam: ratio };
      return law.repeats ? passes.map((count) => ({ ...trial, uniqueData: trial.data / count })) : [trial];
    }),
  );
  const rows = jacobianRows(law, theta, candidates);
  const random = new Random(seed).child('trial-design');
  let best: { readonly chosen: readonly number[]; readonly value: number } | null = null;
  for (let restart = 0; restart < 8; restart++) {
    const found = exchange(candidates, rows, trials, flops, random.child(restart));
    if (!best || found.value > best.value) best = found;
  }
  const chosen = (best?.chosen ?? []).map((index) => candidates[index]).filter((trial) => trial !== undefined);
  const ordered = chosen.toSorted((a, b) => a.flops - b.flops || a.params - b.params);
  const information = informationOf((best?.chosen ?? []).map((index) => rows[index] ?? []));
  const lower = cholesky(information);
  const errorOf = (of: (theta: readonly number[]) => number): number => {
    const slope = [...theta].map((value, k) => {
      // An optimum with repeats is searched for, too coarsely for smaller steps.
      const step = 1e-3 * Math.max(1, Math.abs(value));
      const at = (sign: number): number => of([...theta].with(k, value + sign * step));
      return (at(1) - at(-1)) / (2 * step);
    });
    const solved = solve(lower, slope);
    return noise * Math.sqrt(slope.reduce((sum, value, k) => sum + value * (solved[k] ?? 0), 0));
  };
  const check = checkDesign(ordered, parameters);
  const { standardErrors } = curvatureAt(law, theta, columnsOf(ordered), noise);
  const untold = law.parameters.filter((_, k) => (standardErrors[k] ?? 0) > largestError).map(({ name }) => name);
  const problems =
    untold.length === 0
      ? check.problems
      : [...check.problems, `these trials hardly determine ${untold.join(', ')} of ${law.name}`];
  return {
    trials: ordered,
    flops: ordered.reduce((sum, trial) => sum + trial.flops, 0),
    check: { ...check, problems },
    expected: {
      exponent: law.exponents(theta) && errorOf((at) => law.exponents(at)?.params ?? Number.NaN),
      logParams: errorOf((at) => Math.log(law.optimum(at, targetFlops, uniqueData).params)),
    },
  };
}

function jacobianRows(law: LossLaw, theta: Theta, candidates: readonly Point[]): Matrix {
  const jacobian = law.parameters.map(() => new Float64Array(candidates.length));
  law.logLosses(theta, columnsOf(candidates), new Float64Array(candidates.length), jacobian);
  return candidates.map((_, i) => jacobian.map((column) => column[i] as number));
}

/** Replaces one trial at a time by the candidate that raises the determinant most, while the budget holds. */
function exchange(
  candidates: readonly { readonly flops: number }[],
  rows: Matrix,
  trials: number,
  flops: number,
  random: Random,
): { readonly chosen: readonly number[]; readonly value: number } {
  const costOf = (index: number): number => candidates[index]?.flops ?? 0;
  // The cheapest trials always fit; enough candidates of an equal share of the budget are among them.
  const affordable = candidates.map((_, index) => index).filter((index) => costOf(index) <= flops / trials);
  // No trial twice: a repeat tells of noise only, which other trials do as well.
  const order = random.permutation(affordable.length);
  const chosen = Array.from({ length: trials }, (_, i) => affordable[order[i] ?? 0] ?? 0);
  const begun = factorOf(chosen.map((index) => rows[index] ?? []));
  let value = begun ? logDeterminant(begun) : Number.NEGATIVE_INFINITY;
  for (let round = 0; round < 20; round++) {
    let changed = false;
    for (let at = 0; at < trials; at++) {
      const rest = chosen.filter((_, i) => i !== at);
      const left = flops - rest.reduce((sum, index) => sum + costOf(index), 0);
      const kept = factorOf(rest.map((index) => rows[index] ?? []));
      if (!kept) continue;
      for (const index of candidates.keys()) {
        if (costOf(index) > left || rest.includes(index)) continue;
        // |K + r·rᵀ| = |K|·(1 + rᵀ·K⁻¹·r).
        const row = rows[index] ?? [];
        const candidate = logDeterminant(kept) + Math.log1p(dot(row, solve(kept, row)));
        if (candidate > value + 1e-9) [chosen[at], value, changed] = [index, candidate, true];
      }
    }
    if (!changed) break;
  }
  return { chosen, value };
}

function informationOf(rows: Matrix): Matrix {
  const size = rows[0]?.length ?? 0;
  return Array.from({ length: size }, (_, k) =>
    Array.from({ length: size }, (__, j) =>
      rows.reduce((sum, row) => sum + (row[k] ?? 0) * (row[j] ?? 0), k === j ? 1e-12 : 0),
    ),
  );
}

/** Cholesky factor of the information of these trials; null where they leave it singular. */
function factorOf(rows: Matrix): Matrix | null {
  try {
    return cholesky(informationOf(rows));
  } catch {
    return null;
  }
}

/** Logarithm of the determinant of a matrix with this factor. */
function logDeterminant(lower: Matrix): number {
  return lower.reduce((sum, row, k) => sum + 2 * Math.log(row[k] ?? 0), 0);
}
