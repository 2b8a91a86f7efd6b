import { CommandError } from '../../commands/run.ts';
import type { Clock } from '../../core/clock.ts';
import { ConfigError, EnvironmentError, InfeasibleModelError, InterruptedError } from '../../core/errors.ts';
import type { Metrics, Outcome } from '../../core/trial.ts';
import { percentileMs, type Latency } from '../../latency/latency.ts';
import { bytesOf } from '../../latency/roofline.ts';
import { keepsLimit, runPercentileMs, someSettingMeets } from '../../latency/setting.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph, type NetworkCount } from '../../models/counts.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { EvaluationProgress } from '../../search/evaluator.ts';
import { overBudget } from '../budget.ts';
import type { LatencyMeter, StudyContext } from '../context.ts';
import { isTriedAgain, maxAttempts } from '../journal/failures.ts';
import type { Proposal, Trial } from '../journal/record.ts';
import { predictionOf, refusedBy } from './screening.ts';
import { growthRefusal } from './training-schedule.ts';
import { isProfile, type TargetConfig } from '../study-file.ts';
import type { Limit } from '../sizes.ts';
import { comparable, measureAtSettings, measureIfAble, settledTarget } from './target-settings.ts';

/** Counts of a spec, kept as long as the spec is: building a graph takes a millisecond, and estimates ask for every trial's. */
export function countSpec(spec: NetworkSpec): NetworkCount {
  const known = counts.get(spec) ?? countGraph(buildNetwork(spec, 1));
  counts.set(spec, known);
  return known;
}

const counts = new WeakMap<NetworkSpec, NetworkCount>();

/** Memo key of a network's latency on a target. */
export function latencyId(target: string, specDigest: string): string {
  return `${target} ${specDigest}`;
}

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
  if (target.settings) {
    const chosen = record.latency(id) ?? (await latencyAtSettings(context, spec, id, targetName));
    return record.measureOnce(id, targetName, () => Promise.resolve(chosen));
  }
  await predictionOf(context, { spec, specDigest: digest }, targetName);
  return measureIfAble(context, id, targetName, async () => {
    signal.throwIfAborted();
    return meter.measureSpec(spec, target);
  });
}

/** A network's latency at the setting that suits it best, of those that its target offers. */
function latencyAtSettings(context: StudyContext, spec: NetworkSpec, id: string, targetName: string): Promise<Latency> {
  const config = context.config.targets[targetName] as TargetConfig;
  const count = countSpec(spec);
  return measureAtSettings(context, {
    id,
    target: targetName,
    config,
    bytesAt: (setting) => runBytes(count, setting),
    measure: (target) => context.meter.measureSpec(spec, target),
  });
}

/**
 * A network's latency on a target measured again, thoroughly or of its file, at the setting that was chosen for it and
 * in the unit that the target's latencies compare in.
 */
export function measureAgain(
  context: Pick<StudyContext, 'config' | 'record' | 'meter'>,
  { id, ...network }: NetworkOnTarget & { readonly id: string },
  measure: (target: TargetConfig) => Promise<Latency>,
): Promise<Latency> {
  return context.record.measureOnce(id, network.target, () => measureSettled(context, network, measure));
}

/** A network, by its digest, where a study has measured it. */
interface NetworkOnTarget {
  readonly target: string;
  readonly digest: string;
}

/** A latency at the setting that was chosen for a network, in the unit that its target's latencies compare in. */
export async function measureSettled(
  { config, record, meter }: Pick<StudyContext, 'config' | 'record' | 'meter'>,
  { target: name, digest }: NetworkOnTarget,
  measure: (target: TargetConfig) => Promise<Latency>,
): Promise<Latency> {
  const target = config.targets[name];
  if (!target) throw new ConfigError(`expected a target of the study, got ${name}`);
  const latency = await measure(settledTarget(record, target, latencyId(name, digest)));
  const kept = comparable(target, latency);
  if (kept !== latency) meter.converted?.(latency, kept);
  return kept;
}

