import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { EnvironmentError } from '../core/errors.ts';
import { type RequestAnswer, studyRequestSchema, type StudyRequest } from '../study/requests.ts';

// What people ask of studies that run anywhere: a message to all controllers, an answer from the one that it is for.

const requestChannel = (prefix: string): string => `${prefix}:requests`;
const answerChannel = (prefix: string, id: string): string => `${prefix}:answers:${id}`;

const envelopeSchema = z.strictObject({ id: z.uuid(), study: z.string(), request: studyRequestSchema });
const answerSchema = z.strictObject({ study: z.string(), done: z.boolean(), text: z.string() });

/** How long whoever asks waits for answers. */
const answerMs = 5000;

/** Whether a study is meant: by its key, or by its name, which is the key without its digest. */
export function isCalled(key: string, name: string): boolean {
  return key === name || /^(.*)-[0-9a-f]+$/.exec(key)?.[1] === name;
}

/** Hears what is asked of one study, on a connection that only listens. */
export async function hearFleetRequests(
  { listening, speaking, prefix }: { readonly listening: Redis; readonly speaking: Redis; readonly prefix: string },
  key: string,
  answer: (request: StudyRequest) => Promise<RequestAnswer>,
): Promise<void> {
  listening.on('message', (_channel, message: string) => {
    const parsed = envelopeSchema.safeParse(jsonOf(message));
    if (!parsed.success || !isCalled(key, parsed.data.study)) return;
    const { id, request } = parsed.data;
    void answer(request)
      .then((given) => speaking.publish(answerChannel(prefix, id), JSON.stringify({ study: key, ...given })))
      .catch(() => {});
  });
  await listening.subscribe(requestChannel(prefix));
}

/**
 * Asks something of the study that is called so, wherever it runs.
 * @param speaking a connection, and `listening` another, which only listens from now on.
 * @throws {EnvironmentError} when no process of such a study answers.
 */
export async function askOverFleet(
  { listening, speaking, prefix }: { readonly listening: Redis; readonly speaking: Redis; readonly prefix: string },
  study: string,
  request: StudyRequest,
  waitMs = answerMs,
): Promise<RequestAnswer> {
  const id = randomUUID();
  let timer: NodeJS.Timeout | undefined;
  const answered = new Promise<RequestAnswer | undefined>((resolve) => {
    listening.on('message', (_channel, message: string) => {
      const parsed = answerSchema.safeParse(jsonOf(message));
      if (parsed.success) resolve(parsed.data);
    });
    timer = setTimeout(() => resolve(undefined), waitMs);
  });
  try {
    await listening.subscribe(answerChannel(prefix, id));
    await speaking.publish(requestChannel(prefix), JSON.stringify({ id, study, request }));
    const answer = await answered;
    if (answer) return answer;
    throw new EnvironmentError(
      `expected a process that runs the study ${study} at this Redis, but none answered within ${waitMs / 1000} s; where its folder is, ask without --redis`,
    );
  } finally {
    clearTimeout(timer);
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
