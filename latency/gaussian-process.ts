// A Gaussian process on a few hundred inducing points, small enough to be stored in a file of text.

/** Values with what is known of their noise. */
export interface Sample {
  readonly x: readonly number[];
  readonly y: number;
  /** Variance of the value beyond the noise that all have, and what that one is divided by (values averaged). */
  readonly variance: number;
  readonly count: number;
}

/** A fitted process, as plain data. */
export interface GaussianProcess {
  /** Of the whole function, in standard deviations. */
  readonly amplitude: number;
  /** Standard deviation of one observation. */
  readonly noise: number;
  /** How far each feature goes before values are unrelated. */
  readonly lengths: readonly number[];
  /** `[m][features]` */
  readonly points: readonly (readonly number[])[];
  /** Mean at x is Σ weights · k(x, point). */
  readonly weights: readonly number[];
}

/** Correlations, Matérn 5/2 with a length for each feature: rough enough for steps that blocked kernels make. */
function correlation(a: ArrayLike<number>, b: ArrayLike<number>, inverse: ArrayLike<number>): number {
  let square = 0;
  for (let at = 0; at < inverse.length; at++) {
    const distance = ((a[at] as number) - (b[at] as number)) * (inverse[at] as number);
    square += distance * distance;
  }
  const scaled = Math.sqrt(5 * square);
  return (1 + scaled + (5 / 3) * square) * Math.exp(-scaled);
}

/** Mean of the process, and the variance that its best single point leaves: an upper bound of the process' own. */
export function predictProcess(
  process: GaussianProcess,
  x: readonly number[],
): { readonly mean: number; readonly variance: number } {
  const inverse = process.lengths.map((length) => 1 / length);
  let mean = 0;
  let nearest = 0;
  process.points.forEach((point, index) => {
    const rho = correlation(x, point, inverse);
    mean += rho * (process.weights[index] as number);
    nearest = Math.max(nearest, rho);
  });
  return { mean, variance: process.amplitude ** 2 * (1 - nearest ** 2) + process.noise ** 2 };
}

/** Cholesky factor in place, rows one after another; false where the matrix is not positive definite. */
function factorise(matrix: Float64Array, n: number): boolean {
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let rest = matrix[i * n + j] as number;
      for (let k = 0; k < j; k++) rest -= (matrix[i * n + k] as number) * (matrix[j * n + k] as number);
      if (j < i) matrix[i * n + j] = rest / (matrix[j * n + j] as number);
      else if (rest > 0) matrix[i * n + i] = Math.sqrt(rest);
      else return false;
    }
  return true;
}

/** L·z = b, in place. */
function forward(lower: Float64Array, n: number, b: Float64Array): void {
  for (let i = 0; i < n; i++) {
    let rest = b[i] as number;
    for (let k = 0; k < i; k++) rest -= (lower[i * n + k] as number) * (b[k] as number);
    b[i] = rest / (lower[i * n + i] as number);
  }
}

/** Lᵀ·x = z, in place. */
function backward(lower: Float64Array, n: number, b: Float64Array): void {
  for (let i = n - 1; i >= 0; i--) {
    let rest = b[i] as number;
    for (let k = i + 1; k < n; k++) rest -= (lower[k * n + i] as number) * (b[k] as number);
    b[i] = rest / (lower[i * n + i] as number);
  }
}

/** Logarithms of lengths, then of amplitude and noise. */
type Settings = readonly number[];

const noiseOf = (sample: Sample, noise: number): number => sample.variance + noise ** 2 / sample.count;

/** ln p(y) of an exact process, with weak normal priors that keep lengths from running away. */
function logEvidence(samples: readonly Sample[], settings: Settings, start: Settings): number {
  const n = samples.length;
  const size = settings.length - 2;
  const inverse = Float64Array.from({ length: size }, (_, at) => Math.exp(-(settings[at] as number)));
  const variance = Math.exp(2 * (settings[size] as number));
  const noise = Math.exp(settings[size + 1] as number);
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const one = samples[i] as Sample;
    for (let j = 0; j < i; j++) matrix[i * n + j] = variance * correlation(one.x, (samples[j] as Sample).x, inverse);
    matrix[i * n + i] = variance + noiseOf(one, noise);
  }
  if (!factorise(matrix, n)) return Number.NEGATIVE_INFINITY;
  const z = Float64Array.from(samples, ({ y }) => y);
  forward(matrix, n, z);
  let value = 0;
  for (let i = 0; i < n; i++) value -= 0.5 * (z[i] as number) ** 2 + Math.log(matrix[i * n + i] as number);
  const prior = settings.reduce((sum, log, at) => sum + (log - (start[at] as number)) ** 2, 0);
  return value - prior / (2 * 1.5 ** 2);
}

/** Evenly through the list, so many at most. */
function spread<T>(list: readonly T[], most: number): readonly T[] {
  if (list.length <= most) return list;
  return Array.from({ length: most }, (_, index) => list[Math.floor((index * list.length) / most)] as T);
}

export interface ProcessOptions {
  /** Samples that lengths, amplitude and noise are chosen by; the others join afterwards. */
  readonly evidenceSamples: number;
  readonly maxPoints: number;
  /** Settings of an earlier fit: they are kept, only the data is new; */
  readonly like?: GaussianProcess;
  /** and so are its points. */
  readonly keepsPoints?: boolean;
}

/**
 * Fits a process of mean zero: lengths, amplitude and noise by evidence (a pattern search on some of the samples),
 * then all samples through inducing points (deterministic training conditional: Quiñonero-Candela & Rasmussen 2005,
 * "A unifying view of sparse approximate Gaussian process regression", section 5), which are chosen greedily where the
 * process knows least from those before.
 * @param samples at least one; features of about unit deviation.
 */
