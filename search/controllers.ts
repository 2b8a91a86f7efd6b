import { BayesianSearch } from './bayesian.ts';
import type { Controller, SearchOptions } from './controller.ts';
import { evolutionFor, RegularizedEvolution } from './evolution.ts';
import { LocalSearch } from './local-search.ts';
import { Nsga2 } from './nsga2.ts';
import { RandomSearch } from './random.ts';
import { Reinforce } from './reinforce.ts';

/** Controllers by the names that study files use, the default first. */
export const controllerNames = ['bayesian', 'nsga2', 'evolution', 'reinforce', 'local', 'random'] as const;
export type ControllerName = (typeof controllerNames)[number];

/** A controller by name, with its defaults for so many trials; none needs more to be set. */
export function openController(name: ControllerName, options: SearchOptions & { readonly trials: number }): Controller {
  const { trials, ...search } = options;
  switch (name) {
    case 'bayesian':
      return new BayesianSearch({ ...search, randomTrials: Math.min(10, Math.max(4, Math.round(trials / 4))) });
    case 'nsga2':
      // As evolution's: a short search needs generations, too.
      return new Nsga2({ ...search, population: Math.min(20, Math.max(4, Math.round(trials / 4))) });
    case 'evolution':
      return new RegularizedEvolution({ ...search, ...evolutionFor(trials) });
    case 'reinforce':
      return new Reinforce(search);
    case 'local':
      return new LocalSearch(search);
    case 'random':
      return new RandomSearch(search);
    default:
      throw new TypeError(`expected a controller, got ${String(name satisfies never)}`);
  }
}
