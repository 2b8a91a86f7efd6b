import type { Json } from '../../core/digest.ts';
import { Random } from '../../core/random.ts';
import type { Choices } from '../../core/trial.ts';
import type { Controller, ObservedTrial, SearchOptions } from '../../search/controller.ts';
import { History } from '../../search/history.ts';
import { chooseIndices, decisions, indicesOf } from '../../search/space.ts';

/** What is used of the package optimization-js 1.5 (MIT): optimizers that are asked for points and told losses. */
export interface OptimizationJs {
  Categorical(categories: readonly number[]): unknown;
  OMGOptimizer(dimensions: readonly unknown[]): Optimizer;
  RandomOptimizer(dimensions: readonly unknown[]): Optimizer;
}

interface Optimizer {
  ask(): readonly number[];
  tell(points: readonly (readonly number[])[], losses: readonly number[]): void;
}

export const optimizationJsMethods = ['OMGOptimizer', 'RandomOptimizer'] as const;

/**
 * An ask/tell optimizer of optimization-js as a controller: one loss, the negative `reward`. Its optimizers keep their state to
 * themselves and draw from `Math.random`, so each suggestion comes from a fresh one that is told all finished trials,
 * with `Math.random` replaced by the stream of its ordinal while it answers. They know neither conditions nor
 * constraints: decisions that are not reachable are ignored, and infeasible trials are told as the worst loss so far.
 */
export class OptimizationJsSearch implements Controller {
  readonly #package: OptimizationJs;
  readonly #method: (typeof optimizationJsMethods)[number];
  readonly #options: SearchOptions;
  readonly #history: History;

  constructor(
    source: OptimizationJs,
    options: SearchOptions & { readonly method: (typeof optimizationJsMethods)[number] },
  ) {
    this.#package = source;
    this.#method = options.method;
    this.#options = options;
    this.#history = new History(options);
  }

  suggest(count: number): readonly Choices[] {
    const { space, seed } = this.#options;
    const rows = decisions(space);
    const place = new Map(rows.map(({ tag }, index) => [tag, index]));
    const dimensions = rows.map(({ values }) => this.#package.Categorical([...values.keys()]));
    const { points, losses } = this.#told(place);
    return this.#history.suggest(count, this.#options, ({ ordinal, drawNew }) => {
      const random = new Random(seed).child('optimization-js', ordinal);
      return drawNew((attempt) => {
        const point = drawingFrom(random.child(attempt), () => {
          const optimizer = this.#package[this.#method](dimensions);
          if (points.length > 0) optimizer.tell(points, losses);
          return optimizer.ask();
        });
        return chooseIndices(space, (tag) => point[place.get(tag) ?? -1] ?? 0);
      });
    });
  }

  #told(place: ReadonlyMap<string, number>) {
    const finished = this.#history.finished;
    const worst = Math.max(...finished.map(({ reward }) => -(reward ?? Infinity)));
    const points = finished.map(({ choices }) => {
      const point = Array.from({ length: place.size }, () => 0);
      for (const { tag, index } of indicesOf(this.#options.space, choices)) point[place.get(tag) ?? 0] = index;
      return point;
    });
    const losses = finished.map(({ status, reward }) =>
      status === 'ok' && reward !== undefined ? -reward : Number.isFinite(worst) ? worst : 0,
    );
    return { points, losses };
  }

  observe(trials: readonly ObservedTrial[]): void {
    this.#history.observe(trials);
  }

  state(): Json {
    return { controller: this.#method, seed: this.#options.seed, trials: this.#history.toJson() };
  }
}

/** Runs something that draws from `Math.random`, from a stream of ours instead. */
function drawingFrom<T>(random: Random, run: () => T): T {
  const { random: original } = Math;
  Math.random = () => random.uniform();
  try {
    return run();
  } finally {
    Math.random = original;
  }
}
