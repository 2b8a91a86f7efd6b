import type { Choices, Metrics } from '../core/trial.ts';
import { completeLosses, lossesOf, type Objective } from './objectives.ts';
import { nonDominated } from './pareto.ts';

/** A trial of an earlier study, in the choices of this study's space. */
export interface EarlierTrial {
  readonly choices: Choices;
  /** As its own study named and measured them. */
  readonly metrics: Metrics;
}

/** What another study found, of the same networks but maybe on other data, devices and fidelities. */
export interface EarlierStudy {
  readonly name: string;
  readonly trials: readonly EarlierTrial[];
}

/** What an earlier study says of one objective: points and their losses in its own units. */
export interface EarlierSeries {
  readonly choices: readonly Choices[];
  readonly losses: readonly number[];
}

const latencyPrefix = 'latencyMs';

/**
 * An objective as an earlier study knows it: by the metric of the same name; a latency on a target that it did not have by
 * every latency that it had; anything else not at all.
 */
function asKnownBy({ trials }: EarlierStudy, objective: Objective): readonly Objective[] {
  const names = [...new Set(trials.flatMap(({ metrics }) => Object.keys(metrics)))].sort();
  if (names.includes(objective.metric)) return [objective];
  if (!objective.metric.startsWith(latencyPrefix)) return [];
  return names.filter((name) => name.startsWith(latencyPrefix)).map((metric) => ({ ...objective, metric }));
}

/** Earlier series that may tell of an objective; those of fewer than `fewest` trials are left out. */
export function seriesFor(
  objective: Objective,
  studies: readonly EarlierStudy[],
  fewest: number,
): readonly EarlierSeries[] {
  return studies
    .flatMap((study) =>
      asKnownBy(study, objective).map((known) => {
        const found = study.trials.flatMap((trial) => {
          const [loss] = lossesOf(trial, [known]);
          return loss === undefined ? [] : [{ choices: trial.choices, loss }];
        });
        return { choices: found.map(({ choices }) => choices), losses: found.map(({ loss }) => loss) };
      }),
    )
    .filter(({ losses }) => losses.length >= fewest);
}

/**
 * Choices to try first: from each earlier study in turn, spread evenly over its own Pareto front in order of the first objective.
 * @param identity names networks, so that none comes twice.
 */
export function startFrom(
  studies: readonly EarlierStudy[],
  objectives: readonly Objective[],
  count: number,
  identity: (choices: Choices) => string,
): readonly Choices[] {
  const share = Math.ceil(count / Math.max(1, studies.length));
  const byStudy = studies.map((study) => spread(frontOf(study, objectives), share));
  const found = new Map<string, Choices>();
  for (let place = 0; place < share; place++)
    for (const list of byStudy) {
      const choices = list[place];
      if (choices && !found.has(identity(choices))) found.set(identity(choices), choices);
    }
  return [...found.values()].slice(0, count);
}

/** Undominated trials, the best in the first objective first. */
function frontOf(study: EarlierStudy, objectives: readonly Objective[]): readonly Choices[] {
  const known = objectives.flatMap((objective) => asKnownBy(study, objective));
  if (known.length === 0) return [];
  const complete = study.trials.flatMap(({ choices, metrics }) => {
    const losses = completeLosses(lossesOf({ metrics }, known));
    return losses ? [{ choices, losses }] : [];
  });
  const front = nonDominated(
    complete.map(({ losses }) => losses),
    known.map(() => 'min'),
  ).flatMap((index) => complete[index] ?? []);
  return front.sort((a, b) => (a.losses[0] ?? 0) - (b.losses[0] ?? 0)).map(({ choices }) => choices);
}

/** `count` items evenly over a list, its ends among them. */
function spread<T>(list: readonly T[], count: number): readonly T[] {
  if (list.length <= count) return list;
  if (count === 1) return list.slice(0, 1);
  return Array.from({ length: count }, (_, place) =>
    list.slice(Math.round((place * (list.length - 1)) / (count - 1))),
  ).flatMap(([item]) => (item === undefined ? [] : [item]));
}
