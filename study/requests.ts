import { randomUUID } from 'node:crypto';
import {
  existsSync,
  type FSWatcher,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError, EnvironmentError } from '../core/errors.ts';
import type { EventOf, JournalEvent } from './journal/events.ts';
import { Journal, journalPath, readStudyEvents } from './journal/journal.ts';
import { leaseHolder, takeLease } from './journal/lease.ts';
import { leftOutCodes } from './journal/failures.ts';
import { StudyRecord } from './journal/record.ts';

/** What a person asks of a study: of one trial, or of all of it. */
export const studyRequestSchema = z.strictObject({
  schema: z.literal(1),
  action: z.enum(['cancel', 'retry']),
  trial: z.string().optional(),
  /** Who asks, for the journal. */
  by: z.string(),
});
export type StudyRequest = z.infer<typeof studyRequestSchema>;

/** What became of a request, in words. */
export interface RequestAnswer {
  readonly done: boolean;
  readonly text: string;
}

/** Who asks, as the journal names them. */
export function requester(): string {
  return `${userInfo().username}@${hostname()}`;
}

/** Journals what people ask of a study, and has it done. */
export class StudyRequests {
  readonly #record: StudyRecord;
  readonly #stop: () => void;
  /** Evaluations under way, by trial, and seconds that a device has been busy with each. */
  readonly #running = new Map<string, { readonly controller: AbortController; readonly busyS: () => number }>();

  /** @param stop ends the study's work; called when all of it is cancelled. */
  constructor(record: StudyRecord, stop: () => void) {
    this.#record = record;
    this.#stop = stop;
  }

  /**
   * Aborts when a trial is cancelled.
   * @param busyS seconds that a device has been busy with its evaluation by now; they are charged.
   */
  signalOf(trial: string, busyS: () => number): AbortSignal {
    const { controller } = this.#running.get(trial) ?? { controller: new AbortController() };
    this.#running.set(trial, { controller, busyS });
    return controller.signal;
  }

  /** Forgets an evaluation that is over. */
  over(trial: string): void {
    this.#running.delete(trial);
  }

  /** Does what is asked, where that is possible. It is journalled when this returns. */
  answer({ action, trial, by }: StudyRequest): RequestAnswer {
    if (trial === undefined) return this.#cancelStudy(by);
    const record = this.#record;
    if (!record.trial(trial)) {
      const last = record.lastTrial ?? 'none yet';
      return { done: false, text: `expected a trial of the study (t0001 to ${last}), got ${trial}` };
    }
    return action === 'cancel' ? this.#cancel(trial, by) : this.#retry(trial, by);
  }

  #cancelStudy(by: string): RequestAnswer {
    const id = nameIn(this.#record);
    this.#record.append({ type: 'request', id, action: 'cancel', by });
    this.#stop();
    return {
      done: true,
      text: `${id} is cancelled; all that it finished is kept, and searching again goes on from it`,
    };
  }

  #cancel(trial: string, by: string): RequestAnswer {
    const outcome = this.#record.outcome(trial);
    if (outcome) return { done: false, text: `${trial} has its answer already: ${outcome.status}` };
    this.#record.append({ type: 'request', id: trial, action: 'cancel', by });
    const detail = `cancelled by ${by}`;
    const running = this.#running.get(trial);
    const spent = running ? { spentS: running.busyS() } : {};
    this.#record.answer(trial, { status: 'failed', code: leftOutCodes.cancelled, retry: false, detail, ...spent });
    running?.controller.abort();
    this.#running.delete(trial);
    return { done: true, text: `${trial} is cancelled; the study goes on without it` };
  }

  #retry(trial: string, by: string): RequestAnswer {
    const outcome = this.#record.outcome(trial);
    if (outcome?.status !== 'failed')
      return { done: false, text: `${trial} has not failed: it is ${outcome?.status ?? 'not answered yet'}` };
    if (!this.#record.mayRetry(trial))
      return {
        done: false,
        text: `${trial} failed, and the study went on without it: what it proposed and decided since rests on that`,
      };
    this.#record.append({ type: 'request', id: trial, action: 'retry', by });
    return { done: true, text: `${trial} is evaluated again, at the end of its round or when the study goes on` };
  }
}

function nameIn({ events }: StudyRecord): string {
  for (const event of events) if (event.type === 'study') return event.id;
  return '';
}

/** Within a study's folder: what is asked of the process that runs it. */
const requestsFolder = 'requests';
/** How long whoever asks waits for the process that runs the study. */
const answerMs = 10_000;

const answerPath = (folder: string, id: string): string => join(folder, requestsFolder, `${id}.answer`);
const requestName = /^([0-9a-f-]{36})\.json$/;

/**
 * Hears what is asked of a study through its folder.
 * @param durable resolves when what was journalled is on disk; only then is the answer given.
 * @returns what ends it, once all that was asked is answered.
 */
