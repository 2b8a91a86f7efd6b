import { pino } from 'pino';
import { studyOfJob, type WorkerEvent } from './telemetry.ts';

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
      const about = { queue, job, study: studyOfJob(job) };
      if (event.type === 'begun') return log.info({ ...about, waitedMs: Math.round(event.waitedMs) }, 'job begun');
      const { how, tookMs, error } = event;
      const ended = { ...about, tookMs: Math.round(tookMs), ...(error && { code: error.code, reason: error.message }) };
      return how === 'failed' ? log.error(ended, 'job failed') : log.info(ended, `job ${how}`);
    },
  };
}
