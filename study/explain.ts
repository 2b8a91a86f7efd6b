import { ConfigError } from '../core/errors.ts';
import { settingText } from '../latency/setting.ts';
import type { JournalEvent } from './journal/events.ts';
import { StudyRecord, type Trial } from './journal/record.ts';
import { settingId } from './evaluation/target-settings.ts';

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
  const trial = record.trial(id);
  if (!trial)
    throw new ConfigError(`expected a trial of the study (t0001 to ${record.lastTrial ?? 'none yet'}), got ${id}`);
  const measured = events.filter((event) => event.type === 'measured' && event.id.endsWith(trial.specDigest));
  const own = events.filter((event) => event.id === id);
  const decided = events.filter(
    (event) => event.type === 'decision' && (mentions(event.value, id) || event.id.endsWith(trial.specDigest)),
  );
  const lines = [
    `${id}: ${trial.phase}, proposed by ${trial.origin.by} (${trial.origin.because})`,
    `  choices   ${JSON.stringify(trial.choices)}`,
    `  fidelity  ${trial.fidelity.examples} examples, seed ${trial.fidelity.seed}${trial.fidelity.schedule === undefined ? '' : `, schedule ${trial.fidelity.schedule}`}`,
    ...otherRungs(record, trial),
    ...[...measured, ...own, ...decided].toSorted((a, b) => a.seq - b.seq).flatMap(lineOf),
  ];
  return { trial: id, events: [...measured, ...own, ...decided], text: lines.join('\n') };
}

/** The same network at other fidelities of the search. */
function otherRungs(record: StudyRecord, { id, phase, specDigest, fidelity }: Trial): string[] {
  const others = record.trials.filter(
    (other) =>
      other.phase === phase &&
      other.specDigest === specDigest &&
      other.fidelity.seed === fidelity.seed &&
      other.fidelity.examples !== fidelity.examples,
  );
  if (phase !== 'search' || others.length === 0) return [];
  const told = others.map((other) => {
    const outcome = record.outcome(other.id);
    const accuracy = outcome?.status === 'ok' ? `, ${(100 * (outcome.metrics['accuracy'] ?? 0)).toFixed(1)} %` : '';
    return `${other.id} (${other.fidelity.examples} examples${accuracy})`;
  });
  return [`  rungs     ${id} is the same network as ${told.join(', ')}`];
}

function mentions(value: unknown, id: string): boolean {
  return JSON.stringify(value)?.includes(`"${id}"`) ?? false;
}

function lineOf(event: JournalEvent): string[] {
  const at = new Date(event.tMs).toISOString();
  switch (event.type) {
    case 'measured': {
      const { latency } = event;
      const { source, p50Ms, intervalMs, per, chosenFrom, stable, samples } = latency;
      const time = `${p50Ms.toPrecision(3)} ms${per ? ` an ${per}` : ''}`;
      const isOne = event.id.startsWith(settingId(''));
      const setting = chosenFrom || isOne ? ` at ${settingText(latency)}` : '';
      const where = `on ${event.target}${setting}${chosenFrom ? `, the best of ${chosenFrom.length} settings` : ''}`;
      if (source === 'predicted') {
        const { lo, hi } = intervalMs;
        return [
          `  ${at}  predicted ${time} (${lo.toPrecision(3)} to ${hi.toPrecision(3)}) ${where} by ${latency.accelerator}`,
        ];
      }
      return [`  ${at}  ${source} ${time} ${where} (${stable ? 'stable' : 'unstable'}, ${samples} samples)`];
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
    case 'request':
      return [`  ${at}  ${event.by} asked to ${event.action} it`];
    default:
      return [];
  }
}