export function fitProcess(samples: readonly Sample[], options: ProcessOptions): GaussianProcess {
  const size = samples[0]?.x.length ?? 0;
  const settings = options.like
    ? [...options.like.lengths, options.like.amplitude, options.like.noise].map(Math.log)
    : chooseSettings(spread(samples, options.evidenceSamples), size);
  const lengths = settings.slice(0, size).map(Math.exp);
  const [amplitude = 1, noise = 1] = settings.slice(size).map(Math.exp);
  const inverse = lengths.map((length) => 1 / length);
  const points =
    options.keepsPoints && options.like ? options.like.points : inducing(samples, inverse, options.maxPoints);
  const system = new NormalEquations(points, inverse, amplitude);
  for (const sample of samples) system.add(sample, 1 / noiseOf(sample, noise));
  const first = { amplitude, noise, lengths, points, weights: system.solve() };
  // Disturbed observations must not bend the rest: they are believed as little as they are off.
  for (const sample of samples) {
    const variance = noiseOf(sample, noise);
    const error = (sample.y - predictProcess(first, sample.x).mean) ** 2;
    if (error > outlier ** 2 * variance) system.add(sample, 1 / (variance + error) - 1 / variance);
  }
  return { ...first, weights: system.solve() };
}

/** Deviations from which an observation counts as disturbed. */
const outlier = 2.5;

function chooseSettings(samples: readonly Sample[], size: number): Settings {
  const deviation = Math.sqrt(samples.reduce((sum, { y }) => sum + y * y, 0) / samples.length) || 0.1;
  const start = [...Array.from({ length: size }, () => Math.log(3)), Math.log(deviation), Math.log(0.05)];
  let settings: number[] = start;
  let best = logEvidence(samples, settings, start);
  for (let step = 0.8; step > 0.15; step /= 2)
    for (let round = 0; round < 2; round++)
      for (let at = 0; at < settings.length; at++)
        for (const sign of [1, -1]) {
          const moved = settings.with(at, (settings[at] as number) + sign * step);
          const value = logEvidence(samples, moved, start);
          if (value > best) [settings, best] = [moved, value];
        }
  return settings;
}

/** Pivoted Cholesky: each next point is the one whose value the points before say least of. */
function inducing(
  samples: readonly Sample[],
  inverse: readonly number[],
  most: number,
): readonly (readonly number[])[] {
  const left = Float64Array.from(samples, () => 1);
  const columns: Float64Array[] = [];
  const chosen: number[] = [];
  while (chosen.length < Math.min(most, samples.length)) {
    let pivot = 0;
    for (let i = 1; i < left.length; i++) if ((left[i] as number) > (left[pivot] as number)) pivot = i;
    const rest = left[pivot] as number;
    if (rest < 1e-4) break;
    chosen.push(pivot);
    const column = Float64Array.from(samples, ({ x }, i) => {
      let value = correlation(x, (samples[pivot] as Sample).x, inverse);
      for (const other of columns) value -= (other[i] as number) * (other[pivot] as number);
      return value / Math.sqrt(rest);
    });
    columns.push(column);
    for (let i = 0; i < left.length; i++) left[i] = Math.max(0, (left[i] as number) - (column[i] as number) ** 2);
  }
  return chosen.map((index) => (samples[index] as Sample).x);
}

/** (K ÷ s² + Σ pᵢ · kᵢ·kᵢᵀ) · weights = Σ pᵢ · kᵢ · yᵢ, with correlations K among the points, kᵢ of them with a sample, and its precision pᵢ. */
class NormalEquations {
  readonly #matrix: Float64Array;
  readonly #right: Float64Array;
  readonly #row: Float64Array;

  readonly #points: readonly (readonly number[])[];
  readonly #inverse: readonly number[];

  constructor(points: readonly (readonly number[])[], inverse: readonly number[], amplitude: number) {
    this.#points = points;
    this.#inverse = inverse;
    const m = points.length;
    this.#matrix = new Float64Array(m * m);
    this.#right = new Float64Array(m);
    this.#row = new Float64Array(m);
    points.forEach((one, i) => {
      for (let j = 0; j < i; j++)
        this.#matrix[i * m + j] = correlation(one, points[j] as readonly number[], inverse) / amplitude ** 2;
      // Rounding must not make the matrix indefinite.
      this.#matrix[i * m + i] = (1 + 1e-6) / amplitude ** 2;
    });
  }

  /** @param precision negative to take back what was added. */
  add({ x, y }: Sample, precision: number): void {
    const m = this.#points.length;
    const [matrix, row] = [this.#matrix, this.#row];
    for (let i = 0; i < m; i++) row[i] = correlation(x, this.#points[i] as readonly number[], this.#inverse);
    for (let i = 0; i < m; i++) {
      const scaled = (row[i] as number) * precision;
      this.#right[i] = (this.#right[i] as number) + scaled * y;
      const start = i * m;
      for (let j = 0; j <= i; j++) matrix[start + j] = (matrix[start + j] as number) + scaled * (row[j] as number);
    }
  }

  solve(): readonly number[] {
    const m = this.#points.length;
    const [lower, weights] = [this.#matrix.slice(), this.#right.slice()];
    if (!factorise(lower, m)) throw new RangeError('expected points that are not too close, got a singular system');
    forward(lower, m, weights);
    backward(lower, m, weights);
    return [...weights];
  }
}
