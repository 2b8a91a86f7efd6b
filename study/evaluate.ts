import { ConfigError, EnvironmentError, InterruptedError } from '../core/errors.ts';
import type { Metrics, Outcome } from '../core/trial.ts';
import { percentileMs, type Latency } from '../latency/latency.ts';
import { buildNetwork } from '../models/build.ts';
import { countGraph, type NetworkCount } from '../models/counts.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { StudyContext } from './context.ts';
import type { Proposal, Trial } from './record.ts';
import type { Limit } from './study-file.ts';

/** Attempts before an evaluation that keeps failing is given up. */
const maxAttempts = 3;

/** Counts of a spec; building the graph is cheap, so nothing is cached. */
export function countSpec(spec: NetworkSpec): NetworkCount {
  return countGraph(buildNetwork(spec, 1));
}

/** Memo key of a network's latency on a target. */
export function latencyId(target: string, specDigest: string): string {
  return `${target} ${specDigest}`;
}

/** A network's latency on a target by the study's protocol; measured once in a study. */
export async function latencyOf(
  context: StudyContext,
  spec: NetworkSpec,
  digest: string,
  targetName: string,
): Promise<Latency> {
  const target = context.config.targets[targetName];
  if (!target) throw new ConfigError(`expected a target of the study, got ${targetName}`);
  return context.record.measureOnce(latencyId(targetName, digest), targetName, async () => {
    context.signal.throwIfAborted();
    return context.meter.measureSpec(spec, target);
  });
}

/** Whether a latency is within a limit; a p99 limit is judged on p90 until there are samples enough for a p99. */
export function meetsLimit(latency: Latency, limit: Limit): boolean {
  return percentileMs(latency, limit.percentile) <= limit.ms;
}

/** What a trial may cost on a target, checked before anything is trained. */
export interface Bounds {
  readonly target: string;
  readonly limit?: Limit | undefined;
}

/**
 * Issues proposals and answers at once those that cannot meet a hard limit: memory from counts,
 * then latency, measured. Latencies are measured one after the other, nothing training beside them.
 * @returns the trials, in order, without duplicates; feasible ones have no outcome yet.
 */
export async function admit(
  context: StudyContext,
  proposals: readonly Proposal[],
  bounds: readonly Bounds[],
): Promise<Trial[]> {
  const { record } = context;
  const trials = new Map<string, Trial>();
  for (const proposal of proposals) {
    context.signal.throwIfAborted();
    const trial = record.issue(proposal);
    trials.set(trial.id, trial);
    if (record.outcome(trial.id)) continue;
    const infeasible = await firstBrokenBound(context, trial, bounds);
    if (infeasible) record.answer(trial.id, infeasible);
  }
  return [...trials.values()];
}

async function firstBrokenBound(
  context: StudyContext,
  trial: Trial,
  bounds: readonly Bounds[],
): Promise<Outcome | undefined> {
  const count = countSpec(trial.spec);
  for (const { target, limit } of bounds) {
    const config = context.config.targets[target];
    const bytes = count.weightBytes + count.peakBytes * (config?.batch ?? 1);
    if (config?.memory !== undefined && bytes > config.memory)
      return { status: 'infeasible', reason: 'memory', detail: `on ${target}`, limit: config.memory, observed: bytes };
    const latency = await latencyOf(context, trial.spec, trial.specDigest, target);
    if (limit && !meetsLimit(latency, limit)) {
      const observed = percentileMs(latency, limit.percentile);
      const metrics = { ...countMetrics(count), [`latencyMs.${target}`]: latency.p50Ms };
      return { status: 'infeasible', reason: 'latency', detail: `on ${target}`, limit: limit.ms, observed, metrics };
    }
  }
  return undefined;
}

export interface EvaluateOptions {
  /** What these trials are part of and how it stands, for the progress line. */
  readonly label: string;
  /** Keep the trained weights as artefacts. */
  readonly keepWeights: boolean;
}

/**
 * Trains what has no answer yet, as many at once as the evaluator has slots, and journals every answer.
 * @throws {EnvironmentError} when failures pass the study's threshold; its message quotes the last cause.
 */
