/** A smooth function of several variables: returns its value at `x` and writes its gradient. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

/** When {@link minimise} stops, and what it remembers. */
export interface MinimiseOptions {
  /** Stops when no component of the gradient exceeds this. */
  readonly gradientTolerance?: number;
  /** Stops when an iteration lowers the value by no more than this times max(|value|, `valueScale`). */
  readonly valueTolerance?: number;
  /** Below this size of the value, `valueTolerance` is absolute. SciPy's rule has 1 here. */
  readonly valueScale?: number;
  readonly maxIterations?: number;
  /** Pairs of steps and gradient changes that make the approximate Hessian. */
  readonly memory?: number;
}

/** Where {@link minimise} stopped. */
export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  /** Largest absolute component of the gradient there. */
  readonly gradientNorm: number;
  readonly iterations: number;
  readonly evaluations: number;
  /** `gradient` and `value` are convergence; after `line-search` no step along any direction went lower. */
  readonly stopped: 'gradient' | 'value' | 'line-search' | 'iterations';
}

/** Sufficient decrease and curvature of the strong Wolfe conditions; the constants of L-BFGS-B. */
const decrease = 1e-3;
const curvature = 0.9;
const longestSearch = 20;

/**
 * A local minimum by L-BFGS: limited-memory BFGS (Nocedal & Wright 2006, algorithm 7.4 and 7.5) with a strong Wolfe line
 * search (algorithms 3.5 and 3.6, cubic interpolation). Made for few variables and thousands of starts: nothing is
 * allocated while it runs. Where the objective is not finite it counts as infinitely high, so steps back away from there.
 * @param start not changed. @throws {RangeError} when the objective is not finite at `start`.
 */
export function minimise(objective: Objective, start: ArrayLike<number>, options: MinimiseOptions = {}): Minimum {
  const { gradientTolerance = 1e-5, valueTolerance = 2.2e-9, valueScale = 1, maxIterations = 15_000 } = options;
  const { memory = 10 } = options;
  const n = start.length;
  const x = Float64Array.from(start);
  const gradient = new Float64Array(n);
  const search = new LineSearch(objective, n);
  let value = objective(x, gradient);
  if (!Number.isFinite(value)) throw new RangeError(`expected a finite objective at the start, got ${value}`);
  const steps = Array.from({ length: memory }, () => new Float64Array(n));
  const changes = Array.from({ length: memory }, () => new Float64Array(n));
  const inverse = new Float64Array(memory);
  const factors = new Float64Array(memory);
  const direction = new Float64Array(n);
  let stored = 0;
  let newest = -1;
  let evaluations = 1;
  let iterations = 0;
  const done = (stopped: Minimum['stopped']): Minimum => ({
    x,
    value,
    gradientNorm: largest(gradient),
    iterations,
    evaluations,
    stopped,
  });

  while (iterations < maxIterations) {
    if (largest(gradient) <= gradientTolerance) return done('gradient');
    // Two loops over the pairs give −H·gradient.
    for (let i = 0; i < n; i++) direction[i] = -(gradient[i] as number);
    for (let k = 0; k < stored; k++) {
      const at = (newest - k + memory) % memory;
      const factor = (inverse[at] as number) * dot(steps[at] as Float64Array, direction);
      factors[at] = factor;
      addScaled(direction, -factor, changes[at] as Float64Array);
    }
    if (stored > 0) {
      const change = changes[newest] as Float64Array;
      const scale = 1 / ((inverse[newest] as number) * dot(change, change));
      for (let i = 0; i < n; i++) direction[i] = (direction[i] as number) * scale;
    }
    for (let k = stored - 1; k >= 0; k--) {
      const at = (newest - k + memory) % memory;
      const factor = (inverse[at] as number) * dot(changes[at] as Float64Array, direction);
      addScaled(direction, (factors[at] as number) - factor, steps[at] as Float64Array);
    }
    let slope = dot(gradient, direction);
    if (!(slope < 0)) {
      // Rounding spoilt the pairs: forget them.
      stored = 0;
      for (let i = 0; i < n; i++) direction[i] = -(gradient[i] as number);
      slope = dot(gradient, direction);
      if (!(slope < 0)) return done('gradient');
    }
    // Without pairs the direction has the gradient's length, which says nothing of how far to go.
    const firstStep = stored === 0 ? Math.min(1, 1 / Math.sqrt(-slope)) : 1;
    const found = search.run(x, value, direction, slope, firstStep);
    evaluations += search.evaluations;
    if (!found) {
      if (stored === 0) return done('line-search');
      stored = 0;
      continue;
    }
    const before = value;
    newest = (newest + 1) % memory;
    const step = steps[newest] as Float64Array;
    const change = changes[newest] as Float64Array;
    for (let i = 0; i < n; i++) {
      step[i] = (search.x[i] as number) - (x[i] as number);
      change[i] = (search.gradient[i] as number) - (gradient[i] as number);
    }
    x.set(search.x);
    gradient.set(search.gradient);
    value = search.value;
    iterations++;
    const bend = dot(step, change);
    if (bend > 2.2e-16 * dot(change, change)) {
      inverse[newest] = 1 / bend;
      stored = Math.min(stored + 1, memory);
    } else newest = (newest - 1 + memory) % memory;
    if (before - value <= valueTolerance * Math.max(Math.abs(before), Math.abs(value), valueScale)) {
      if (largest(gradient) <= gradientTolerance) return done('gradient');
      return done('value');
    }
  }
  return done('iterations');
}

