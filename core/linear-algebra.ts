/** A small dense matrix as rows, `[rows][columns]`. */
export type Matrix = readonly (readonly number[])[];

/** Inner product of two vectors of one length. */
export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
}

/** A·x. */
export function multiply(matrix: Matrix, vector: readonly number[]): readonly number[] {
  return matrix.map((row) => dot(row, vector));
}

/**
 * Lower Cholesky factor L of a symmetric positive-definite matrix A = L·Lᵀ, `[n][n]`.
 * @throws {RangeError} when A is not positive definite.
 */
export function cholesky(matrix: Matrix): Matrix {
  const lower: number[][] = [];
  for (const [i, row] of matrix.entries()) {
    const current: number[] = Array.from({ length: matrix.length }, () => 0);
    for (let j = 0; j <= i; j++) {
      const other = j === i ? current : (lower[j] ?? []);
      let rest = row[j] ?? 0;
      for (let k = 0; k < j; k++) rest -= (current[k] ?? 0) * (other[k] ?? 0);
      if (j < i) current[j] = rest / (other[j] ?? 1);
      else if (rest > 0) current[j] = Math.sqrt(rest);
      else throw new RangeError(`expected a positive-definite matrix, got pivot ${rest} in row ${i}`);
    }
    lower.push(current);
  }
  return lower;
}

/** x with A·x = b, given A's Cholesky factor. */
export function solve(lower: Matrix, b: readonly number[]): readonly number[] {
  const n = lower.length;
  const at = (i: number, j: number): number => lower[i]?.[j] ?? 0;
  const x = [...b];
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] = (x[i] ?? 0) - at(i, k) * (x[k] ?? 0);
    x[i] = (x[i] ?? 0) / at(i, i);
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] = (x[i] ?? 0) - at(k, i) * (x[k] ?? 0);
    x[i] = (x[i] ?? 0) / at(i, i);
  }
  return x;
}

/**
 * Eigenvalues, descending, and their unit eigenvectors of a small symmetric matrix, by cyclic Jacobi rotations (Golub & Van Loan,
 * algorithm 8.5.3).
 */
export function symmetricEigen(matrix: Matrix): {
  readonly values: readonly number[];
  readonly vectors: readonly (readonly number[])[];
} {
  const n = matrix.length;
  const a = matrix.map((row) => [...row]);
  const v = a.map((_, i) => a.map((__, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) off += Math.abs(get(a, i, j));
    if (off === 0) break;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        const apq = get(a, p, q);
        if (Math.abs(apq) < 1e-300) {
          (a[p] as number[])[q] = 0;
          continue;
        }
        const theta = (get(a, q, q) - get(a, p, p)) / (2 * apq);
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        const tau = s / (1 + c);
        (a[p] as number[])[p] = get(a, p, p) - t * apq;
        (a[q] as number[])[q] = get(a, q, q) + t * apq;
        (a[p] as number[])[q] = 0;
        for (let j = 0; j < p; j++) rotate(a, j, p, j, q, s, tau);
        for (let j = p + 1; j < q; j++) rotate(a, p, j, j, q, s, tau);
        for (let j = q + 1; j < n; j++) rotate(a, p, j, q, j, s, tau);
        for (let j = 0; j < n; j++) rotate(v, j, p, j, q, s, tau);
      }
  }
  const order = a.map((_, i) => i).toSorted((i, j) => get(a, j, j) - get(a, i, i));
  return { values: order.map((i) => get(a, i, i)), vectors: order.map((i) => v.map((row) => row[i] ?? 0)) };
}

function get(rows: Matrix, i: number, j: number): number {
  return rows[i]?.[j] ?? 0;
}

/** Rotates entries (i, j) and (k, l), with sine s and τ = s ÷ (1 + cosine). */
function rotate(rows: number[][], i: number, j: number, k: number, l: number, s: number, tau: number): void {
  const [g, h] = [get(rows, i, j), get(rows, k, l)];
  (rows[i] as number[])[j] = g - s * (h + g * tau);
  (rows[k] as number[])[l] = h + s * (g - h * tau);
}