/**
 * A meter that tries again, up to three times in all, where another try may succeed. What it throws has taken all the
 * tries: as long as the meter says the device was busy, else as long as was waited.
 */
export function patientMeter(meter: LatencyMeter, signal: AbortSignal, clock: Clock): LatencyMeter {
  const seconds = new WeakMap<object, number>();
  const patiently = async (measure: () => Promise<Latency>): Promise<Latency> => {
    let lostS = 0;
    const startMs = clock.now();
    const charge = (given: object): void => {
      const own = meter.secondsOf?.(given);
      if (own !== undefined) seconds.set(given, own + lostS);
    };
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        const latency = await measure();
        charge(latency);
        return latency;
      } catch (error) {
        charge(error as object);
        if (!seconds.has(error as object)) seconds.set(error as object, (clock.now() - startMs) / 1000);
        if (!isPassing(error) || attempt >= maxAttempts) throw error;
        lostS = seconds.get(error) ?? 0;
      }
    }
  };
  return {
    measureSpec: (...asked) => patiently(() => meter.measureSpec(...asked)),
    measureFile: (...asked) => patiently(() => meter.measureFile(...asked)),
    converted: (given, kept) => {
      meter.converted?.(given, kept);
      const own = seconds.get(given);
      if (own !== undefined) seconds.set(kept, own);
    },
    journalled: (latency) => meter.journalled?.(latency),
    secondsOf: (given) => seconds.get(given),
    close: () => meter.close(),
  };
}

/** Whether another try may succeed: a lost device, a crashed driver. Commands try again by themselves. */
function isPassing(error: unknown): error is EnvironmentError {
  return error instanceof EnvironmentError && error.retry && !(error instanceof CommandError);
}

/**
 * Whether a run of a latency may keep a limit, for choosing among candidates: a p90 stands in for a p99 that is not known,
 * which flatters. What is said of delivered files goes by {@link keepsLimit}.
 */
export function mayMeetLimit(latency: Latency, limit: { readonly percentile: number; readonly ms: number }): boolean {
  return keepsLimit(latency, limit) !== false;
}

/** What a trial may cost on a target, checked before anything is trained. */
export interface Bounds {
  readonly target: string;
  readonly limit?: Limit | undefined;
}

/**
 * Issues proposals and answers at once those that the final trainings could not grow, and those that cannot meet a hard limit
 * or run on a target: memory from counts, then latency, predicted and measured. Latencies are measured one after the other, nothing training beside them.
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
    const answer = await firstBrokenBound(context, trial, bounds).catch((error: unknown) => ({
      ...measuringFailed(error),
      // Of the measurement that failed alone: those before it are charged as what they are.
      spentS: context.meter.secondsOf?.(error as object) ?? 0,
    }));
    // It may have been cancelled meanwhile.
    if (answer && !record.outcome(trial.id)) record.answer(trial.id, answer);
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
  const refusal = growthRefusal(context.config, trial.spec);
  if (refusal !== undefined) return { status: 'infeasible', reason: 'unsupported', detail: refusal };
  const count = countSpec(trial.spec);
  for (const { target } of bounds) {
    const config = targets[target] as TargetConfig;
    const { memory } = config;
    const bytes = leastRunBytes(count, config);
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
    // The limit is the base's here: a larger member may take another setting, and needs one that leaves it room.
    if (limit && !someSettingMeets(latency, limit)) {
      const observed = runPercentileMs(latency, limit.percentile);
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

/** Bytes of a run at the setting of a target that needs fewest. */
export function leastRunBytes(count: NetworkCount, { settings, ...config }: TargetConfig): number {
  return Math.min(...(settings ?? [config]).map((setting) => runBytes(count, setting)));
}

/**
 * A user's program or a device that could not measure one network, as the answer of its trial; other errors go on,
 * as does one that could measure none.
 */
