import { type Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { RedisPlace } from './connection.ts';
import { failureOf, measureJobSchema, studyOf } from './contract.ts';
import { namedQueues, type Presence, present } from './presence.ts';
import { isCalled } from './requests.ts';
import { type QueueState, whyQueued } from './waiting.ts';

/** Waiting jobs whose demands are read; those behind them most likely want the same. */
const sampled = 100;

/** What a study has in the queues. */
export interface StudyJobs {
  readonly key: string;
  readonly waiting: number;
  readonly active: number;
  readonly failed: number;
}

/** The fleet at one moment. */
export interface Overview {
  readonly workers: readonly Presence[];
  readonly queues: readonly (QueueState & { readonly why: readonly string[] })[];
  readonly studies: readonly StudyJobs[];
}

/** A queue for looking at: opening it writes nothing. Errors of its connection are for those who opened that. */
export function queueToSee(redis: Redis, prefix: string, name: string): Queue {
  const queue = new Queue(name, { connection: redis, prefix, skipMetasUpdate: true });
  queue.on('error', () => {});
  return queue;
}

/** A queue for looking at, closed again. */
async function looking<Result>(
  redis: Redis,
  prefix: string,
  name: string,
  look: (queue: Queue) => Promise<Result>,
): Promise<Result> {
  const queue = queueToSee(redis, prefix, name);
  try {
    return await look(queue);
  } finally {
    await queue.close();
  }
}

/** Looks at workers and queues. Reads, and changes nothing but to forget workers that are gone. */
export async function overviewOf(redis: Redis, { prefix }: RedisPlace): Promise<Overview> {
  const workers = await present(redis, prefix);
  const studies = new Map<string, StudyJobs>();
  const queues: Overview['queues'][number][] = [];
  for (const name of await namedQueues(redis, prefix)) {
    const state = await looking(redis, prefix, name, async (queue) => {
      for (const [kind, types] of [
        ['waiting', ['waiting', 'delayed', 'prioritized']],
        ['active', ['active']],
        ['failed', ['failed']],
      ] as const)
        for (const id of await queue.getRanges([...types], 0, -1)) count(studies, studyOf(id), kind);
      return stateOf(queue);
    });
    queues.push({ ...state, why: whyQueued(state, workers) });
  }
  return { workers, queues, studies: [...studies.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1)) };
}

function count(studies: Map<string, StudyJobs>, key: string, kind: 'waiting' | 'active' | 'failed'): void {
  const known = studies.get(key) ?? { key, waiting: 0, active: 0, failed: 0 };
  studies.set(key, { ...known, [kind]: known[kind] + 1 });
}

/** A queue as it is now. */
export async function stateOf(queue: Queue): Promise<QueueState> {
  const counts = await queue.getJobCounts('waiting', 'delayed', 'active', 'failed', 'prioritized');
  const precisions: Record<string, number> = {};
  if (queue.name.startsWith('measure.'))
    for (const job of await queue.getJobs(['waiting'], 0, sampled - 1)) {
      const parsed = measureJobSchema.safeParse(job?.data);
      const precision = parsed.success ? parsed.data.setting.precision : undefined;
      if (precision !== undefined) precisions[precision] = (precisions[precision] ?? 0) + 1;
    }
  return {
    queue: queue.name,
    waiting: (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0),
    delayed: counts['delayed'] ?? 0,
    active: counts['active'] ?? 0,
    failed: counts['failed'] ?? 0,
    precisions,
  };
}

/** A job that failed, as Redis keeps it. */
export interface FailedJob {
  readonly id: string;
  readonly queue: string;
  readonly worker: string | null;
  readonly endedMs: number | null;
  /** Times that it lost its worker. */
  readonly stalls: number;
  readonly code: string;
  readonly message: string;
  readonly log: readonly string[];
}

/**
 * Failed jobs that Redis keeps, the oldest first.
 * @param study name or key of a study; @param trial of it, or all that failed.
 */
export async function failedJobs(
  redis: Redis,
  { prefix }: RedisPlace,
  study: string,
  trial?: string,
): Promise<FailedJob[]> {
  const isAsked = (id: string): boolean => {
    const work = id.split('.').at(-2) ?? '';
    return isCalled(studyOf(id), study) && (trial === undefined || work.startsWith(`${trial}-`));
  };
  const found: FailedJob[] = [];
  for (const name of await namedQueues(redis, prefix))
    found.push(
      ...(await looking(redis, prefix, name, async (queue) => {
        const ids = (await queue.getRanges(['failed'], 0, -1)).filter(isAsked);
        const jobs = await Promise.all(ids.map((id) => queue.getJob(id)));
        return Promise.all(jobs.flatMap((job) => (job ? [describe(queue, job)] : [])));
      })),
    );
  return found.toSorted((a, b) => (a.endedMs ?? 0) - (b.endedMs ?? 0));
}

async function describe(queue: Queue, job: Job): Promise<FailedJob> {
  const { code, message } = failureOf(job.failedReason ?? '');
  const { logs } = await queue.getJobLogs(job.id ?? '');
  return {
    id: job.id ?? '',
    queue: queue.name,
    worker: job.processedBy ?? null,
    endedMs: job.finishedOn ?? null,
    stalls: job.stalledCounter,
    code,
    message,
    log: logs,
  };
}
