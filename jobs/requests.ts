import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { ConfigError, EnvironmentError } from '../core/errors.ts';
import { type RequestAnswer, studyRequestSchema, type StudyRequest } from '../study/requests.ts';

// What people ask of studies that run anywhere: who is called so, a message to all controllers that those who are answer
// with their keys; then the request, to the one that has the key.

const requestChannel = (prefix: string): string => `${prefix}:requests`;
const answerChannel = (prefix: string, id: string): string => `${prefix}:answers:${id}`;

const envelopeSchema = z.union([
  z.strictObject({ id: z.uuid(), called: z.string() }),
  z.strictObject({ id: z.uuid(), key: z.string(), request: studyRequestSchema }),
]);
const calledSchema = z.strictObject({ study: z.string() });
const answerSchema = z.strictObject({ study: z.string(), done: z.boolean(), text: z.string() });

interface Connections {
  readonly listening: Redis;
  readonly speaking: Redis;
  readonly prefix: string;
}

/** How long whoever asks waits: for all who are called so, and for what becomes of the request. */
const usualWaits = { calledMs: 1000, answerMs: 5000 };

/** What became of a request, and the key of the study that it was asked of. */
export type FleetAnswer = RequestAnswer & { readonly study: string };

/** Whether a study is meant: by its key, or by its name, which is the key without its digest. */
export function isCalled(key: string, name: string): boolean {
  return key === name || /^(.*)-[0-9a-f]+$/.exec(key)?.[1] === name;
}

/** Hears what is asked of one study, on a connection that only listens. */
export async function hearFleetRequests(
  { listening, speaking, prefix }: Connections,
  key: string,
  answer: (request: StudyRequest) => Promise<RequestAnswer>,
): Promise<void> {
  const say = (id: string, given: object): Promise<unknown> =>
    speaking.publish(answerChannel(prefix, id), JSON.stringify({ study: key, ...given }));
  listening.on('message', (_channel, message: string) => {
    const { data: asked } = envelopeSchema.safeParse(jsonOf(message));
    if (asked === undefined) return;
    if ('called' in asked) {
      if (isCalled(key, asked.called)) say(asked.id, {}).catch(() => {});
    } else if (asked.key === key)
      void answer(asked.request)
        .then((given) => say(asked.id, given))
        .catch(() => {});
  });
  await listening.subscribe(requestChannel(prefix));
}

/**
 * Asks something of the one study that is called so, wherever it runs.
 * @param connections `speaking`, and `listening` another, which only listens from now on.
 * @param study its key, or its name where no other study of that name runs.
 * @throws {ConfigError} when several are called so. @throws {EnvironmentError} when no process of such a study answers.
 */
export async function askOverFleet(
  connections: Connections,
  study: string,
  request: StudyRequest,
  { calledMs, answerMs }: typeof usualWaits = usualWaits,
): Promise<FleetAnswer> {
  const keys = new Set<string>();
  await converse(connections, { called: study }, calledMs, (message) => {
    const { data } = calledSchema.safeParse(message);
    if (data) keys.add(data.study);
    return keys.has(study);
  });
  const key = theOneCalled(study, keys, calledMs);
  let answer: FleetAnswer | undefined;
  await converse(connections, { key, request }, answerMs, (message) => {
    answer = answerSchema.safeParse(message).data;
    return answer !== undefined;
  });
  return answer ?? silent(key, answerMs);
}

/**
 * The key that is meant by a key or a name.
 * @param keys of the studies that are called so.
 * @throws {ConfigError} for a name that several have. @throws {EnvironmentError} where none is called so.
 */
export function theOneCalled(study: string, keys: ReadonlySet<string>, waitedMs: number): string {
  if (keys.has(study)) return study;
  const [key, ...others] = [...keys].toSorted();
  if (key === undefined) return silent(study, waitedMs);
  if (others.length === 0) return key;
  throw new ConfigError(
    `expected one study called ${study} at this Redis, got ${keys.size}; say which by its key: ${[key, ...others].join(', ')}`,
  );
}

function silent(study: string, waitedMs: number): never {
  throw new EnvironmentError(
    `expected a process that runs the study ${study} at this Redis, but none answered within ${waitedMs / 1000} s; where its folder is, ask without --redis`,
  );
}

/** Says something to all controllers, and hears answers to it until one is the last, or the time is over. */
async function converse(
  { listening, speaking, prefix }: Connections,
  said: object,
  waitMs: number,
  isLast: (answer: unknown) => boolean,
): Promise<void> {
  const id = randomUUID();
  const channel = answerChannel(prefix, id);
  const last = new AbortController();
  const hear = (on: string, message: string): void => {
    if (on === channel && isLast(jsonOf(message))) last.abort();
  };
  listening.on('message', hear);
  try {
    await listening.subscribe(channel);
    await speaking.publish(requestChannel(prefix), JSON.stringify({ id, ...said }));
    await delay(waitMs, undefined, { signal: last.signal }).catch(() => {});
  } finally {
    listening.off('message', hear);
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