export function hearRequests(
  folder: string,
  requests: StudyRequests,
  durable: () => Promise<void>,
): () => Promise<void> {
  const inbox = join(folder, requestsFolder);
  const answering = new Set<Promise<void>>();
  mkdirSync(inbox, { recursive: true });
  const take = (name: string): void => {
    const [, id] = requestName.exec(name) ?? [];
    const path = join(inbox, name);
    if (id === undefined || !existsSync(path)) return;
    const text = readFileSync(path, 'utf8');
    rmSync(path, { force: true });
    const parsed = studyRequestSchema.safeParse(jsonOf(text));
    const answer = parsed.success
      ? requests.answer(parsed.data)
      : { done: false, text: 'expected a request that this version knows' };
    // Who asked may be gone, and the folder with it.
    const answered = durable()
      .then(() => writeWhole(answerPath(folder, id), JSON.stringify(answer)))
      .catch(() => {})
      .finally(() => answering.delete(answered));
    answering.add(answered);
  };
  const takeAll = (): void => {
    try {
      for (const name of readdirSync(inbox)) take(name);
    } catch {
      // No request, or no folder any more: whoever wrote it hears nothing.
    }
  };
  const watcher = watching(inbox, takeAll);
  return async () => {
    watcher?.close();
    await Promise.all(answering);
    if (!existsSync(inbox)) return;
    for (const name of readdirSync(inbox)) if (requestName.test(name)) rmSync(join(inbox, name), { force: true });
    // An answer may lie there that whoever asked has not read.
    if (readdirSync(inbox).length === 0) rmdirSync(inbox);
  };
}

/** What a file says; undefined where it says nothing in JSON, so that it is refused as any unknown request is. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Undefined where the system gives no notice of files, or no more of it: the study runs all the same, and hears nobody. */
function watching(inbox: string, onChange: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(inbox, { persistent: false }, onChange);
    watcher.on('error', () => {});
    return watcher;
  } catch {
    return undefined;
  }
}

/**
 * Asks something of a study by its folder: of the process that runs it on this host, or where none does, of its journal.
 * @throws {ConfigError} when the folder holds no study.
 * @throws {EnvironmentError} when a process of another host runs it, or one that does not answer.
 */
export async function requestOf(folder: string, request: StudyRequest): Promise<RequestAnswer> {
  readStudyEvents(folder);
  const holder = leaseHolder(folder);
  if (holder === undefined) return requestOffline(folder, request);
  if (holder.host !== hostname())
    throw new EnvironmentError(
      `${folder}: expected a study that this host runs, but process ${holder.pid} on ${holder.host} does; ask there, or with --redis where a fleet runs it`,
    );
  const id = randomUUID();
  const path = join(folder, requestsFolder, `${id}.json`);
  if (!existsSync(join(folder, requestsFolder)))
    throw new EnvironmentError(`${folder}: process ${holder.pid} hears no requests yet; try again in a moment`, {
      retry: true,
    });
  const answered = untilThere(answerPath(folder, id));
  writeWhole(path, JSON.stringify(request));
  if (!(await answered)) {
    rmSync(path, { force: true });
    throw new EnvironmentError(`${folder}: process ${holder.pid} did not answer within ${answerMs / 1000} s`, {
      retry: true,
    });
  }
  const answer = JSON.parse(readFileSync(answerPath(folder, id), 'utf8')) as RequestAnswer;
  rmSync(answerPath(folder, id), { force: true });
  return answer;
}

function requestOffline(folder: string, request: StudyRequest): RequestAnswer {
  const release = takeLease(folder);
  try {
    const journal = new Journal(journalPath(folder));
    try {
      return new StudyRequests(new StudyRecord(journal), () => {}).answer(request);
    } finally {
      journal.close();
    }
  } finally {
    release();
  }
}

/** Whether a file appears in time. */
async function untilThere(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (isThere: boolean): void => {
      clearTimeout(timer);
      watcher.close();
      resolve(isThere);
    };
    const watcher = watch(join(path, '..'), () => existsSync(path) && end(true));
    const timer = setTimeout(() => end(existsSync(path)), answerMs);
  });
}

function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.part`, text);
  renameSync(`${path}.part`, path);
}

/** Whether a study was cancelled and not opened since. */
export function cancelledBy(events: readonly JournalEvent[]): EventOf<'request'> | undefined {
  const last = events.findLast(
    (event) => (event.type === 'study' && event.action === 'opened') || event.type === 'request',
  );
  return last?.type === 'request' && last.action === 'cancel' && last.id === events[0]?.id ? last : undefined;
}

/** @throws {ConfigError} unless a request was done, saying why not. */
export function expectDone({ done, text }: RequestAnswer): string {
  if (!done) throw new ConfigError(text);
  return text;
}