function measuringFailed(error: unknown): Extract<Outcome, { status: 'failed' }> {
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
  /** Whether a delivery cannot do without a trial, as things stand: it is trained though the device hours are used. */
  readonly isNeeded?: (trial: Trial) => boolean;
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
  for (let again = true; again;) {
    await evaluateUnanswered(context, trials, options);
    // Somebody may have asked for one that failed meanwhile.
    again = trials.some((trial) => !isAnswered(context, trial, options.keepWeights));
  }
}

async function evaluateUnanswered(
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
      await evaluateOne({ ...context, signal }, trial, options, (text) =>
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

/** Whether a trial needs no (further) training. Kept weights that are gone must be trained again; an environment's failure may be tried again. */
export function isAnswered({ record, artefacts }: StudyContext, trial: Trial, keepWeights: boolean): boolean {
  const outcome = record.outcome(trial.id);
  if (outcome === undefined) return false;
  if (outcome.status === 'ok' && keepWeights)
    return (
      (outcome.checkpoint !== undefined && artefacts.has(outcome.checkpoint)) ||
      record.attempts(trial.id) >= maxAttempts
    );
  return !isTriedAgain(outcome, record.attempts(trial.id));
}

async function evaluateOne(
  context: StudyContext,
  trial: Trial,
  { keepWeights, isNeeded }: EvaluateOptions,
  say: (text: string) => void,
): Promise<void> {
  const { record, signal } = context;
  while (!isAnswered(context, trial, keepWeights)) {
    if (signal.aborted) throw new InterruptedError(`${trial.id}: interrupted before it was trained`);
    const refusal = overBudget(context, trial, isNeeded?.(trial));
    const outcome = refusal ?? (await attempt(context, trial, keepWeights, say));
    if (outcome === 'cancelled') return;
    record.answer(
      trial.id,
      outcome.status === 'ok'
        ? { ...outcome, metrics: { ...outcome.metrics, ...knownMetrics(context, trial) } }
        : outcome,
    );
  }
}

/** One evaluation, as its evaluator answers it; what is cancelled meanwhile has its answer already. */
async function attempt(
  context: StudyContext,
  trial: Trial,
  keepWeights: boolean,
  say: (text: string) => void,
): Promise<Outcome | 'cancelled'> {
  const { record, evaluator, requests, clock } = context;
  const startMs = clock.now();
  let begunMs: number | undefined;
  const cancelled = requests?.signalOf(trial.id, () =>
    begunMs === undefined ? 0 : Math.max(0, clock.now() - begunMs) / 1000,
  );
  try {
    const outcome = await evaluator.evaluate(trial, {
      fidelity: trial.fidelity,
      attempt: record.attempts(trial.id) + 1,
      signal: cancelled ? AbortSignal.any([context.signal, cancelled]) : context.signal,
      keepWeights,
      onBegun: () => (begunMs = clock.now()),
      onNotice: (text) => context.onNotice(trial.id, text),
      onProgress: (progress) => say(`${trial.id} ${progressText(progress, trial.fidelity.examples)}`),
    });
    if (cancelled?.aborted) return 'cancelled';
    if (outcome.status !== 'failed' || outcome.spentS !== undefined || evaluator.inFlight !== undefined) return outcome;
    // Nothing stands between: a failure took as long as it was waited for.
    return { ...outcome, spentS: Math.max(0, clock.now() - startMs) / 1000 };
  } catch (error) {
    if (cancelled?.aborted && !context.signal.aborted) return 'cancelled';
    throw error;
  } finally {
    if (cancelled && !cancelled.aborted) requests?.over(trial.id);
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

/**
 * Mean hold-out accuracy over a network's trainings, one a seed. A seed that diverged has learned nothing and counts as 0; one
 * that failed tells nothing of the network. Undefined while no training ended well.
 */
export function meanAccuracy(context: StudyContext, trials: readonly Pick<Trial, 'id'>[]): number | undefined {
  const scores = trials.flatMap(({ id }) =>
    context.record.outcome(id)?.status === 'infeasible' ? [0] : (accuracyOf(context, id) ?? []),
  );
  if (scores.every((score) => score === 0)) return undefined;
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}
