import { CommandError } from '../commands/run.ts';
import { ConfigError, EnvironmentError, InfeasibleModelError, InterruptedError } from '../core/errors.ts';
import type { Metrics, Outcome } from '../core/trial.ts';
import { percentileMs, type Latency } from '../latency/latency.ts';
import { bytesOf } from '../latency/roofline.ts';
import { buildNetwork } from '../models/build.ts';
import { countGraph, type NetworkCount } from '../models/counts.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { EvaluationProgress } from '../search/evaluator.ts';
import type { LatencyMeter, StudyContext } from './context.ts';
import type { Proposal, Trial } from './record.ts';
import { predictionOf, refusedBy } from './screening.ts';
import { isProfile, type Limit, type TargetConfig } from './study-file.ts';

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

/** What the journal keeps of a network that a target cannot run. */
type Inability = Pick<InfeasibleModelError, 'reason' | 'message' | 'limit' | 'observed'>;

/**
 * A network's latency on a target by the study's protocol; measured once in a study.
 * @throws {InfeasibleModelError} when the target cannot run it, which is found out once, too.
 */
export async function latencyOf(
  context: StudyContext,
  spec: NetworkSpec,
  digest: string,
  targetName: string,
): Promise<Latency> {
  const target = context.config.targets[targetName];
  if (!target) throw new ConfigError(`expected a target of the study, got ${targetName}`);
  const { record, meter, signal } = context;
  const id = latencyId(targetName, digest);
  const unable = `unable ${id}`;
  const known = record.decision(unable) as Inability | undefined;
  if (known) throw new InfeasibleModelError(known.message, known);
  await predictionOf(context, { spec, specDigest: digest }, targetName);
  try {
    return await record.measureOnce(id, targetName, () => {
      signal.throwIfAborted();
      return meter.measureSpec(spec, target);
    });
  } catch (error) {
    if (!(error instanceof InfeasibleModelError)) throw error;
    const { reason, message, limit, observed } = error;
    await record.decideOnce(unable, () => ({
      value: { reason, message, limit, observed },
      because: 'the target says so',
    }));
    throw error;
  }
}

/** A meter that tries again, up to three times in all, where another try may succeed. */
export function patientMeter(meter: LatencyMeter, signal: AbortSignal): LatencyMeter {
  const patiently = async (measure: () => Promise<Latency>): Promise<Latency> => {
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        return await measure();
      } catch (error) {
        if (!isPassing(error) || attempt >= maxAttempts) throw error;
      }
    }
  };
  return {
    measureSpec: (...asked) => patiently(() => meter.measureSpec(...asked)),
    measureFile: (...asked) => patiently(() => meter.measureFile(...asked)),
    journalled: (latency) => meter.journalled?.(latency),
    close: () => meter.close(),
  };
}

/** Whether another try may succeed: a lost device, a crashed driver. Commands try again by themselves. */
function isPassing(error: unknown): error is EnvironmentError {
  return error instanceof EnvironmentError && error.retry && !(error instanceof CommandError);
}

/** Whether a latency is within a limit; a p99 limit is judged on p90 until there are samples enough for a p99. */
export function meetsLimit(latency: Latency, limit: { readonly percentile: number; readonly ms: number }): boolean {
  return percentileMs(latency, limit.percentile) <= limit.ms;
}

/** What a trial may cost on a target, checked before anything is trained. */
export interface Bounds {
  readonly target: string;
  readonly limit?: Limit | undefined;
}

