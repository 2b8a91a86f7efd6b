import { existsSync } from 'node:fs';
import { ConfigError } from '../core/errors.ts';
import type { FleetAnswer } from '../jobs/requests.ts';
import { journalPath, readStudyEvents } from '../study/journal/journal.ts';
import { expectDone, requester, requestOf, type StudyRequest } from '../study/requests.ts';

/** Options of commands that ask something of a study. */
export const requestArguments = {
  study: { type: 'string', description: "of a trial: its study's folder, or with --redis its name or key" },
  redis: { type: 'string', description: 'ask the process that runs it wherever that is: redis://host:port' },
  json: { type: 'boolean', description: 'one JSON object on stdout' },
} as const;

/**
 * Asks a study, by its folder or through Redis, and prints what became of it.
 * @throws {ConfigError} when it could not be done, saying why.
 */
export async function request(
  study: string,
  asked: Pick<StudyRequest, 'action' | 'trial'>,
  { redis, json }: { readonly redis?: string | undefined; readonly json?: boolean | undefined },
): Promise<void> {
  const whole: StudyRequest = { schema: 1, by: requester(), ...asked };
  const answer = redis === undefined ? await requestOf(study, whole) : await overFleet(redis, study, whole);
  const text = expectDone(answer);
  console.log(json ? JSON.stringify({ schema: 1, ...answer }) : text);
}

async function overFleet(url: string, study: string, asked: StudyRequest): Promise<FleetAnswer> {
  const [{ connectNow, redisPlace }, { askOverFleet }] = await Promise.all([
    import('../jobs/connection.ts'),
    import('../jobs/requests.ts'),
  ]);
  const place = redisPlace(url);
  const speaking = await connectNow(place);
  try {
    const listening = await connectNow(place);
    try {
      return await askOverFleet({ listening, speaking, prefix: place.prefix }, await studyNameOf(study), asked);
    } finally {
      listening.disconnect();
    }
  } finally {
    speaking.disconnect();
  }
}

/** Key of the study in a folder, or, where there is no such folder, the name as it was given. */
export async function studyNameOf(study: string): Promise<string> {
  if (!existsSync(journalPath(study))) {
    if (/[/\\]/.test(study)) throw new ConfigError(`${study}: expected the folder of a study, or its name, found none`);
    return study;
  }
  const { studyKey } = await import('../study/study.ts');
  return studyKey({ events: readStudyEvents(study) });
}
