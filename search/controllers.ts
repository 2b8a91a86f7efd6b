import { BayesianSearch } from './bayesian.ts';
import type { Controller, SearchOptions } from './controller.ts';
import { startFrom } from './earlier-study.ts';
import { choicesKey } from './history.ts';
import { evolutionFor, RegularizedEvolution } from './evolution.ts';
import { LocalSearch } from './local-search.ts';
import { Nsga2 } from './nsga2.ts';
import { RandomSearch } from './random.ts';
import { Reinforce } from './reinforce.ts';

/** Controllers by the names that study files use, the default first. */
export const controllerNames = ['bayesian', 'nsga2', 'evolution', 'reinforce', 'local', 'random'] as const;
export type ControllerName = (typeof controllerNames)[number];

/**
 * A controller by name, with its defaults for so many trials; none needs more to be set. Whoever searches begins with what
 * `start` names, then with a few of the best of the earlier studies, spread over their fronts.
 */
export function openController(name: ControllerName, options: SearchOptions & { readonly trials: number }): Controller {
  const { trials, ...given } = options;
  const randomTrials = Math.min(10, Math.max(4, Math.round(trials / 4)));
  const { start = [], earlier = [], objectives = [], identity = choicesKey } = given;
  const started = [...start, ...startFrom(earlier, objectives, Math.ceil(randomTrials / 2), identity)];
  const search = { ...given, ...(started.length > 0 ? { start: started } : {}) };
  switch (name) {
    case 'bayesian':
      return new BayesianSearch({ ...search, randomTrials });
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
