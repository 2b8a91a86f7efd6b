import type { Clock } from '../core/clock.ts';
import { ConfigError } from '../core/errors.ts';
import type { Choices, Metrics } from '../core/trial.ts';
import type { ObservedTrial } from '../search/controller.ts';
import { openController } from '../search/controllers.ts';
import { accuracyAndLatencies } from '../search/objectives.ts';
import { paretoSet } from '../search/pareto.ts';
import { rewardOf } from '../search/reward.ts';
import { isTabularSpace, readTable, type ResultTable } from '../search/table.ts';
import { baseBounds, rewardFor } from './search-phase.ts';
import type { StudyConfig } from './study-file.ts';

/** A trial of a replayed search. Times are simulated seconds from its start. */
export interface ReplayedTrial {
  readonly id: string;
  readonly choices: Choices;
  readonly status: 'ok' | 'infeasible';
  /** Why it is infeasible. */
  readonly reason?: string;
  /** On `infeasible`, where known: by how much of its limits it is over them. */
  readonly violation?: number;
  readonly metrics: Metrics;
  readonly reward?: number;
  readonly startedS: number;
  readonly endedS: number;
}

/** What a search would have found, and how long it would have taken. */
export interface Replay {
  readonly seed: number;
  readonly trials: readonly ReplayedTrial[];
  /** Simulated wall time of the search. */
  readonly wallS: number;
  /** Training time of all trials together. */
  readonly workS: number;
  readonly best: ReplayedTrial | undefined;
  /** Trials that no other beats in accuracy and every latency. */
  readonly front: readonly ReplayedTrial[];
}

export interface ReplayOptions {
  readonly seed: number;
  /** Trainings at once. */
  readonly workers: number;
  /** Simulated, or replaying a search takes as long as searching did. */
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** The table of a study that is replayed. @throws {ConfigError} when the study has none, or none for each of its targets. */
export function studyTable({ table, search, targets, baseDirectory }: StudyConfig): ResultTable {
  if (table === undefined || !isTabularSpace(search.space))
    throw new ConfigError('expected a study with trainer.table and a space of its own, got one that trains networks');
  for (const metric of ['accuracy', ...Object.keys(targets).map((target) => `latencyMs.${target}`)])
    if (!Object.hasOwn(table.metrics, metric))
      throw new ConfigError(
        `trainer.table.metrics: expected ${metric}, got only ${Object.keys(table.metrics).join(', ')}`,
      );
  return readTable(table, search.space, baseDirectory);
}

/**
 * A study's search over results that are known already, in simulated time: the rounds, limits, controller, reward and time
 * budget of the study, with `workers` trainings at once. A training takes the table's cost; latencies take no time,
 * because tables do not say what measuring cost. Finalists are not trained again: a table has one training a row.
 */
export async function replaySearch(
  config: StudyConfig,
  table: ResultTable,
  { seed, workers, clock, signal }: ReplayOptions,
): Promise<Replay> {
  const { search, budget, targets } = config;
  const objectives = accuracyAndLatencies(Object.keys(targets));
  const { space, identity } = table;
  const controller = openController(search.controller, { space, seed, identity, objectives, trials: search.trials });
  const startMs = clock.now();
  const nowS = (): number => (clock.now() - startMs) / 1e3;
  const endS = budget.time === undefined ? Infinity : (budget.time / 1e3) * budget.split.search;
  const trials: ReplayedTrial[] = [];
  while (trials.length < search.trials && nowS() < endS) {
    signal?.throwIfAborted();
    const freeS = Array.from({ length: workers }, nowS);
    const round = controller.suggest(Math.min(search.round, search.trials - trials.length)).map((choices, place) => {
      const answer = answerOf(config, table, choices);
      // A training begins on the worker that is free first; what is infeasible takes none.
      const worker = freeS.indexOf(Math.min(...freeS));
      const startedS = answer.status === 'ok' ? (freeS[worker] ?? 0) : nowS();
      const endedS = startedS + (answer.status === 'ok' ? answer.costS : 0);
      if (answer.status === 'ok') freeS[worker] = endedS;
      const { costS: _spent, ...told } = answer;
      return { id: `t${trials.length + place + 1}`, choices, ...told, startedS, endedS };
    });
    controller.observe(
      round.map((trial): ObservedTrial => ({ ...trial, fidelity: { examples: search.examples, seed } })),
    );
    trials.push(...round);
    await clock.sleep((Math.max(...freeS) - nowS()) * 1e3, signal);
  }
  const finished = trials.filter(({ status }) => status === 'ok');
  return {
    seed,
    trials,
    wallS: nowS(),
    workS: finished.reduce((sum, { startedS, endedS }) => sum + endedS - startedS, 0),
    best: bestOf(finished),
    front: paretoSet(
      finished,
      ({ metrics }) => objectives.map(({ metric }) => metrics[metric] ?? NaN),
      objectives.map(({ direction }) => direction),
    ),
  };
}

/** The highest reward that the table holds within the study's limits; undefined when no row is within them. */
export function bestReward(config: StudyConfig, table: ResultTable): number | undefined {
  const rewards = table.rows.flatMap((row) => {
    const judged = judge(config, row.metrics);
    return judged.status === 'ok' ? [judged.reward] : [];
  });
  return rewards.length === 0 ? undefined : rewards.reduce((a, b) => Math.max(a, b));
}

/** The trial of highest reward, the first of equals. */
export function bestOf(trials: readonly ReplayedTrial[]): ReplayedTrial | undefined {
  const score = ({ reward = -Infinity }: ReplayedTrial): number => reward;
  return trials.reduce<ReplayedTrial | undefined>(
    (best, trial) => (trial.status === 'ok' && (!best || score(trial) > score(best)) ? trial : best),
    undefined,
  );
}

type Judged = { readonly metrics: Metrics } & (
  | { readonly status: 'ok'; readonly reward: number }
  | { readonly status: 'infeasible'; readonly reason: string; readonly violation?: number }
);

function answerOf(config: StudyConfig, table: ResultTable, choices: Choices): Judged & { readonly costS: number } {
  const row = table.rowOf(choices);
  if (row === undefined) return { status: 'infeasible', reason: 'the table has no such row', metrics: {}, costS: 0 };
  return { ...judge(config, row.metrics), costS: row.costS };
}

function judge(config: StudyConfig, metrics: Metrics): Judged {
  const needed = ['accuracy', ...Object.keys(config.targets).map((target) => `latencyMs.${target}`)];
  const missing = needed.filter((metric) => metrics[metric] === undefined);
  if (missing.length > 0) return { status: 'infeasible', reason: `its row has no ${missing.join(', no ')}`, metrics };
  // A study measures before it trains, and stops at the first limit that is broken: no more is known of such a network.
  for (const { target, limit } of baseBounds(config)) {
    const latency = `latencyMs.${target}`;
    const observed = metrics[latency] ?? 0;
    if (limit === undefined || observed <= limit.ms) continue;
    const reason = `${observed.toPrecision(3)} ms on ${target} against ${limit.ms.toPrecision(3)}`;
    return { status: 'infeasible', reason, violation: observed / limit.ms - 1, metrics: { [latency]: observed } };
  }
  return { status: 'ok', reward: rewardOf(rewardFor(config), metrics), metrics };
}
