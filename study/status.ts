import { activeMs } from './budget.ts';
import { type JournalEvent, phaseNames } from './events.ts';
import { StudyRecord } from './record.ts';

/** Where a study stands. */
export interface Status {
  readonly phase: string;
  readonly trials: Readonly<Record<'ok' | 'infeasible' | 'failed' | 'open', number>>;
  readonly activeS: number;
  readonly idleS: number;
  readonly text: string;
}

/** @param nowMs milliseconds since the epoch, to say how long ago the journal last grew. */
export function statusOf(events: readonly JournalEvent[], nowMs: number): Status {
  const record = StudyRecord.replay(events);
  const finished = (name: string) =>
    events.some((event) => event.type === 'phase' && event.id === name && event.action === 'finished');
  const phase = phaseNames.find((name) => !finished(name)) ?? 'finished';
  const trials = { ok: 0, infeasible: 0, failed: 0, open: 0 };
  for (const trial of record.trials) trials[record.outcome(trial.id)?.status ?? 'open']++;
  const activeS = activeMs(events) / 1e3;
  const idleS = (nowMs - (events.at(-1)?.tMs ?? nowMs)) / 1e3;
  const counts = `${trials.ok} trained, ${trials.infeasible} infeasible, ${trials.failed} failed, ${trials.open} open`;
  const text = `${phase === 'finished' ? 'finished' : `in ${phase}`}; trials: ${counts}; worked ${activeS.toFixed(0)} s; last event ${idleS.toFixed(0)} s ago`;
  return { phase, trials, activeS, idleS, text };
}
