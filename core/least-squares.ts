import { cholesky, dot, solve } from './linear-algebra.ts';

/** A least-squares solution and how well it does. */
export interface LeastSquares {
  readonly coefficients: readonly number[];
  /** Σ (target − columns · coefficients)². */
  readonly squaredError: number;
}

/**
 * Non-negative coefficients that minimise Σᵢ (targetᵢ − Σⱼ columnsⱼᵢ·xⱼ)², exactly: of all subsets of columns whose
 * unconstrained solution is positive, the best. For up to ten columns; columns may differ by any power of ten, since each
 * is scaled to length 1 first. A column that the others span is left out.
 * @param columns `[columns][rows]`.
 */
export function nonNegativeLeastSquares(
  columns: readonly ArrayLike<number>[],
  target: ArrayLike<number>,
): LeastSquares {
  if (columns.length > 10) throw new RangeError(`expected at most ten columns, got ${columns.length}`);
  const lengths = columns.map((column) => Math.sqrt(product(column, column)) || 1);
  const gram = columns.map((a, i) =>
    columns.map((b, j) => product(a, b) / ((lengths[i] as number) * (lengths[j] as number))),
  );
  const right = columns.map((column, i) => product(column, target) / (lengths[i] as number));
  const total = product(target, target);
  let best: LeastSquares = { coefficients: columns.map(() => 0), squaredError: total };
  for (let subset = 1; subset < 1 << columns.length; subset++) {
    const chosen = columns.map((_, index) => index).filter((index) => subset & (1 << index));
    const solution = solved(gram, right, chosen);
    if (!solution || solution.some((value) => value < 0)) continue;
    const squaredError = Math.max(
      0,
      total -
        dot(
          solution,
          chosen.map((index) => right[index] as number),
        ),
    );
    if (squaredError < best.squaredError) {
      const coefficients = columns.map(() => 0);
      for (const [k, index] of chosen.entries())
        coefficients[index] = (solution[k] as number) / (lengths[index] as number);
      best = { coefficients, squaredError };
    }
  }
  return best;
}

function solved(
  gram: readonly (readonly number[])[],
  right: readonly number[],
  chosen: readonly number[],
): readonly number[] | null {
  try {
    const lower = cholesky(chosen.map((i) => chosen.map((j) => (gram[i]?.[j] ?? 0) + (i === j ? 1e-14 : 0))));
    return solve(
      lower,
      chosen.map((index) => right[index] as number),
    );
  } catch {
    return null; // Collinear columns: a smaller subset does as well.
  }
}

function product(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/**
 * Coefficients of a polynomial of the given degree by least squares, lowest power first, computed about the mean of `x`
 * and scaled, so that close abscissae do not spoil it. At least degree + 1 distinct `x`.
 * @throws {RangeError} when there are too few distinct abscissae.
 */
export function polynomialFit(x: readonly number[], y: readonly number[], degree: 1 | 2): readonly number[] {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const spread = Math.max(...x.map((value) => Math.abs(value - mean)));
  if (!(spread > 0) || new Set(x).size <= degree)
    throw new RangeError(`expected at least ${degree + 1} distinct abscissae, got ${new Set(x).size}`);
  const z = x.map((value) => (value - mean) / spread);
  const powers = Array.from({ length: degree + 1 }, (_, power) => z.map((value) => value ** power));
  const lower = cholesky(powers.map((a) => powers.map((b) => dot(a, b))));
  const centred = solve(
    lower,
    powers.map((a) => dot(a, y)),
  );
  const [c0 = 0, c1 = 0, c2 = 0] = centred;
  const [slope, bend] = [c1 / spread, c2 / spread ** 2];
  const constant = c0 - slope * mean + bend * mean ** 2;
  return degree === 1 ? [constant, slope] : [constant, slope - 2 * bend * mean, bend];
}
