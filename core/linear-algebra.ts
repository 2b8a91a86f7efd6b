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
