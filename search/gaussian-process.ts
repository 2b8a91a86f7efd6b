/** How a decision's options differ, by number: `names` all from each other, `steps` by how far apart they stand. */
export type DecisionKind = 'names' | 'steps';

/** One decision as the process sees it. Level 0 means not reachable; option i is level i + 1. */
export interface Dimension {
  readonly kind: DecisionKind;
  readonly options: number;
}

/** What is fitted: how fast values become unlike, and how noisy they are. */
export interface ProcessParameters {
  /** Inverse length of each decision, θ; values whose options are as different as can be correlate by e^−θ. */
  readonly rates: Float64Array;
  /** Variance of the noise in units of the process's. */
  readonly noise: number;
}

/** A predicted value: normal. */
export interface ProcessPrediction {
  readonly mean: number;
  readonly sd: number;
}

/** Levels, `[decision]`. */
export type Levels = Uint16Array;

/** Prior of ln θ_d: normal, its mean falling with the number of decisions so that prior correlations do not depend on it. */
const rateSpread = 1;
/** Prior of ln noise: normal. A hundredth of the variance, give or take a factor of seven. */
const noiseCentre = 1e-2;
const noiseSpread = 2;
/** Weight of the prior belief that the targets' variance is 1, in observations. */
const varianceWeight = 2;
const fitSteps = 25;
/** Combinations of levels that are looked up together: two decisions of five options, three of two; 10 KB a table. */
const mostJointLevels = 36;

/** Distance of two levels of a decision, 0 … 1. */
function distance({ kind, options }: Dimension, a: number, b: number): number {
  if (a === b) return 0;
  if (kind === 'names' || a === 0 || b === 0) return 1;
  return Math.abs(a - b) / (options - 1);
}

/** Values by pair of levels, `[decision][level · levels + level]`. */
function pairTable(dimensions: readonly Dimension[], value: (dimension: number, distance: number) => number) {
  return dimensions.map((dimension, index) => {
    const levels = dimension.options + 1;
    const table = new Float64Array(levels * levels);
    for (let a = 0; a < levels; a++)
      for (let b = 0; b < levels; b++) table[a * levels + b] = value(index, distance(dimension, a, b));
    return table;
  });
}

/** Decisions whose pairs of levels are looked up together: fewer factors a correlation. */
interface JointDecision {
  readonly members: readonly number[];
  /** Combinations of levels; the tables have as many squared. */
  readonly levels: number;
}

/** Neighbouring decisions, as many together as keep a table within the processor's first cache. */
function joinDecisions(dimensions: readonly Dimension[]): readonly JointDecision[] {
  const joined: { members: number[]; levels: number }[] = [];
  for (const [index, { options }] of dimensions.entries()) {
    const last = joined.at(-1);
    if (last && last.levels * (options + 1) <= mostJointLevels) {
      last.members.push(index);
      last.levels *= options + 1;
    } else joined.push({ members: [index], levels: options + 1 });
  }
  return joined;
}

/** Points that grow in number, and their correlations k(x, x′) = exp(−Σ θ_d · δ_d), as factors looked up by pair of levels. */
class CorrelatedPoints {
  readonly points: Levels[] = [];
  readonly #dimensions: readonly Dimension[];
  readonly #joined: readonly JointDecision[];
  readonly #tables: readonly Float64Array[];
  /** Joint levels, `[joint decision][point]`, so that its factors are multiplied in one run. */
  #columns: Uint16Array[];

  constructor(dimensions: readonly Dimension[], rates: Float64Array) {
    const single = pairTable(dimensions, (index, apart) => Math.exp(-(rates[index] ?? 0) * apart));
    this.#dimensions = dimensions;
    this.#joined = joinDecisions(dimensions);
    this.#tables = this.#joined.map(({ members }) =>
      members.map((index) => single[index] as Float64Array).reduce(productTable),
    );
    this.#columns = this.#joined.map(() => new Uint16Array(64));
  }

  #levelOf({ members }: JointDecision, point: Levels): number {
    let level = 0;
    for (const index of members)
      level = level * ((this.#dimensions[index] as Dimension).options + 1) + (point[index] as number);
    return level;
  }

  add(point: Levels): void {
    const place = this.points.length;
    const capacity = this.#columns[0]?.length ?? Infinity;
    if (place >= capacity)
      this.#columns = this.#columns.map((column) => {
        const larger = new Uint16Array(2 * capacity);
        larger.set(column);
        return larger;
      });
    for (const [index, joint] of this.#joined.entries())
      (this.#columns[index] as Uint16Array)[place] = this.#levelOf(joint, point);
    this.points.push(point);
  }

  /** Forgets all but the first `count`. */
  truncate(count: number): void {
    this.points.length = count;
  }

  /** Correlations of a point with the first `count`, at the beginning of a row, which may be longer. */
  with(point: Levels, count: number, row: Float64Array = new Float64Array(count)): Float64Array {
    row.fill(1, 0, count);
    for (const [index, joint] of this.#joined.entries()) {
      const column = this.#columns[index] as Uint16Array;
      const table = this.#tables[index] as Float64Array;
      const offset = this.#levelOf(joint, point) * joint.levels;
      for (let j = 0; j < count; j++) row[j] = (row[j] as number) * (table[offset + (column[j] as number)] as number);
    }
    return row;
  }
}

