import type { Redis } from 'ioredis';
import { z } from 'zod';

/** A worker that is not heard of for so long is taken for gone. */
const presenceMs = 15_000;
/** How often a worker says that it is there. */
export const heartbeatMs = presenceMs / 3;

const presenceSchema = z.object({
  schema: z.literal(1),
  id: z.string(),
  host: z.string(),
  pid: z.int(),
  version: z.string(),
  /** Trainers by name, and how many trainings of each it does at once. */
  trainers: z.array(z.string()),
  slots: z.int().nonnegative(),
  devices: z.array(z.string()),
  /** Precisions that a device measures in, by its name, where the worker can tell. */
  precisions: z.record(z.string(), z.array(z.string())).optional(),
  memoryBytes: z.number(),
  /** Ids of the jobs it does now. */
  jobs: z.array(z.string()),
});
/** A worker as it describes itself. */
export type Presence = z.infer<typeof presenceSchema>;

const setKey = (prefix: string): string => `${prefix}:workers`;
const workerKey = (prefix: string, id: string): string => `${prefix}:worker:${id}`;

/** Says that a worker is there, for {@link presenceMs}. */
export async function announce(redis: Redis, prefix: string, presence: Presence): Promise<void> {
  const { id } = presence;
  await redis
    .multi()
    .sadd(setKey(prefix), id)
    .set(workerKey(prefix, id), JSON.stringify(presence), 'PX', presenceMs)
    .exec();
}

/** Says that a worker leaves. */
export async function depart(redis: Redis, prefix: string, id: string): Promise<void> {
  await redis.multi().srem(setKey(prefix), id).del(workerKey(prefix, id)).exec();
}

/** The workers that are there. Those that died without a word are forgotten. */
export async function present(redis: Redis, prefix: string): Promise<Presence[]> {
  const ids = await redis.smembers(setKey(prefix));
  if (ids.length === 0) return [];
  const texts = await redis.mget(ids.map((id) => workerKey(prefix, id)));
  const gone = ids.filter((_, index) => texts[index] === null);
  if (gone.length > 0) await redis.srem(setKey(prefix), ...gone);
  return texts.flatMap((text) => {
    const parsed = presenceSchema.safeParse(text === null || text === undefined ? undefined : JSON.parse(text));
    return parsed.success ? [parsed.data] : [];
  });
}

const queuesKey = (prefix: string): string => `${prefix}:queues`;

/** Remembers a queue, for those who look at the fleet from outside. */
export async function nameQueue(redis: Redis, prefix: string, queue: string): Promise<void> {
  await redis.sadd(queuesKey(prefix), queue);
}

/** Queues that there were jobs for, in order. */
export async function namedQueues(redis: Redis, prefix: string): Promise<string[]> {
  return (await redis.smembers(queuesKey(prefix))).toSorted();
}

/** Trainings that the workers there can do at once. */
export function trainingSlots(workers: readonly Presence[], trainer: string): number {
  return workers.reduce((sum, worker) => sum + (worker.trainers.includes(trainer) ? worker.slots : 0), 0);
}
