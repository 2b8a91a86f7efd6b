import { type Dimension, fitParameters, GaussianProcess, type Levels } from './gaussian-process.ts';
import { halfRankWarp } from './half-rank.ts';

/** Points of an earlier search and their losses, in its own units. */
export interface TrendSource {
  readonly points: readonly Levels[];
  readonly losses: readonly number[];
}

/** At most so many points are remembered of a source, and so many are parameters fitted to. */
const mostRemembered = 200;
const mostFitted = 96;
/** Weight of the belief that a source says nothing, in observations. */
const doubt = 3;
const sweeps = 50;

/** A trend after some results: what is expected at points before those results themselves speak. */
export type Trend = (points: readonly Levels[]) => Float64Array;

/**
 * What earlier searches say of losses here: a Gaussian process over each one's half-rank warped losses, whose expectation is a
 * feature, and how much each counts, learned from the results here. Units, data, devices and fidelities may differ, for only the
 * order and relative spread of the earlier losses are used; what does not agree with the results here counts nothing.
 * The process of the search models what the trend leaves. After the residual stacks of Golovin et al. (2017), "Google Vizier", §3.3;
 * we differ: all sources are weighed together, against results, and never below 0.
 */
export class EarlierTrends {
  readonly #sources: readonly { readonly process: GaussianProcess; readonly known: WeakMap<Levels, number> }[];

  constructor(dimensions: readonly Dimension[], sources: readonly TrendSource[]) {
    this.#sources = sources.map((source) => ({ process: processOf(dimensions, source), known: new WeakMap() }));
  }

  /** The trend that results support. @param values of mean 0, in units of about their deviation. */
  fit(points: readonly Levels[], values: Float64Array): Trend {
    const features = this.#sources.map((_, source) => this.#feature(source, points));
    const centres = features.map((feature) => mean(feature));
    const weights = trendWeights(
      features.map((feature, source) => feature.map((value) => value - (centres[source] ?? 0))),
      values,
    );
    return (asked) => {
      const sum = new Float64Array(asked.length);
      for (const [source, weight] of weights.entries()) {
        if (weight === 0) continue;
        const feature = this.#feature(source, asked);
        for (const [place, value] of feature.entries())
          sum[place] = (sum[place] ?? 0) + weight * (value - (centres[source] ?? 0));
      }
      return sum;
    };
  }

  #feature(source: number, points: readonly Levels[]): Float64Array {
    const { process, known } = this.#sources[source] ?? {};
    const unknown = points.filter((point) => !known?.has(point));
    for (const [place, value] of (process?.means(unknown) ?? []).entries()) {
      const point = unknown[place];
      if (point) known?.set(point, value);
    }
    return Float64Array.from(points, (point) => known?.get(point) ?? 0);
  }
}

function processOf(dimensions: readonly Dimension[], { points, losses }: TrendSource): GaussianProcess {
  const kept = evenly(points.length, mostRemembered);
  const keptPoints = kept.map((index) => points[index] as Levels);
  const values = centred(halfRankWarp(kept.map((index) => losses[index] ?? 0)));
  const fitted = evenly(kept.length, mostFitted);
  const parameters = fitParameters(
    dimensions,
    fitted.map((index) => keptPoints[index] as Levels),
    Float64Array.from(fitted, (index) => values[index] ?? 0),
  );
  const process = new GaussianProcess(dimensions, parameters);
  process.observe(keptPoints, values);
  return process;
}

/**
 * Weights of centred features that explain values best, ridge regression with weights of 0 and more: coordinate descent.
 * @param features `[feature][value]`.
 */
export function trendWeights(features: readonly Float64Array[], values: Float64Array): readonly number[] {
  const weights = features.map(() => 0);
  const rest = values.slice();
  for (let sweep = 0; sweep < sweeps; sweep++)
    for (const [index, feature] of features.entries()) {
      const before = weights[index] ?? 0;
      let product = 0;
      let square = doubt;
      for (const [place, value] of feature.entries()) {
        product += value * ((rest[place] ?? 0) + before * value);
        square += value ** 2;
      }
      const after = Math.max(0, product / square);
      for (const [place, value] of feature.entries()) rest[place] = (rest[place] ?? 0) - (after - before) * value;
      weights[index] = after;
    }
  return weights;
}

/** At most `most` of the first `count` indices, evenly. */
function evenly(count: number, most: number): readonly number[] {
  const used = Math.min(count, most);
  return Array.from({ length: used }, (_, index) => Math.floor((index * count) / used));
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

function centred(values: Float64Array): Float64Array {
  const centre = mean(values);
  return values.map((value) => value - centre);
}