/** The table of two decisions together, from a table of each: products of their factors. */
function productTable(a: Float64Array, b: Float64Array): Float64Array {
  const [outer, inner] = [Math.sqrt(a.length), Math.sqrt(b.length)];
  const table = new Float64Array(a.length * b.length);
  for (let place = 0; place < table.length; place++) {
    const [one, other] = [Math.floor(place / (outer * inner)), place % (outer * inner)];
    const first = Math.floor(one / inner) * outer + Math.floor(other / inner);
    table[place] = (a[first] as number) * (b[(one % inner) * inner + (other % inner)] as number);
  }
  return table;
}

/** Rows of a lower triangle; row i has i + 1 entries. */
type Triangle = Float64Array[];

/** Inner product of entries `from` … `to` − 1; four sums at once, for a sum waits for the one before. */
function inner(a: Float64Array, b: Float64Array, from: number, to: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let k = from;
  for (; k + 3 < to; k += 4) {
    s0 += (a[k] as number) * (b[k] as number);
    s1 += (a[k + 1] as number) * (b[k + 1] as number);
    s2 += (a[k + 2] as number) * (b[k + 2] as number);
    s3 += (a[k + 3] as number) * (b[k + 3] as number);
  }
  for (; k < to; k++) s0 += (a[k] as number) * (b[k] as number);
  return s0 + s1 + (s2 + s3);
}

/** Appends a row to a Cholesky factor: `row` holds covariances with earlier points, then the own variance; it is overwritten. */
function appendRow(lower: Triangle, row: Float64Array): void {
  const last = row.length - 1;
  solveLower(lower, row, last);
  row[last] = Math.sqrt(Math.max((row[last] as number) - inner(row, row, 0, last), 1e-10));
  lower.push(row);
}

/** x ← L⁻¹x over the first `count` entries. */
function solveLower(lower: Triangle, x: Float64Array, count: number): void {
  for (let i = 0; i < count; i++) {
    const row = lower[i] as Float64Array;
    x[i] = ((x[i] as number) - inner(row, x, 0, i)) / (row[i] as number);
  }
}

/** x ← L⁻¹x of four vectors, so that every entry of L is read once for all. */
function solveLowerFour(lower: Triangle, [a, b, c, d]: Four<Float64Array>): void {
  for (let i = 0; i < lower.length; i++) {
    const row = lower[i] as Float64Array;
    let s0 = a[i] as number;
    let s1 = b[i] as number;
    let s2 = c[i] as number;
    let s3 = d[i] as number;
    for (let k = 0; k < i; k++) {
      const entry = row[k] as number;
      s0 -= entry * (a[k] as number);
      s1 -= entry * (b[k] as number);
      s2 -= entry * (c[k] as number);
      s3 -= entry * (d[k] as number);
    }
    const diagonal = row[i] as number;
    a[i] = s0 / diagonal;
    b[i] = s1 / diagonal;
    c[i] = s2 / diagonal;
    d[i] = s3 / diagonal;
  }
}

type Four<T> = readonly [T, T, T, T];

/** x ← L⁻ᵀx. */
function solveUpper(lower: Triangle, x: Float64Array): void {
  for (let i = x.length - 1; i >= 0; i--) {
    const row = lower[i] as Float64Array;
    const value = (x[i] as number) / (row[i] as number);
    x[i] = value;
    for (let k = 0; k < i; k++) x[k] = (x[k] as number) - (row[k] as number) * value;
  }
}

