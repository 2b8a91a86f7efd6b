import { activeMs } from './journal/active-time.ts';
import { hoursText } from './budget.ts';
import { type JournalEvent, phaseNames } from './journal/events.ts';
import type { LeaseHolder } from './journal/lease.ts';
import { StudyRecord } from './journal/record.ts';
import { cancelledBy } from './requests.ts';
import type { StudyConfig } from './study-file.ts';

/** Where a study stands. */
export interface Status {
  readonly phase: string;
  readonly trials: Readonly<Record<'ok' | 'infeasible' | 'failed' | 'open', number>>;
  readonly activeS: number;
  readonly idleS: number;
  /** Used so far, and the budget where there is one. */
  readonly deviceHours: { readonly spent: number; readonly budget: number | null };
  /** Who cancelled it, where it was not opened since. */
  readonly cancelledBy: string | null;
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
  const created = events.find((event) => event.type === 'study' && event.action === 'created');
  const config = created?.type === 'study' ? (created.config as Partial<StudyConfig> | undefined) : undefined;
  const deviceHours = { spent: record.spending.hours, budget: config?.budget?.deviceHours ?? null };
  const by = cancelledBy(events)?.by ?? null;
  const state = by === null ? (phase === 'finished' ? 'finished' : `in ${phase}`) : `cancelled by ${by} in ${phase}`;
  const hours = `${hoursText(deviceHours.spent)}${deviceHours.budget === null ? '' : ` of ${hoursText(deviceHours.budget)}`} device hours`;
  const text = `${state}; trials: ${counts}; worked ${activeS.toFixed(0)} s, ${hours}; last event ${idleS.toFixed(0)} s ago`;
  return { phase, trials, activeS, idleS, deviceHours, cancelledBy: by, text };
}

/** Why a study does not go on, or what it does; a line for each reason. */
export function whyStill(events: readonly JournalEvent[], holder: LeaseHolder | undefined): string[] {
  const record = StudyRecord.replay(events);
  const lines: string[] = [];
  if (holder) lines.push(`process ${holder.pid} on ${holder.host} runs it`);
  else if (!record.hasFinished('deliver'))
    lines.push('no process runs it; "ridgepoint search" with its study file goes on');
  const open = record.trials.filter(({ id }) => record.outcome(id) === undefined);
  if (open.length > 0) lines.push(`${open.length} trials have no answer yet: ${someOf(open.map(({ id }) => id))}`);
  const reasons = new Map<string, string[]>();
  for (const { id } of record.trials) {
    const outcome = record.outcome(id);
    if (outcome?.status !== 'failed') continue;
    const reason = `${outcome.code}: ${outcome.detail.split('\n')[0]}`;
    reasons.set(reason, [...(reasons.get(reason) ?? []), id]);
  }
  for (const [reason, ids] of reasons) lines.push(`${ids.length} failed, ${reason} (${someOf(ids)})`);
  return lines;
}

function someOf(ids: readonly string[]): string {
  return ids.length <= 5 ? ids.join(', ') : `${ids.slice(0, 5).join(', ')}, …`;
}