export async function evaluateAll(
  context: StudyContext,
  trials: readonly Trial[],
  options: EvaluateOptions,
): Promise<void> {
  const waiting = trials.filter((trial) => !isAnswered(context, trial, options.keepWeights));
  const total = waiting.length;
  let done = 0;
  let failed = 0;
  const work = async () => {
    for (let trial = waiting.shift(); trial; trial = waiting.shift()) {
      const { phase, id } = trial;
      await evaluateOne(context, trial, options.keepWeights, (text) =>
        context.onProgress({
          phase,
          text: `${options.label}; ${done}/${total} of these trained${failed > 0 ? `, ${failed} failed` : ''}; ${text}`,
        }),
      );
      done++;
      const outcome = context.record.outcome(id);
      if (outcome?.status === 'failed') failed++;
      stopIfFailing(context, outcome);
    }
  };
  // When one stops (aborted, or too many failures) the others take nothing more; what runs is waited for.
  const worker = () =>
    work().catch((error: unknown) => {
      waiting.length = 0;
      throw error;
    });
  const results = await Promise.allSettled(Array.from({ length: Math.min(context.evaluator.slots, total) }, worker));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Kept weights that are gone must be trained again; an environment's failure may be tried again. */
function isAnswered({ record, artefacts }: StudyContext, trial: Trial, keepWeights: boolean): boolean {
  const outcome = record.outcome(trial.id);
  if (outcome === undefined) return false;
  if (outcome.status === 'ok' && keepWeights)
    return (
      (outcome.checkpoint !== undefined && artefacts.has(outcome.checkpoint)) ||
      record.attempts(trial.id) >= maxAttempts
    );
  return !(outcome.status === 'failed' && outcome.retry && record.attempts(trial.id) < maxAttempts);
}

async function evaluateOne(
  context: StudyContext,
  trial: Trial,
  keepWeights: boolean,
  say: (text: string) => void,
): Promise<void> {
  const { record, evaluator, signal } = context;
  while (!isAnswered(context, trial, keepWeights)) {
    if (signal.aborted) throw new InterruptedError(`${trial.id}: interrupted before it was trained`);
    const outcome = await evaluator.evaluate(trial, {
      fidelity: trial.fidelity,
      signal,
      keepWeights,
      onProgress: ({ examples, loss, imagesPerS }) =>
        say(
          `${trial.id} ${Math.round((100 * examples) / trial.fidelity.examples)} % (loss ${loss.toFixed(2)}, ${Math.round(imagesPerS)} images/s)`,
        ),
    });
    record.answer(
      trial.id,
      outcome.status === 'ok'
        ? { ...outcome, metrics: { ...outcome.metrics, ...knownMetrics(context, trial) } }
        : outcome,
    );
  }
}

function countMetrics({ params, macs, activations, peakBytes, weightBytes }: NetworkCount): Metrics {
  return { params, macs, activations, peakBytes, weightBytes };
}

/** What is known of a trial's network without training it: counts, and latencies measured so far. */
export function knownMetrics({ config, record }: StudyContext, trial: Trial): Metrics {
  const latencies = Object.keys(config.targets).flatMap((target) => {
    const latency = record.latency(latencyId(target, trial.specDigest));
    return latency ? [[`latencyMs.${target}`, latency.p50Ms] as const] : [];
  });
  return { ...countMetrics(countSpec(trial.spec)), ...Object.fromEntries(latencies) };
}

function stopIfFailing({ record, config }: StudyContext, last: Outcome | undefined): void {
  if (last?.status !== 'failed') return;
  const { failed, ok } = record.evaluated;
  const { stopAfterFirst, maxShare } = config.failures;
  const allFail = ok === 0 && failed >= stopAfterFirst;
  const tooMany = failed > stopAfterFirst && failed > maxShare * (failed + ok);
  if (allFail || tooMany)
    throw new EnvironmentError(
      `${failed} of ${failed + ok} evaluations failed, so the study stopped; the last: ${last.code}: ${last.detail}`,
    );
}

/** Accuracy of a finished trial on the hold-out; undefined while it has none. */
export function accuracyOf({ record }: StudyContext, trial: string): number | undefined {
  const outcome = record.outcome(trial);
  return outcome?.status === 'ok' ? outcome.metrics['accuracy'] : undefined;
}