/**
 * A Gaussian process over points of decisions, for values of mean 0: products of one factor a decision (exponential over
 * Hamming distance, or over steps where options are numbers), whose relevance is learned. Rasmussen & Williams (2006), ch. 2
 * and 5; the conditional case after Swersky et al. (2014), "Raiders of the lost architecture", simplified: a decision that is not
 * reachable is one more option, as far from the others as they can be. The process's variance is integrated out under
 * a weak prior around 1.
 */
export class GaussianProcess {
  readonly #known: CorrelatedPoints;
  readonly #parameters: ProcessParameters;
  readonly #lower: Triangle = [];
  #weights = new Float64Array(0);
  #variance = 1;

  constructor(dimensions: readonly Dimension[], parameters: ProcessParameters) {
    this.#known = new CorrelatedPoints(dimensions, parameters.rates);
    this.#parameters = parameters;
  }

  /** Adds what is needed so that the points are these; what begins alike is kept, which is why one more point is cheap. */
  observe(points: readonly Levels[], values: Float64Array): void {
    const { points: known } = this.#known;
    const changed = known.findIndex((point, index) => !isSame(point, points[index]));
    const kept = changed < 0 ? known.length : changed;
    this.#known.truncate(kept);
    this.#lower.length = kept;
    for (const point of points.slice(kept)) this.#append(point);
    const weights = values.slice();
    solveLower(this.#lower, weights, weights.length);
    const misfit = inner(weights, weights, 0, weights.length);
    solveUpper(this.#lower, weights);
    this.#weights = weights;
    this.#variance = (varianceWeight + misfit) / (varianceWeight + values.length);
  }

  /** Adds a point whose value will come: as if it were what is expected there, so that only uncertainty changes. */
  expect(point: Levels): void {
    this.#append(point);
  }

  #append(point: Levels): void {
    const count = this.#known.points.length;
    const row = this.#known.with(point, count, new Float64Array(count + 1));
    row[count] = 1 + this.#parameters.noise;
    appendRow(this.#lower, row);
    this.#known.add(point);
  }

  /** Expected values alone, which cost far less than {@link predict}. */
  means(points: readonly Levels[]): readonly number[] {
    const count = this.#weights.length;
    const row = new Float64Array(count);
    return points.map((point) => inner(this.#weights, this.#known.with(point, count, row), 0, count));
  }

  /** The noiseless values at points. */
  predict(points: readonly Levels[]): readonly ProcessPrediction[] {
    const count = this.#known.points.length;
    const rows = points.map((point) => this.#known.with(point, count));
    const means = rows.map((row) => inner(this.#weights, row, 0, this.#weights.length));
    for (let first = 0; first < rows.length; first += 4) {
      const rowAt = (place: number): Float64Array => rows[first + place] ?? new Float64Array(count);
      solveLowerFour(this.#lower, [rowAt(0), rowAt(1), rowAt(2), rowAt(3)]);
    }
    return rows.map((row, index) => ({
      mean: means[index] ?? 0,
      sd: Math.sqrt(Math.max(1 - inner(row, row, 0, count), 1e-9) * this.#variance),
    }));
  }
}

/** Whether two points are one. */
export function isSame(a: Levels, b: Levels | undefined): boolean {
  return b !== undefined && a.every((level, index) => level === b[index]);
}

/** What is believed before anything was observed. */
export function priorParameters(dimensions: readonly Dimension[]): ProcessParameters {
  const rates = new Float64Array(dimensions.length).fill(1 / Math.max(1, dimensions.length));
  return { rates, noise: noiseCentre };
}

/**
 * The most probable parameters given values of mean 0 at points: marginal likelihood times prior, by signs of the gradient
 * (Rprop, Riedmiller & Braun 1993) from the prior's mode on. Cubic in the number of points: give at most some hundred.
 */
export function fitParameters(
  dimensions: readonly Dimension[],
  points: readonly Levels[],
  values: Float64Array,
): ProcessParameters {
  const prior = priorParameters(dimensions);
  const centre = Float64Array.from([...prior.rates, prior.noise], Math.log);
  const position = centre.slice();
  const steps = new Float64Array(position.length).fill(0.3);
  let before: Float64Array = new Float64Array(position.length);
  for (let step = 0; step < fitSteps; step++) {
    const gradient = posteriorGradient(dimensions, points, values, parametersAt(position));
    for (const index of position.keys()) {
      const spread = index < dimensions.length ? rateSpread : noiseSpread;
      const offset = (position[index] as number) - (centre[index] as number);
      const slope = (gradient[index] as number) + offset / spread ** 2;
      const agreement = slope * (before[index] as number);
      const width = (steps[index] as number) * (agreement > 0 ? 1.3 : agreement < 0 ? 0.5 : 1);
      steps[index] = Math.min(width, 1);
      gradient[index] = slope;
      // Four deviations of the prior: beyond, the matrix may become singular.
      const moved = offset - Math.sign(slope) * (steps[index] as number);
      position[index] = (centre[index] as number) + Math.max(-4 * spread, Math.min(4 * spread, moved));
    }
    before = gradient;
  }
  return parametersAt(position);
}

function parametersAt(logarithms: Float64Array): ProcessParameters {
  const rates = logarithms.slice(0, -1).map(Math.exp);
  return { rates, noise: Math.exp(logarithms.at(-1) ?? 0) };
}

/** Slope of −ln marginal likelihood in ln θ of each decision, then in ln noise. */
export function posteriorGradient(
  dimensions: readonly Dimension[],
  points: readonly Levels[],
  values: Float64Array,
  parameters: ProcessParameters,
): Float64Array {
  const count = points.length;
  const kernel = covariances(dimensions, points, parameters);
  const lower: Triangle = [];
  for (const row of kernel) appendRow(lower, row.slice());
  const weights = values.slice();
  solveLower(lower, weights, count);
  const misfit = inner(weights, weights, 0, weights.length);
  solveUpper(lower, weights);
  const variance = (varianceWeight + misfit) / (varianceWeight + count);
  const columns = inverseColumns(lower);
  const tables = pairTable(dimensions, (_, difference) => difference);
  const levels = Uint16Array.from(dimensions, ({ options }) => options + 1);
  const width = dimensions.length;
  const gradient = new Float64Array(width + 1);
  // Plain loops: this is where a search spends its time.
  for (let i = 0; i < count; i++) {
    const right = columns[i] as Float64Array;
    const a = points[i] as Levels;
    for (let j = 0; j <= i; j++) {
      // K⁻¹ = L⁻ᵀL⁻¹: inner products of columns of L⁻¹, which are 0 above the diagonal.
      const left = columns[j] as Float64Array;
      const pull = inner(left, right, i, count) - ((weights[i] as number) * (weights[j] as number)) / variance;
      if (i === j) {
        gradient[width] = (gradient[width] as number) + 0.5 * pull * parameters.noise;
        continue;
      }
      const change = pull * ((kernel[i] as Float64Array)[j] as number);
      const b = points[j] as Levels;
      for (let d = 0; d < width; d++) {
        const place = (a[d] as number) * (levels[d] as number) + (b[d] as number);
        gradient[d] = (gradient[d] as number) - change * ((tables[d] as Float64Array)[place] as number);
      }
    }
  }
  for (let d = 0; d < width; d++) gradient[d] = (gradient[d] as number) * (parameters.rates[d] as number);
  return gradient;
}

/** −ln marginal likelihood, but for a constant; the oracle of {@link posteriorGradient}. */
export function negativeLogLikelihood(
  dimensions: readonly Dimension[],
  points: readonly Levels[],
  values: Float64Array,
  parameters: ProcessParameters,
): number {
  const lower: Triangle = [];
  for (const row of covariances(dimensions, points, parameters)) appendRow(lower, row);
  const weights = values.slice();
  solveLower(lower, weights, weights.length);
  const misfit = inner(weights, weights, 0, weights.length);
  const logDeterminant = lower.reduce((sum, row) => sum + Math.log(row.at(-1) ?? 1), 0);
  return ((varianceWeight + points.length) / 2) * Math.log(varianceWeight + misfit) + logDeterminant;
}

/** Covariances of points in units of the variance, noise included, as rows of a lower triangle. */
function covariances(
  dimensions: readonly Dimension[],
  points: readonly Levels[],
  parameters: ProcessParameters,
): Triangle {
  const known = new CorrelatedPoints(dimensions, parameters.rates);
  return points.map((point, index) => {
    const row = known.with(point, index, new Float64Array(index + 1));
    row[index] = 1 + parameters.noise;
    known.add(point);
    return row;
  });
}

/** L⁻¹ by columns, `[column][row]`, zeros above the diagonal left in. */
function inverseColumns(lower: Triangle): readonly Float64Array[] {
  const count = lower.length;
  return lower.map((_, column) => {
    const x = new Float64Array(count);
    for (let i = column; i < count; i++) {
      const row = lower[i] as Float64Array;
      x[i] = ((i === column ? 1 : 0) - inner(row, x, column, i)) / (row[i] as number);
    }
    return x;
  });
}