/**
 * Issues proposals and answers at once those that cannot meet a hard limit or run on a target: memory from
 * counts, then latency, predicted and measured. Latencies are measured one after the other, nothing training beside them.
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
    const answer = await firstBrokenBound(context, trial, bounds).catch(measuringFailed);
    if (answer) record.answer(trial.id, answer);
    stopIfFailing(context, answer);
  }
  return [...trials.values()];
}

/** What is counted or predicted costs nothing, so it goes first; only what passes that on every target is measured. */
async function firstBrokenBound(
  context: StudyContext,
  trial: Trial,
  bounds: readonly Bounds[],
): Promise<Outcome | undefined> {
  const { targets } = context.config;
  const count = countSpec(trial.spec);
  for (const { target } of bounds) {
    const { memory, ...config } = targets[target] as TargetConfig;
    const bytes = runBytes(count, config);
    if (memory !== undefined && bytes > memory)
      return { status: 'infeasible', reason: 'memory', detail: `on ${target}`, limit: memory, observed: bytes };
  }
  for (const { target, limit } of bounds) {
    const prediction = limit && (await refusedBy(context, trial, target, limit));
    if (!limit || !prediction) continue;
    const detail = `on ${target}, predicted`;
    const metrics = { ...countMetrics(count), [`predictedMs.${target}`]: prediction.p50Ms };
    const observed = percentileMs(prediction, limit.percentile);
    return { status: 'infeasible', reason: 'latency', detail, limit: limit.ms, observed, metrics };
  }
  const isMeasured = ({ target }: Bounds) => Number(!isProfile(targets[target]?.device ?? ''));
  for (const { target, limit } of bounds.toSorted((a, b) => isMeasured(a) - isMeasured(b))) {
    const latency = await latencyOf(context, trial.spec, trial.specDigest, target).catch(infeasibleOutcome);
    if ('status' in latency) return latency;
    if (limit && !meetsLimit(latency, limit)) {
      const observed = percentileMs(latency, limit.percentile);
      const metrics = { ...countMetrics(count), [`latencyMs.${target}`]: latency.p50Ms };
      return { status: 'infeasible', reason: 'latency', detail: `on ${target}`, limit: limit.ms, observed, metrics };
    }
  }
  return undefined;
}

/** Weights and most activations alive at once, of a whole batch in the target's precision. */
export function runBytes(
  { weightBytes, peakBytes }: NetworkCount,
  { batch, precision }: Pick<TargetConfig, 'batch' | 'precision'>,
): number {
  return ((weightBytes + peakBytes * batch) * bytesOf[precision]) / bytesOf.fp32;
}

/**
 * A user's program or a device that could not measure one network, as the answer of its trial; other errors go on,
 * as does one that could measure none.
 */
function measuringFailed(error: unknown): Outcome {
  const isOfOne =
    error instanceof CommandError && ['exit', 'noResult', 'overtime', 'silent', 'told'].includes(error.failure);
  if (!isOfOne && !isPassing(error)) throw error;
  // It was tried three times already; a study that is opened again tries anew.
  return { status: 'failed', code: error.code, retry: false, detail: error.message };
}

/** A network that a target cannot run, as the answer of its trial; other errors go on. */
export function infeasibleOutcome(error: unknown): Outcome {
  if (!(error instanceof InfeasibleModelError)) throw error;
  const { reason, message, limit, observed } = error;
  return {
    status: 'infeasible',
    reason,
    detail: message,
    ...(limit === undefined ? {} : { limit }),
    ...(observed === undefined ? {} : { observed }),
  };
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
  const { slots, inFlight } = context.evaluator;
  // When one stops (aborted, or too many failures) the others take nothing more. What runs here is waited for; what
  // waits in a queue may do so for days, and is taken back.
  const stopping = new AbortController();
  const signal = inFlight === undefined ? context.signal : AbortSignal.any([context.signal, stopping.signal]);
  let first: { readonly error: unknown } | undefined;
  const work = async () => {
    for (let trial = waiting.shift(); trial; trial = waiting.shift()) {
      const { phase, id } = trial;
      await evaluateOne({ ...context, signal }, trial, options.keepWeights, (text) =>
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
  const worker = () =>
    work().catch((error: unknown) => {
      waiting.length = 0;
      first ??= { error };
      stopping.abort();
    });
  await Promise.all(Array.from({ length: Math.min(inFlight ?? slots, total) }, worker));
  if (first) throw first.error;
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
      attempt: record.attempts(trial.id) + 1,
      signal,
      keepWeights,
      onNotice: (text) => context.onNotice(trial.id, text),
      onProgress: (progress) => say(`${trial.id} ${progressText(progress, trial.fidelity.examples)}`),
    });
    record.answer(
      trial.id,
      outcome.status === 'ok'
        ? { ...outcome, metrics: { ...outcome.metrics, ...knownMetrics(context, trial) } }
        : outcome,
    );
  }
}

function progressText({ examples, loss, imagesPerS }: EvaluationProgress, of: number): string {
  const share = `${Math.round((100 * examples) / of)} %`;
  const known = [
    ...(loss === undefined ? [] : [`loss ${loss.toFixed(2)}`]),
    ...(imagesPerS === undefined ? [] : [`${Math.round(imagesPerS)} images/s`]),
  ];
  return known.length === 0 ? share : `${share} (${known.join(', ')})`;
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
