import type { Json } from '../core/digest.ts';
import { Random } from '../core/random.ts';
import type { Choices } from '../core/trial.ts';
import type { Controller, ObservedTrial, SearchOptions } from './controller.ts';
import { seriesFor } from './earlier-study.ts';
import { expectedImprovement } from './expected-improvement.ts';
import {
  type Dimension,
  fitParameters,
  GaussianProcess,
  isSame,
  type Levels,
  priorParameters,
  type ProcessParameters,
  type ProcessPrediction,
} from './gaussian-process.ts';
import { halfRankWarp } from './half-rank.ts';
import { History, type Turn } from './history.ts';
import { normalProbability } from './normal.ts';
import { completeLosses, lossesOf } from './objectives.ts';
import { nonDominated } from './pareto.ts';
import { chooseIndices, decisions, indicesOf, sampleChoices } from './space.ts';
import { EarlierTrends, type Trend } from './trend.ts';

/** Steers {@link BayesianSearch}. */
export interface BayesianOptions extends SearchOptions {
  /** Finished trials below which points are drawn at random. Default 10. */
  readonly randomTrials?: number;
}

/** Candidates whose expectation is computed, and the most promising of them, whose uncertainty is. */
const candidateCount = 200;
const shortList = 24;
/** Share of candidates drawn anywhere in the space; the others are changed or crossed members of the front. */
const anywhereShare = 0.25;
const crossedShare = 0.25;
/** Parameters are fitted from so many trials on, to at most so many, and again whenever there are so much more. */
const fewestFitted = 10;
const mostFitted = 96;
const refitGrowth = 1.25;
/** Earlier studies of fewer trials say nothing worth learning. */
const fewestEarlier = 5;
/** Where the process of feasibility is kept; those of objectives are at their index. */
const feasibilityPlace = -1;
/** How certain the short list assumes every prediction to be, in units of the values' deviation. */
const assumedSd = 0.3;
/** The volume reaches so far beyond the worst value seen, in units of the values' deviation. */
const referenceMargin = 0.1;

/**
 * Bayesian optimisation of several objectives over discrete, conditional spaces: a Gaussian process an objective
 * (gaussian-process.ts) on half-rank warped losses (half-rank.ts), and the candidate of largest expected hypervolume improvement
 * (expected-improvement.ts), weighted by the probability that it is feasible. Nothing to tune.
 *
 * Candidates are members of the front with one or more decisions changed, members crossed, and points drawn anywhere. Networks already
 * tried are left out. Earlier studies are a trend that the processes are about (trend.ts). Issued trials are taken to become what is expected of them (Ginsbourger, Le Riche & Carraro 2010, "kriging
 * believer"), so that suggestions made together differ. Infeasible trials teach what makes a candidate infeasible, weighted
 * by violation, and every objective whose metric they have.
 */
export class BayesianSearch implements Controller {
  readonly #options: BayesianOptions & { readonly randomTrials: number };
  readonly #history: History;
  readonly #dimensions: readonly Dimension[];
  readonly #position: ReadonlyMap<string, number>;
  readonly #prior: ProcessParameters;
  /** By objective; none where no earlier study tells of it. */
  readonly #trends: readonly (EarlierTrends | undefined)[];
  readonly #levels = new WeakMap<Choices, Levels>();
  /** Remembered work, by what it was done for: never decides anything. */
  readonly #fits = new Map<number, Fit>();
  readonly #processes = new Map<
    number,
    { readonly parameters: ProcessParameters; readonly process: GaussianProcess }
  >();

