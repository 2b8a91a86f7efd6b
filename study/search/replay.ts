import type { Clock } from '../../core/clock.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Choices, Metrics } from '../../core/trial.ts';
import { openController } from '../../search/controllers.ts';
import { accuracyAndLatencies } from '../../search/objectives.ts';
import { paretoSet } from '../../search/pareto.ts';
import { deviceTransfer } from '../../search/regret.ts';
import { rewardOf } from '../../search/reward.ts';
import { type Assignment, type RungAnswer, SuccessiveHalving } from '../../search/successive-halving.ts';
import { isTabularSpace, readTable, type ResultTable } from '../../search/table.ts';
import { baseBounds, rankBases, rewardFor, targetRewards } from './base-choice.ts';
import { rungsOf, type StudyConfig } from '../study-file.ts';

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
  /** Index of its rung; a network that was promoted is a trial at each. */
  readonly rung: number;
  /** The network's trial at the lowest rung. */
  readonly network: string;
  readonly startedS: number;
  readonly endedS: number;
}

/** What a search would have found, and how long it would have taken. */
export interface Replay {
  readonly seed: number;
  /** In the order in which they began. */
  readonly trials: readonly ReplayedTrial[];
  /** Simulated wall time of the search. */
  readonly wallS: number;
  /** Training time of all trials together. */
  readonly workS: number;
  /** Of the trials at the highest rung that was reached. */
  readonly best: ReplayedTrial | undefined;
  /** Of those, the trials that no other beats in accuracy and every latency. */
  readonly front: readonly ReplayedTrial[];
}

export interface ReplayOptions {
  readonly seed: number;
  /** Trainings at once. */
  readonly workers: number;
  /** Decide whenever a training ends, as a fleet with several rungs does, with `search.round` networks under way. Default: in rounds. */
  readonly rolling?: boolean;
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
  return readTable(table, search.space, baseDirectory, rungsOf(search).length);
}

/**
 * A study's search over results that are known already, in simulated time: the rounds, rungs, limits, controller, reward and time
 * budget of the study, with `workers` trainings at once. A training takes the table's cost; latencies take no time,
 * because tables do not say what measuring cost. Finalists are not trained again: a table has one training a row.
 */
export async function replaySearch(
  config: StudyConfig,
  table: ResultTable,
  { seed, workers, clock, signal, rolling = false }: ReplayOptions,
): Promise<Replay> {
  const { search, budget } = config;
  const halving = openHalving(config, table, seed);
  const startMs = clock.now();
  const nowS = (): number => (clock.now() - startMs) / 1e3;
  const endS = budget.time === undefined ? Infinity : (budget.time / 1e3) * budget.split.search;
  const freeS = Array.from({ length: workers }, () => 0);
  const trials: ReplayedTrial[] = [];
  let open: readonly ReplayedTrial[] = [];
  for (;;) {
    signal?.throwIfAborted();
    if (nowS() >= endS) halving.close('out-of-time');
    for (const assignment of halving.next(search.round - open.length)) {
      const trial = begin(config, table, { id: `t${trials.length + 1}`, assignment, nowS: nowS(), freeS });
      halving.begin(trial.network, trial.choices, trial.rung);
      trials.push(trial);
      open = [...open, trial];
    }
    if (open.length === 0) break;
    const untilS = (rolling ? Math.min : Math.max)(...open.map(({ endedS }) => endedS));
    await clock.sleep((untilS - nowS()) * 1e3, signal);
    const ended = open.filter(({ endedS }) => endedS <= untilS);
    const [answered, left] = rolling ? [ended.slice(0, 1), open.filter((trial) => trial !== ended[0])] : [open, []];
    for (const trial of answered) halving.answer(trial.network, trial.rung, answerOf(config, trial));
    open = left;
  }
  const finished = trials.filter(({ status }) => status === 'ok');
  const top = topOf(trials);
  const objectives = accuracyAndLatencies(Object.keys(config.targets));
  return {
    seed,
    trials,
    wallS: nowS(),
    workS: finished.reduce((sum, { startedS, endedS }) => sum + endedS - startedS, 0),
    best: bestOf(config, top),
    front: paretoSet(
      top,
      ({ metrics }) => objectives.map(({ metric }) => metrics[metric] ?? NaN),
      objectives.map(({ direction }) => direction),
    ),
  };
}

