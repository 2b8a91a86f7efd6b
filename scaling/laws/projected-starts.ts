import { nonNegativeLeastSquares } from '../../core/least-squares.ts';
import type { Columns } from './law.ts';

/** What is linear in a law once its exponents are fixed. */
interface Projection {
  /** Terms beside the constant one, a value for each run. */
  readonly terms: readonly Float64Array[];
  /** The power of the loss that is their sum; 1 by default. */
  readonly power?: number;
  /** Without a constant term: the law has no irreducible loss. */
  readonly noFloor?: boolean;
  /** `theta` from the logarithms of the coefficients: the floor's first, then those of `terms`. */
  readonly thetaOf: (logs: readonly [number, number, number]) => readonly number[];
}

/** How many starts are kept. */
const kept = 12;
/** Natural logarithm that stands for a coefficient of zero: too small to matter, and a gradient can still raise it. */
const absent = 7;

/**
 * Good starts by variable projection (Golub & Pereyra 1973): a grid over the exponents, and at each point of it the
 * non-negative coefficients that minimise the squared relative error. The local minima of that grid come first, then the
 * next lowest points, a dozen in all: a minimum of another measure (Huber's, the absolute error) lies near one of them.
 */
export function projectedStarts(
  points: Columns,
  logLoss: Float64Array,
  axes: readonly (readonly number[])[],
  project: (exponents: readonly number[]) => Projection,
): readonly (readonly number[])[] {
  const cells = gridOf(axes).map((index) => {
    const projection = project(index.map((at, axis) => axes[axis]?.[at] ?? 0));
    const power = projection.power ?? 1;
    // Relative: every column is divided by the target, which becomes ones.
    const inverse = logLoss.map((value) => Math.exp(-value * power));
    const columns = projection.terms.map((term) => term.map((value, i) => value * (inverse[i] as number)));
    if (!projection.noFloor) columns.unshift(inverse);
    const { coefficients, squaredError } = nonNegativeLeastSquares(columns, new Float64Array(points.count).fill(1));
    const logs = coefficients.map((value, k) => {
      const size = columns[k]?.reduce((most, entry) => Math.max(most, entry), 0) ?? 1;
      return Math.log(Math.max(value, Math.exp(-absent) / size));
    });
    const [floor, first, second] = projection.noFloor ? [-absent, ...logs] : logs;
    // The error of L^power is `power` times that of L.
    return {
      index,
      error: squaredError / power ** 2,
      theta: projection.thetaOf([floor ?? 0, first ?? 0, second ?? 0]),
    };
  });
  const errors = new Map(cells.map(({ index, error }) => [index.join(), error]));
  const isLowest = ({ index, error }: { index: readonly number[]; error: number }): boolean =>
    index.every((at, axis) =>
      [-1, 1].every((step) => (errors.get(index.with(axis, at + step).join()) ?? Number.POSITIVE_INFINITY) >= error),
    );
  const byError = cells.toSorted((x, y) => x.error - y.error);
  const minima = byError.filter(isLowest);
  return [...new Set([...minima, ...byError])].slice(0, kept).map(({ theta }) => theta);
}

function gridOf(axes: readonly (readonly number[])[]): readonly (readonly number[])[] {
  return axes.reduce<readonly (readonly number[])[]>(
    (grid, axis) => grid.flatMap((index) => axis.map((_, at) => [...index, at])),
    [[]],
  );
}
