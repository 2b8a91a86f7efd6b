import { pino } from 'pino';
import type { JournalEvent } from '../study/journal/events.ts';
import type { StudyProgress } from '../study/context.ts';
import { studyOf } from './contract.ts';
import type { AskEvent, WorkerEvent } from './telemetry.ts';

/** A worker's log: what it says, and what becomes of its jobs. */
export interface WorkerLog {
  readonly say: (text: string) => void;
  readonly hear: (event: WorkerEvent) => void;
}

/**
 * Structured lines (pino's NDJSON) with the ids of worker, study, job and queue. It is given no place of a Redis, so it cannot
 * tell a password.
 * @param write takes each line.
 */
export function structuredLog(worker: string, write: (line: string) => void): WorkerLog {
  const log = pino({ base: { worker, pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, { write });
  return {
    say: (text) => log.info(text),
    hear: (event) => {
      if (event.type === 'redis') return event.up ? log.info('Redis is there') : log.warn('Redis is gone');
      const { queue, job } = event;
      const about = { queue, job, study: studyOf(job) };
      if (event.type === 'begun') return log.info({ ...about, waitedMs: Math.round(event.waitedMs) }, 'job begun');
      const { how, tookMs, error } = event;
      const ended = { ...about, tookMs: Math.round(tookMs), ...(error && { code: error.code, reason: error.message }) };
      return how === 'failed' ? log.error(ended, 'job failed') : log.info(ended, `job ${how}`);
    },
  };
}

/** The log of a study's process: what it says, what it journals, and what becomes of the jobs that it asks for. */
export interface StudyLog {
  readonly say: (text: string) => void;
  readonly progress: (progress: StudyProgress) => void;
  readonly event: (event: JournalEvent) => void;
  readonly jobs: (event: AskEvent) => void;
}

/**
 * Structured lines as a worker's ({@link structuredLog}), with the study's name; those of jobs have the ids that workers name, too.
 * @param write takes each line.
 */
export function studyLog(study: string, write: (line: string) => void): StudyLog {
  const log = pino({ base: { study, pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, { write });
  return {
    say: (text) => log.info(text),
    progress: ({ text, ...progress }) => log.info(progress, text),
    event: (event) => {
      const { fields, text } = journalLine(event);
      return isFailure(event) ? log.error(fields, text) : log.info(fields, text);
    },
    jobs: ({ type, queue, job, error }) => {
      const about = { queue, job, ...(error && { code: error.code, reason: error.message }) };
      return type === 'failed' ? log.error(about, 'job failed') : log.info(about, `job ${type}`);
    },
  };
}

function isFailure(event: JournalEvent): boolean {
  return event.type === 'outcome' && event.outcome.status === 'failed';
}

/** What a log says of an event: who, and what became of it; all else is in the journal, at `seq`. */
function journalLine(event: JournalEvent): { readonly fields: object; readonly text: string } {
  const { seq, type, id } = event;
  switch (type) {
    case 'issued':
      return { fields: { seq, trial: id, phase: event.phase }, text: 'trial issued' };
    case 'outcome': {
      const { attempt, outcome } = event;
      const { status } = outcome;
      const why =
        outcome.status === 'failed'
          ? { code: outcome.code, reason: outcome.detail }
          : outcome.status === 'infeasible'
            ? { reason: outcome.reason }
            : {};
      return { fields: { seq, trial: id, attempt, status, ...why }, text: `trial ${status}` };
    }
    case 'measured': {
      const { target, latency } = event;
      return { fields: { seq, measurement: id, target, p50Ms: latency.p50Ms }, text: latency.source };
    }
    case 'decision':
      return { fields: { seq, decision: id }, text: event.because };
    case 'request':
      return { fields: { seq, of: id, by: event.by }, text: `asked to ${event.action}` };
    case 'phase':
    case 'study':
      return { fields: { seq, [type]: id }, text: `${type} ${event.action}` };
    case 'artefact':
      return { fields: { seq, artefact: id, path: event.path }, text: 'file written' };
    default:
      throw new TypeError(`expected an event, got ${String(type satisfies never)}`);
  }
}