  /** @throws {RangeError} unless at least two points are drawn at random. */
  constructor(options: BayesianOptions) {
    const { randomTrials = 10 } = options;
    if (!(randomTrials >= 2)) throw new RangeError(`expected at least 2 random trials, got ${randomTrials}`);
    this.#options = { ...options, randomTrials };
    this.#history = new History(options);
    const rows = decisions(options.space);
    this.#dimensions = rows.map(({ values, isOrdered }) => ({
      kind: isOrdered ? 'steps' : 'names',
      options: values.length,
    }));
    this.#prior = priorParameters(this.#dimensions);
    this.#position = new Map(rows.map(({ tag }, index) => [tag, index]));
    this.#trends = (options.objectives ?? []).map((objective) => {
      const sources = seriesFor(objective, options.earlier ?? [], fewestEarlier).map(({ choices, losses }) => ({
        points: choices.map((chosen) => this.#levelsOf(chosen)),
        losses,
      }));
      return sources.length > 0 ? new EarlierTrends(this.#dimensions, sources) : undefined;
    });
  }

  suggest(count: number): readonly Choices[] {
    const { space, seed } = this.#options;
    const finished = this.#history.finished.length;
    const issued = this.#history.trials.filter(({ status }) => status === 'issued').map(({ choices }) => choices);
    const model = finished < this.#options.randomTrials ? undefined : this.#model();
    for (const choices of model ? issued : []) model?.expect(this.#levelsOf(choices));
    return this.#history.suggest(count, this.#options, (turn) => {
      const random = new Random(seed).child('bayesian', turn.ordinal);
      const last = turn.suggested.at(-1);
      if (model && last) model.expect(this.#levelsOf(last));
      return (
        (model && this.#mostPromising(model, turn, random)) ??
        turn.drawNew((attempt) => sampleChoices(space, random.child('sample', attempt)))
      );
    });
  }

  /** The best new candidate by the model; none when all are known. */
  #mostPromising(model: Model, { isKnown }: Turn, random: Random): Choices | undefined {
    const { members } = this.#options;
    const drawn = this.#candidates(model.front, random.child('candidates'));
    const candidates = members ? [...new Set(drawn.map((choices) => members.nearest(choices, isKnown)))] : drawn;
    const ranked = (list: readonly Choices[], worths: (points: readonly Levels[]) => readonly number[]) => {
      const values = worths(list.map((choices) => this.#levelsOf(choices)));
      return [...list.keys()]
        .sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0))
        .map((index) => list[index] as Choices);
    };
    const promising: Choices[] = [];
    for (const choices of ranked(candidates, model.roughWorths)) {
      if (promising.length >= shortList) break;
      if (!isKnown(choices)) promising.push(choices);
    }
    return ranked(promising, model.worths)[0];
  }

  #candidates(front: readonly Choices[], random: Random): readonly Choices[] {
    const { space } = this.#options;
    const found = new Map<string, Choices>();
    const parents = front.map((choices) => ({
      levels: this.#levelsOf(choices),
      reachable: Object.keys(choices).length,
    }));
    for (let draw = 0; draw < candidateCount; draw++) {
      if (parents.length === 0) {
        const choices = sampleChoices(space, random.child(draw));
        found.set(this.#levelsOf(choices).join(), choices);
        continue;
      }
      const kind = random.uniform();
      const [one, other] = [random.pick(parents), random.pick(parents)];
      // One change in half of them, two in a quarter, and so on.
      let changes = 1;
      while (changes < one.reachable && random.uniform() < 0.5) changes++;
      let left = one.reachable;
      const levels = new Uint16Array(this.#dimensions.length);
      const indexOf = (position: number, options: number): number => {
        const parent = kind >= anywhereShare + crossedShare || random.uniform() < 0.5 ? one : other;
        const kept = (parent.levels[position] ?? 0) - 1;
        if (kind < anywhereShare || kept < 0) return random.integer(options);
        if (kind < anywhereShare + crossedShare) return kept;
        // Each of the reachable decisions is as likely as another to be among the `changes`.
        const isChanged = random.uniform() * left-- < changes && options > 1;
        if (!isChanged) return kept;
        changes--;
        const drawn = random.integer(options - 1);
        return drawn < kept ? drawn : drawn + 1;
      };
      const choices = chooseIndices(space, (tag, options) => {
        const position = this.#position.get(tag) ?? 0;
        const index = indexOf(position, options);
        levels[position] = index + 1;
        return index;
      });
      this.#levels.set(choices, levels);
      found.set(levels.join(), choices);
    }
    return [...found.values()];
  }

  #model(): Model {
    const { objectives } = this.#options;
    const finished = this.#history.finished;
    const losses = finished.map((trial) => lossesOf(trial, objectives));
    const width = objectives?.length ?? 1;
    const warped = Array.from({ length: width }, (_, objective) => {
      const known = finished.flatMap((_trial, index) => (losses[index]?.[objective] === undefined ? [] : index));
      const raw = known.map((index) => losses[index]?.[objective] ?? 0);
      const values = halfRankWarp(raw);
      return { known, raw, values, valueOf: new Map(known.map((index, place) => [index, values[place] ?? 0])) };
    });
    const complete = finished.flatMap((trial, index) =>
      trial.status === 'ok' && completeLosses(losses[index] ?? [])
        ? [{ choices: trial.choices, point: warped.map(({ valueOf }) => valueOf.get(index) ?? 0) }]
        : [],
    );
    const front = nonDominated(
      complete.map(({ point }) => point),
      warped.map(() => 'min'),
    ).flatMap((index) => complete[index] ?? []);
    const reference = warped.map(
      (_, objective) => Math.max(...complete.map(({ point }) => point[objective] ?? 0)) + referenceMargin,
    );
    const processes = warped.map(({ known, raw, values }, objective) => {
      const points = known.map((index) => this.#levelsOf((finished[index] as ObservedTrial).choices));
      const trends = this.#trends[objective];
      const parameters = this.#parameters(objective, points, raw, (chosen, chosenRaw) =>
        about(trends, chosen, halfRankWarp(chosenRaw)),
      );
      return this.#process(objective, parameters, points, about(trends, points, values));
    });
    return new Model({
      processes,
      feasibility: this.#feasibility(finished),
      front: front.map(({ choices }) => choices),
      points: front.map(({ point }) => point),
      reference: complete.length > 0 ? reference : undefined,
    });
  }

  #process(
    place: number,
    parameters: ProcessParameters,
    points: readonly Levels[],
    { mean, rest, trend }: About,
  ): Centred {
    const kept = this.#processes.get(place);
    const process = kept?.parameters === parameters ? kept.process : new GaussianProcess(this.#dimensions, parameters);
    this.#processes.set(place, { parameters, process });
    process.observe(points, rest);
    return { process, mean, trend };
  }

  /** Parameters fitted to the earlier trials, anew whenever there are a quarter more; the prior's while there are few. */
  #parameters(
    place: number,
    points: readonly Levels[],
    raw: readonly number[],
    toValues: (points: readonly Levels[], raw: readonly number[]) => About,
  ): ProcessParameters {
    let fitted = fewestFitted;
    if (points.length < fitted) return this.#prior;
    while (Math.ceil(fitted * refitGrowth) <= points.length) fitted = Math.ceil(fitted * refitGrowth);
    // Evenly over the search when there are too many.
    const used = Math.min(fitted, mostFitted);
    const chosen = Array.from({ length: used }, (_, index) => Math.floor((index * fitted) / used));
    const chosenPoints = chosen.map((index) => points[index] as Levels);
    const chosenRaw = chosen.map((index) => raw[index] ?? 0);
    const known = this.#fits.get(place);
    if (known && isFitTo(known, chosenPoints, chosenRaw)) return known.parameters;
    const parameters = fitParameters(this.#dimensions, chosenPoints, toValues(chosenPoints, chosenRaw).rest);
    this.#fits.set(place, { points: chosenPoints, raw: chosenRaw, parameters });
    return parameters;
  }

  /** Positive means infeasible: −1 of a feasible trial, up to 1 of one far over its limit. None when all were feasible. */
  #feasibility(finished: readonly ObservedTrial[]): Centred | undefined {
    if (finished.every(({ status }) => status === 'ok')) return undefined;
    const raw = finished.map(({ status, violation = 1 }) => (status === 'ok' ? -1 : Math.min(1, violation)));
    const points = finished.map(({ choices }) => this.#levelsOf(choices));
    const aboutMean = (_: readonly Levels[], chosen: readonly number[]) =>
      about(undefined, points, Float64Array.from(chosen));
    const parameters = this.#parameters(feasibilityPlace, points, raw, aboutMean);
    return this.#process(feasibilityPlace, parameters, points, aboutMean(points, raw));
  }

  #levelsOf(choices: Choices): Levels {
    const known = this.#levels.get(choices);
    if (known) return known;
    const levels = new Uint16Array(this.#dimensions.length);
    for (const { tag, index } of indicesOf(this.#options.space, choices))
      levels[this.#position.get(tag) ?? 0] = index + 1;
    this.#levels.set(choices, levels);
    return levels;
  }

  observe(trials: readonly ObservedTrial[]): void {
    this.#history.observe(trials);
  }

  state(): Json {
    return { controller: 'bayesian', seed: this.#options.seed, trials: this.#history.toJson() };
  }
}

/** What values are about, and what is left of them. */
interface About {
  readonly mean: number;
  readonly trend: Trend | undefined;
  readonly rest: Float64Array;
}

function about(trends: EarlierTrends | undefined, points: readonly Levels[], values: Float64Array): About {
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const centred = values.map((value) => value - mean);
  if (trends === undefined) return { mean, trend: undefined, rest: centred };
  const trend = trends.fit(points, centred);
  const expected = trend(points);
  return { mean, trend, rest: centred.map((value, index) => value - (expected[index] ?? 0)) };
}

/** A process of what values are beside a mean and a trend. */
interface Centred extends Omit<About, 'rest'> {
  readonly process: GaussianProcess;
}

/** What the process is about at points. */
function levelsAbout({ mean, trend }: Centred, points: readonly Levels[]): Float64Array {
  return (trend?.(points) ?? new Float64Array(points.length)).map((value) => value + mean);
}

/** What the finished trials, and those expected, say of a candidate. */
class Model {
  /** Choices of the undominated trials. */
  readonly front: readonly Choices[];
  readonly #processes: readonly Centred[];
  readonly #feasibility: Centred | undefined;
  readonly #reference: readonly number[] | undefined;
  #points: readonly (readonly number[])[];
  #improvement: (predictions: readonly ProcessPrediction[]) => number;

  constructor(known: {
    readonly processes: readonly Centred[];
    readonly feasibility: Centred | undefined;
    readonly front: readonly Choices[];
    readonly points: readonly (readonly number[])[];
    /** Undefined while no trial was feasible. */
    readonly reference: readonly number[] | undefined;
  }) {
    this.front = known.front;
    this.#processes = known.processes;
    this.#feasibility = known.feasibility;
    this.#reference = known.reference;
    this.#points = known.points;
    this.#improvement = this.#improvementOver();
  }

  #improvementOver() {
    return this.#reference === undefined ? () => 1 : expectedImprovement(this.#points, this.#reference);
  }

  /** A trial whose result will come is taken to become what is expected of it. */
  expect(levels: Levels): void {
    this.#points = [...this.#points, this.#processes.map(expectedAt([levels])).map(([value = 0]) => value)];
    for (const { process } of [...this.#processes, ...(this.#feasibility ? [this.#feasibility] : [])])
      process.expect(levels);
    this.#improvement = this.#improvementOver();
  }

  /** Worths of points as if every prediction were about as certain. */
  readonly roughWorths = (points: readonly Levels[]): readonly number[] =>
    this.#worths(points, (centred) => expectedAt(points)(centred).map((mean) => ({ mean, sd: assumedSd })));

  /** Expected improvement times the probability of being feasible, of points. */
  readonly worths = (points: readonly Levels[]): readonly number[] =>
    this.#worths(points, (centred) => {
      const levels = levelsAbout(centred, points);
      return centred.process.predict(points).map(({ mean, sd }, index) => ({ mean: mean + (levels[index] ?? 0), sd }));
    });

  #worths(points: readonly Levels[], predict: (centred: Centred) => readonly ProcessPrediction[]): readonly number[] {
    const predictions = this.#processes.map(predict);
    const feasibility = this.#feasibility && predict(this.#feasibility);
    return points.map((_, index) => {
      const improvement = this.#improvement(predictions.flatMap((list) => list[index] ?? []));
      const slack = feasibility?.[index];
      return slack ? improvement * normalProbability(-slack.mean / slack.sd) : improvement;
    });
  }
}

function expectedAt(points: readonly Levels[]): (centred: Centred) => readonly number[] {
  return (centred) => {
    const levels = levelsAbout(centred, points);
    return centred.process.means(points).map((value, index) => value + (levels[index] ?? 0));
  };
}

/** Parameters, and what they were fitted to. */
interface Fit {
  readonly points: readonly Levels[];
  readonly raw: readonly number[];
  readonly parameters: ProcessParameters;
}

function isFitTo(fit: Fit, points: readonly Levels[], raw: readonly number[]): boolean {
  return (
    fit.raw.length === raw.length &&
    raw.every((value, index) => value === fit.raw[index]) &&
    points.every((point, index) => point === fit.points[index] || isSame(point, fit.points[index]))
  );
}
