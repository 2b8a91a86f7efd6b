import { type Latency, percentileMs } from './latency.ts';

/** One of the ways a target may run a network. */
export interface RunSetting {
  readonly batch: number;
  readonly precision: Latency['precision'];
}

/** A setting as it was measured, or why it was not. */
export type TriedSetting = RunSetting & ({ readonly latency: Latency } | { readonly refusal: string });

/** e.g. `batch 8 in fp16` */
export function settingText({ batch, precision }: RunSetting): string {
  return `batch ${batch} in ${precision}`;
}

/** Every batch in every precision, smaller batches first, precisions in their order. */
export function settingsOf(batches: readonly number[], precisions: readonly RunSetting['precision'][]): RunSetting[] {
  return batches.toSorted((a, b) => a - b).flatMap((batch) => precisions.map((precision) => ({ batch, precision })));
}

/** A latency of one run as time of one example, the batch divided out; its `per` says so. */
export function perExample(latency: Latency): Latency {
  const share = (ms: number): number => ms / latency.batch;
  const { intervalMs, p99Ms, sessionP50Ms, samplesMs } = latency;
  return {
    ...latency,
    per: 'example',
    p50Ms: share(latency.p50Ms),
    p90Ms: share(latency.p90Ms),
    p99Ms: p99Ms === null ? null : share(p99Ms),
    intervalMs: { ...intervalMs, lo: share(intervalMs.lo), hi: share(intervalMs.hi) },
    ...(sessionP50Ms && { sessionP50Ms: sessionP50Ms.map(share) }),
    ...(samplesMs && { samplesMs: samplesMs.map(share) }),
  };
}

/** A percentile of the time of one whole run, as {@link percentileMs}: what limits are of. */
export function runPercentileMs(latency: Latency, percentile: number): number {
  return percentileMs(latency, percentile) * (latency.per === 'example' ? latency.batch : 1);
}

/** What a run may take. */
export interface RunLimit {
  readonly percentile: number;
  readonly ms: number;
}

/** Whether a limit is kept; `unknown` where what was measured does not tell. */
export type LimitMet = boolean | 'unknown';

/**
 * Whether a run of a latency keeps a limit. Of a p99 that was not measured it is known only that it is at least the p90:
 * a limit below that is missed, any other `unknown` ({@link limitDoubt} says why).
 */
export function keepsLimit(latency: Latency, limit: RunLimit): LimitMet {
  if (runPercentileMs(latency, limit.percentile) > limit.ms) return false;
  return limit.percentile <= 90 || latency.p99Ms !== null || 'unknown';
}

/** Why it is not known whether a latency keeps a limit of its p99, in words that stand after a colon. */
export function limitDoubt({ reported, samples }: Latency): string {
  const lack = reported ? 'the program reported no p99' : `${samples} samples are too few for a p99`;
  return `its p90 is within it, but ${lack}`;
}

/** Whether some setting that a latency was chosen from may keep a limit, where a p90 stands in for a p99 that is not known; its own where there was no choice. */
export function someSettingMeets(latency: Latency, limit: RunLimit): boolean {
  const { chosenFrom } = latency;
  if (!chosenFrom) return runPercentileMs(latency, limit.percentile) <= limit.ms;
  return chosenFrom.some(({ runMs }) => runMs !== null && runMs <= limit.ms);
}

/**
 * The best admissible setting of one network: of those whose *run* is within the limit, the one that takes least time
 * an example (p50 ÷ batch), so that a larger batch is taken where throughput gains by it and nobody waits too long.
 * Where none is within the limit, the one whose run comes nearest to it, which the limit then refuses.
 *
 * Where batches differ the result is per example, for whole runs of different batches do not compare; else it is of one run.
 * It holds what it was chosen from. Of settings that measuring cannot tell from the best (their intervals meet) the first is
 * taken, so that a lower precision or a larger batch must be faster beyond doubt. Predictions are compared as they are: one
 * profile's errors are alike for all.
 * @returns undefined where no setting ran.
 */
export function chooseSetting(tried: readonly TriedSetting[], limit?: RunLimit): Latency | undefined {
  const ran = tried.flatMap((setting) => ('latency' in setting ? [setting.latency] : []));
  const runMs = (latency: Latency): number => runPercentileMs(latency, limit?.percentile ?? 50);
  const admissible = ran.filter((latency) => !limit || runMs(latency) <= limit.ms);
  const best = admissible.length > 0 ? fastest(admissible) : least(ran, runMs);
  if (!best) return undefined;
  const chosenFrom = tried.map((setting) => {
    const { batch, precision } = setting;
    if ('refusal' in setting) return { batch, precision, p50Ms: null, runMs: null, refusal: setting.refusal };
    return { batch, precision, p50Ms: setting.latency.p50Ms, runMs: runMs(setting.latency) };
  });
  const hasBatches = new Set(tried.map(({ batch }) => batch)).size > 1;
  return { ...(hasBatches ? perExample(best) : best), chosenFrom };
}

/** The least time an example; of several that may be it the first. */
function fastest(latencies: readonly Latency[]): Latency | undefined {
  const shortest = least(latencies, exampleMs);
  return latencies.find((latency) => shortest && isAsFast(latency, shortest)) ?? shortest;
}

function least(latencies: readonly Latency[], cost: (latency: Latency) => number): Latency | undefined {
  return latencies.reduce<Latency | undefined>((a, b) => (a && cost(a) <= cost(b) ? a : b), undefined);
}

/** Whether a measured latency may be as short, an example, as the shortest; both of medians. */
function isAsFast(latency: Latency, shortest: Latency): boolean {
  const isMeasured = [latency, shortest].every(
    ({ source, intervalMs }) => source !== 'predicted' && intervalMs.percentile === 50,
  );
  return isMeasured && latency.intervalMs.lo / latency.batch <= shortest.intervalMs.hi / shortest.batch;
}

function exampleMs({ p50Ms, batch }: Latency): number {
  return p50Ms / batch;
}
