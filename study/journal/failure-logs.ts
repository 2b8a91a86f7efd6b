import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../../core/errors.ts';
import type { JournalEvent } from './events.ts';
import { StudyRecord } from './record.ts';

/** One failed evaluation and all that is kept of it. */
export interface Failure {
  readonly trial: string;
  readonly attempt: number;
  readonly atMs: number;
  readonly code: string;
  readonly detail: string;
  /** Logs of the user's own programs, where they ran on this machine: path and end. */
  readonly logs: readonly { readonly path: string; readonly text: string }[];
}

/** Of a log of a program, its end is shown. */
const shownBytes = 16_384;

/**
 * Failed evaluations that a journal tells of, the oldest first.
 * @param folder of the study, where programs' logs are.
 * @throws {ConfigError} when there is no such trial.
 */
export function failuresOf(events: readonly JournalEvent[], folder: string, trial?: string): Failure[] {
  const { trials } = StudyRecord.replay(events);
  if (trial !== undefined && !trials.some(({ id }) => id === trial))
    throw new ConfigError(`expected a trial of the study (t0001 to ${trials.at(-1)?.id ?? 'none yet'}), got ${trial}`);
  return events.flatMap((event) => {
    if (event.type !== 'outcome' || event.outcome.status !== 'failed') return [];
    if (trial !== undefined && event.id !== trial) return [];
    const { code, detail } = event.outcome;
    const { id, attempt, tMs } = event;
    return [{ trial: id, attempt, atMs: tMs, code, detail, logs: trial === undefined ? [] : logsIn(folder, id) }];
  });
}

/** Logs of a trial's program: `trainings/<network>/attempts/<trial>/<attempt>/log.txt`. */
function logsIn(folder: string, trial: string): Failure['logs'] {
  const trainings = join(folder, 'trainings');
  if (!existsSync(trainings)) return [];
  return readdirSync(trainings)
    .flatMap((home) => {
      const attempts = join(trainings, home, 'attempts', trial);
      return existsSync(attempts) ? readdirSync(attempts).map((name) => join(attempts, name, 'log.txt')) : [];
    })
    .filter((path) => existsSync(path))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(path).subarray(-shownBytes).toString('utf8') }));
}
