import { defineCommand } from 'citty';
import { existsSync } from 'node:fs';
import { ConfigError } from '../core/errors.ts';
import type { FailedJob } from '../jobs/overview.ts';
import { type Failure, failuresOf } from '../study/journal/failure-logs.ts';
import { journalPath, readStudyEvents } from '../study/journal/journal.ts';
import { studyNameOf } from './request.ts';

/** `ridgepoint logs t0007 --study runs/x [--redis URL]`: what is kept of evaluations that failed. */
export const command = defineCommand({
  args: {
    trial: { type: 'positional', description: 'a trial, e.g. t0007; all that failed when left out', required: false },
    study: { type: 'string', description: "the study's folder, or with --redis its name", required: true },
    redis: { type: 'string', description: 'also what workers logged, kept for a week: redis://host:port' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const { study, trial, redis } = args;
    const isHere = existsSync(journalPath(study));
    if (!isHere && redis === undefined) readStudyEvents(study);
    const failures = isHere ? failuresOf(readStudyEvents(study), study, trial) : [];
    const jobs = redis === undefined ? [] : await jobsAt(redis, study, trial);
    if (args.json) return console.log(JSON.stringify({ schema: 1, failures, jobs }));
    if (failures.length + jobs.length === 0)
      throw new ConfigError(
        `${study}: nothing ${trial === undefined ? 'has failed' : `of ${trial} has failed`}, as far as is kept`,
      );
    const isWhole = trial !== undefined;
    console.log([...failures.map((each) => failureText(each)), ...jobs.map((job) => jobText(job, isWhole))].join('\n'));
  },
});

async function jobsAt(url: string, study: string, trial: string | undefined): Promise<FailedJob[]> {
  const [{ connectNow, redisPlace }, { failedJobs }] = await Promise.all([
    import('../jobs/connection.ts'),
    import('../jobs/overview.ts'),
  ]);
  const place = redisPlace(url);
  const redis = await connectNow(place);
  try {
    return await failedJobs(redis, place, await studyNameOf(study), trial);
  } finally {
    redis.disconnect();
  }
}

function failureText({ trial, attempt, atMs, code, detail, logs }: Failure): string {
  const head = `${new Date(atMs).toISOString()}  ${trial}, attempt ${attempt}: ${code}: ${detail}`;
  return [head, ...logs.flatMap(({ path, text }) => [`-- ${path}`, text.trimEnd()])].join('\n');
}

function jobText(job: FailedJob, isWhole: boolean): string {
  const { id, queue, worker, endedMs, stalls, code, message, log } = job;
  const at = endedMs === null ? '' : `${new Date(endedMs).toISOString()}  `;
  const lost = stalls > 0 ? `, lost its worker ${stalls} times` : '';
  const head = `${at}job ${id} of ${queue}, on ${worker ?? 'no worker'}${lost}: ${code}: ${message}`;
  return [head, ...(isWhole ? log : [])].join('\n');
}
