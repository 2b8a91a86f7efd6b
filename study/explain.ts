import { ConfigError } from '../core/errors.ts';
import type { JournalEvent } from './events.ts';
import { StudyRecord } from './record.ts';

/** A trial's story: for programs as events, for people as text. */
export interface Explanation {
  readonly trial: string;
  readonly events: readonly JournalEvent[];
  readonly text: string;
}

/**
 * Why a trial was proposed, what was measured of it, what came out, and which decisions used it.
 * @throws {ConfigError} when the journal has no such trial.
 */
export function explainTrial(events: readonly JournalEvent[], id: string): Explanation {
  const record = StudyRecord.replay(events);
  const trial = record.trials.find((known) => known.id === id);
  if (!trial)
    throw new ConfigError(
      `expected a trial of the study (t0001 to ${record.trials.at(-1)?.id ?? 'none yet'}), got ${id}`,
    );
  const measured = events.filter((event) => event.type === 'measured' && event.id.endsWith(trial.specDigest));
  const own = events.filter((event) => event.id === id);
  const decided = events.filter(
    (event) => event.type === 'decision' && (mentions(event.value, id) || event.id.endsWith(trial.specDigest)),
  );
  const lines = [
    `${id}: ${trial.phase}, proposed by ${trial.origin.by} (${trial.origin.because})`,
    `  choices   ${JSON.stringify(trial.choices)}`,
    `  fidelity  ${trial.fidelity.examples} examples, seed ${trial.fidelity.seed}`,
    ...[...measured, ...own, ...decided].toSorted((a, b) => a.seq - b.seq).flatMap(lineOf),
  ];
  return { trial: id, events: [...measured, ...own, ...decided], text: lines.join('\n') };
}

function mentions(value: unknown, id: string): boolean {
  return JSON.stringify(value)?.includes(`"${id}"`) ?? false;
}

function lineOf(event: JournalEvent): string[] {
  const at = new Date(event.tMs).toISOString();
  switch (event.type) {
    case 'measured': {
      const { latency } = event;
      const { lo, hi } = latency.intervalMs;
      if (latency.source === 'predicted')
        return [
          `  ${at}  predicted ${latency.p50Ms.toPrecision(3)} ms (${lo.toPrecision(3)} to ${hi.toPrecision(3)}) on ${event.target} by ${latency.accelerator}`,
        ];
      return [
        `  ${at}  ${latency.source} ${latency.p50Ms.toPrecision(3)} ms on ${event.target} (${latency.stable ? 'stable' : 'unstable'}, ${latency.samples} samples)`,
      ];
    }
    case 'outcome': {
      const { outcome } = event;
      if (outcome.status === 'ok')
        return [
          `  ${at}  trained: ${(100 * (outcome.metrics['accuracy'] ?? 0)).toFixed(1)} % on the hold-out, ${outcome.cost.trainS.toFixed(1)} s, ${Math.round(outcome.cost.imagesPerS ?? 0)} images/s`,
        ];
      if (outcome.status === 'failed')
        return [`  ${at}  attempt ${event.attempt} failed: ${outcome.code}: ${outcome.detail}`];
      const observed =
        outcome.observed === undefined
          ? ''
          : `: ${outcome.observed.toPrecision(3)} against a limit of ${outcome.limit?.toPrecision(3)}`;
      return [`  ${at}  infeasible by ${outcome.reason} ${outcome.detail ?? ''}${observed}`];
    }
    case 'decision':
      return [`  ${at}  decision "${event.id}": ${event.because}`];
    default:
      return [];
  }
}