/** Finds a point along a direction that meets the strong Wolfe conditions; its fields are the last point tried. */
class LineSearch {
  readonly x: Float64Array;
  readonly gradient: Float64Array;
  value = 0;
  evaluations = 0;
  readonly #objective: Objective;
  #slope = 0;

  constructor(objective: Objective, n: number) {
    this.#objective = objective;
    this.x = new Float64Array(n);
    this.gradient = new Float64Array(n);
  }

  /** @returns whether `x`, `value` and `gradient` now hold a lower point worth going to. */
  run(from: Float64Array, value: number, direction: Float64Array, slope: number, firstStep: number): boolean {
    this.evaluations = 0;
    // [lo, hi] brackets the minimum once hi is set; lo is always the lowest point that decreased enough.
    let [lo, loValue, loSlope] = [0, value, slope];
    let [hi, hiValue, hiSlope] = [Number.POSITIVE_INFINITY, Number.NaN, Number.NaN];
    let step = firstStep;
    for (let tries = 0; tries < longestSearch; tries++) {
      this.#evaluate(from, direction, step);
      const high = !(this.value <= value + decrease * step * slope) || this.value >= loValue;
      if (high && step > 0) [hi, hiValue, hiSlope] = [step, this.value, this.#slope];
      else {
        if (Math.abs(this.#slope) <= -curvature * slope) return true;
        if (this.#slope * (Number.isFinite(hi) ? hi - lo : 1) >= 0) [hi, hiValue, hiSlope] = [lo, loValue, loSlope];
        [lo, loValue, loSlope] = [step, this.value, this.#slope];
      }
      if (!Number.isFinite(hi)) {
        step *= 4;
        continue;
      }
      const width = hi - lo;
      if (Math.abs(width) < 1e-16 * Math.max(1, Math.abs(lo))) break;
      const guess = cubicMinimum(lo, loValue, loSlope, hi, hiValue, hiSlope);
      const [left, right] = width > 0 ? [lo, hi] : [hi, lo];
      const margin = 0.1 * Math.abs(width);
      // A guess that hugs an end would shrink the bracket too slowly.
      step = Number.isFinite(guess) ? Math.min(Math.max(guess, left + margin), right - margin) : lo + width / 2;
    }
    if (lo === 0) return false;
    // Out of tries: the lowest point that decreased enough will do.
    this.#evaluate(from, direction, lo);
    return this.value < value;
  }

  #evaluate(from: Float64Array, direction: Float64Array, step: number): void {
    const { x } = this;
    for (let i = 0; i < x.length; i++) x[i] = (from[i] as number) + step * (direction[i] as number);
    const value = this.#objective(x, this.gradient);
    this.evaluations++;
    this.value = Number.isNaN(value) ? Number.POSITIVE_INFINITY : value;
    this.#slope = dot(this.gradient, direction);
  }
}

/** Minimum of the cubic through two values and slopes (Nocedal & Wright 2006, eq. 3.59). */
function cubicMinimum(a: number, fa: number, ga: number, b: number, fb: number, gb: number): number {
  const d1 = ga + gb - (3 * (fa - fb)) / (a - b);
  const d2 = Math.sign(b - a) * Math.sqrt(d1 * d1 - ga * gb);
  return b - ((b - a) * (gb + d2 - d1)) / (gb - ga + 2 * d2);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function addScaled(target: Float64Array, factor: number, vector: Float64Array): void {
  for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) + factor * (vector[i] as number);
}

function largest(vector: Float64Array): number {
  let most = 0;
  for (let i = 0; i < vector.length; i++) most = Math.max(most, Math.abs(vector[i] as number));
  return most;
}

const golden = (Math.sqrt(5) - 1) / 2;

/**
 * Where a function of one variable is lowest in [low, high]: the best of a regular grid, refined by golden sections. It
 * finds a minimum that the grid resolves; infinite values are allowed.
 * @param points of the grid, at least 3.
 */
export function minimiseScalar(f: (x: number) => number, low: number, high: number, points = 64): number {
  const width = (high - low) / (points - 1);
  let best = 0;
  let bestValue = Number.POSITIVE_INFINITY;
  for (let i = 0; i < points; i++) {
    const value = f(low + i * width);
    if (value < bestValue) [best, bestValue] = [i, value];
  }
  let [left, right] = [low + Math.max(0, best - 1) * width, low + Math.min(points - 1, best + 1) * width];
  let [x1, x2] = [right - golden * (right - left), left + golden * (right - left)];
  let [f1, f2] = [f(x1), f(x2)];
  while (right - left > 1e-9 * Math.max(1, Math.abs(left) + Math.abs(right))) {
    if (f1 <= f2) {
      [right, x2, f2] = [x2, x1, f1];
      x1 = right - golden * (right - left);
      f1 = f(x1);
    } else {
      [left, x1, f1] = [x1, x2, f2];
      x2 = left + golden * (right - left);
      f2 = f(x2);
    }
  }
  return (left + right) / 2;
}
