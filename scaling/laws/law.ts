// The contract of a scaling law. Adding one is a file here, a line in laws.ts and a test.

/**
 * A point a law speaks of. `params` and `data` are counted as the law's runs count them: a law fitted to parameters
 * without embeddings answers for parameters without embeddings.
 */
export interface Point {
  /** Model size N, in parameters. */
  readonly params: number;
  /** Training data D seen, repeats included: tokens of a language model, examples elsewhere. */
  readonly data: number;
  /** Distinct data among it, U_D; all of it by default. Only some laws tell repeats from new data. */
  readonly uniqueData?: number;
}

/** The allocation tuple (target model size, target amount of data) that an allocation mapping gives for a compute budget. */
export interface AllocationTuple {
  readonly params: number;
  readonly data: number;
}

/** Points as columns of logarithms, which is what fits read thousands of times. */
export interface Columns {
  readonly count: number;
  readonly logParams: Float64Array;
  readonly logData: Float64Array;
  /** Equal to `logData` where nothing is repeated. */
  readonly logUniqueData: Float64Array;
}

/** The points as columns. */
export function columnsOf(points: readonly Point[]): Columns {
  return {
    count: points.length,
    logParams: Float64Array.from(points, ({ params }) => Math.log(params)),
    logData: Float64Array.from(points, ({ data }) => Math.log(data)),
    logUniqueData: Float64Array.from(points, ({ data, uniqueData }) => Math.log(Math.min(uniqueData ?? data, data))),
  };
}

/** Parameters of a law in the coordinates that fits move in, in the order of its `parameters`. */
export type Theta = ArrayLike<number> & Iterable<number>;

/** One number a law is fitted by. Fits move `theta`; people read the natural value. */
export interface Parameter {
  readonly name: string;
  /** `exp`: the natural value is e^theta, so it stays positive. */
  readonly transform: 'identity' | 'exp';
}

/**
 * How sure it is that form and constants are what the source says: `paper` was read in the paper or its authors' release;
 * `refit` was recomputed from public data; `recalled` was not confirmed; `reconstruction` is a model of our own.
 */
export type Confirmed = 'paper' | 'refit' | 'recalled' | 'reconstruction';

/** Which parameters a law's N counts. Mixing the two moves exponents by tenths. */
export type ParamsCount = 'total' | 'non-embedding';

/** Constants of a law that somebody published. */
export interface Constants {
  /** What `--law` calls them. */
  readonly name: string;
  /** Natural values by parameter name. */
  readonly values: Readonly<Record<string, number>>;
  readonly source: string;
  readonly confirmed: Confirmed;
  readonly paramsCount: ParamsCount;
  /** Smallest and largest training FLOPs (6·N·D) of the runs behind them, where known. */
  readonly fittedFlops?: readonly [number, number];
}

/** Exponents of the allocation mapping: N ∝ C^params, D ∝ C^data. */
export interface Exponents {
  readonly params: number;
  readonly data: number;
}

/**
 * A law of the loss: ln L as a function of model size and data, with parameters `theta`. Everything is in nats and natural
 * logarithms; training FLOPs are 6·N·D throughout.
 */
export interface LossLaw {
  readonly name: string;
  readonly formula: string;
  readonly source: string;
  /** Of the form; constants carry their own mark. */
  readonly confirmed: Confirmed;
  /** In the order of `theta`. */
  readonly parameters: readonly Parameter[];
  /** Whether repeated data makes a difference to it. */
  readonly repeats: boolean;
  readonly constants: readonly Constants[];
  /**
   * Writes ln L of every point, and where `jacobian` is given ∂ ln L ÷ ∂ theta_k of point i into `jacobian[k][i]`.
   * Values that overflow come out infinite, never as an exception.
   */
  logLosses(theta: Theta, points: Columns, losses: Float64Array, jacobian?: readonly Float64Array[]): void;
  /** A few good places to start a fit of these runs from, best first. @param logLoss ln of the runs' losses. */
  starts(points: Columns, logLoss: Float64Array): readonly (readonly number[])[];
  /**
   * Optimum under 6·N·D = flops: the allocation mapping.
   * @param uniqueData distinct data there is; the law decides whether that matters.
   */
  optimum(theta: Theta, flops: number, uniqueData?: number): AllocationTuple;
  /** Exponents of that mapping where it is a power law; null where it is not. */
  exponents(theta: Theta): Exponents | null;
}

/** Natural values by name. */
export function naturalValues(law: LossLaw, theta: Theta): Readonly<Record<string, number>> {
  return Object.fromEntries(
    law.parameters.map(({ name, transform }, k) => {
      const value = theta[k] as number;
      return [name, transform === 'exp' ? Math.exp(value) : value];
    }),
  );
}

/** `theta` of natural values. @throws {RangeError} naming a parameter that is missing or, under `exp`, negative. */
export function thetaOf(law: LossLaw, values: Readonly<Record<string, number>>): readonly number[] {
  return law.parameters.map(({ name, transform }) => {
    const value = values[name];
    if (value === undefined || !Number.isFinite(value) || (transform === 'exp' && value < 0))
      throw new RangeError(
        `${law.name}: expected ${name} to be a ${transform === 'exp' ? 'non-negative ' : ''}number, got ${value}`,
      );
    // e^−745 is the smallest positive number: as good as zero, and finite.
    return transform === 'exp' ? Math.max(-745, Math.log(value)) : value;
  });
}

/** Loss at one point, in nats. */
export function lossAt(law: LossLaw, theta: Theta, point: Point): number {
  const out = new Float64Array(1);
  law.logLosses(theta, columnsOf([point]), out);
  return Math.exp(out[0] as number);
}

/** Training FLOPs of a model of N parameters on D data: 6·N·D, forward and backward, attention scores left out. */
export function trainingFlops({ params, data }: AllocationTuple): number {
  return 6 * params * data;
}