/**
 * Half the width of a latency's interval that tables do not give, in logarithms: NAS-Bench-201's cells that are one network, measured
 * apart, differ by 2.6 to 12 % (docs/log.md).
 */
const tableTolerance = 0.03;

function openHalving({ search, targets, ...config }: StudyConfig, table: ResultTable, seed: number) {
  const { space, identity, members } = table;
  const { trials, finalists } = search;
  const objectives = accuracyAndLatencies(Object.keys(targets));
  const reward = rewardFor({ search, targets, ...config });
  return new SuccessiveHalving({
    controller: openController(search.controller, {
      space,
      seed,
      identity,
      objectives,
      trials,
      ...(members ? { members } : {}),
    }),
    rungs: rungsOf(search),
    seed,
    trials,
    finalists,
    objectives,
    rewardOf: (metrics) => rewardOf(reward, metrics),
  });
}

/** An assignment as a trial: its training begins on the worker that is free first; what is infeasible takes none. */
function begin(
  config: StudyConfig,
  table: ResultTable,
  { id, assignment, nowS, freeS }: { id: string; assignment: Assignment; nowS: number; freeS: number[] },
): ReplayedTrial {
  const { choices } = assignment;
  const [network, rung] = assignment.kind === 'promotion' ? [assignment.id, assignment.rung] : [id, 0];
  const row = table.rowOf(choices, rung);
  const place = { id, network, rung, choices };
  if (row === undefined) {
    const reason = 'the table has no such row';
    return { ...place, status: 'infeasible', reason, metrics: {}, startedS: nowS, endedS: nowS };
  }
  const judged = judge(config, row.metrics);
  if (judged.status !== 'ok') return { ...place, ...judged, startedS: nowS, endedS: nowS };
  const worker = freeS.indexOf(Math.min(...freeS));
  const startedS = Math.max(nowS, freeS[worker] ?? 0);
  const endedS = startedS + row.costS;
  freeS[worker] = endedS;
  return { ...place, ...judged, startedS, endedS };
}

function answerOf({ targets }: StudyConfig, { status, metrics, violation }: ReplayedTrial): RungAnswer {
  if (status === 'infeasible') return { status, metrics, violation, isTrained: false };
  const tolerances = Object.keys(targets).map((target) => [`latencyMs.${target}`, tableTolerance] as const);
  return { status, metrics, tolerances: Object.fromEntries(tolerances) };
}

/** The highest reward that the table holds within the study's limits; undefined when no row is within them. */
export function bestReward(config: StudyConfig, table: ResultTable): number | undefined {
  const rewards = table.rows.flatMap((row) => {
    const judged = judge(config, row.metrics);
    return judged.status === 'ok' ? [judged.reward] : [];
  });
  return rewards.length === 0 ? undefined : rewards.reduce((a, b) => Math.max(a, b));
}

/**
 * What one target's front of the whole table costs on another, `[from][to]` in the targets' order, limits left aside;
 * undefined with one target. Rows without an accuracy and a latency on every target are left out.
 */
export function tableTransfer(
  { targets }: StudyConfig,
  table: ResultTable,
): ReturnType<typeof deviceTransfer> | undefined {
  const names = Object.keys(targets);
  const networks = table.rows.flatMap(({ metrics }) => {
    const { accuracy } = metrics;
    const latencies = names.flatMap((name) => metrics[`latencyMs.${name}`] ?? []);
    return accuracy !== undefined && latencies.length === names.length ? [{ accuracy, latencies }] : [];
  });
  return names.length < 2 || networks.length === 0 ? undefined : deviceTransfer(networks);
}

/** The trial that the study would take as its base, of the highest rung that has results; the first of equals. */
export function bestOf(config: StudyConfig, trials: readonly ReplayedTrial[]): ReplayedTrial | undefined {
  const finished = topOf(trials);
  const { order } = rankBases(
    config,
    finished.map(({ metrics }) => targetRewards(config, metrics)),
  );
  return finished[order[0] ?? -1];
}

/** Finished trials of the highest rung that has any. */
function topOf(trials: readonly ReplayedTrial[]): readonly ReplayedTrial[] {
  const finished = trials.filter(({ status }) => status === 'ok');
  const highest = Math.max(...finished.map(({ rung }) => rung));
  return finished.filter(({ rung }) => rung === highest);
}

type Judged = { readonly metrics: Metrics } & (
  | { readonly status: 'ok'; readonly reward: number }
  | { readonly status: 'infeasible'; readonly reason: string; readonly violation?: number }
);

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
