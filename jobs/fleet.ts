import { detectAccelerators } from '../accelerators/detect.ts';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { commandNameOf } from '../commands/declaration.ts';
import type { Redis } from 'ioredis';
import type { LatencyMeter, StudyContext } from '../study/context.ts';
import type { OpenStudy, StudyOptions } from '../study/study.ts';
import { isProfile, type StudyConfig } from '../study/study-file.ts';
import { JobClient } from './client.ts';
import { connect, leave, type RedisPlace, untilInterrupted } from './connection.ts';
import { measureQueue, trainerNeeded, trainQueue, type TrainTask } from './contract.ts';
import { FleetEvaluator } from './evaluator.ts';
import { fleetMeter } from './meter.ts';
import type { SharedStore } from './store.ts';
import type { StudyMetrics } from './metrics.ts';
import type { AskEvent } from './telemetry.ts';
import { hearFleetRequests } from './requests.ts';
import { heartbeatMs, present, trainingSlots } from './presence.ts';
import { whyNotTaken } from './waiting.ts';

/**
 * Spreads a study over the workers at a Redis: they train every candidate, and measure on the devices that this host
 * lacks. What this host can measure it measures itself.
 * @param store files by digest that the workers see too.
 * @param watch hears of Redis, of the queues and of jobs, for metrics and logs.
 */
export function fleetOver(
  place: RedisPlace,
  store: SharedStore,
  watch: Partial<Pick<StudyMetrics, 'redis' | 'queues'>> & { readonly jobs?: (event: AskEvent) => void } = {},
): NonNullable<StudyOptions['fleet']> {
  return async (study, here) => {
    study.signal.throwIfAborted();
    const redis = connect(place, study.onNotice, watch.redis);
    const listening = connect(place, () => {});
    const clients: JobClient[] = [];
    watch.queues?.(() => clients.map(({ queue, waiting }) => ({ queue, waiting })));
    // Queues' events have connections of their own, which would keep the process.
    const close = async (): Promise<void> => {
      await Promise.allSettled(clients.map((client) => client.close()));
      leave(redis);
      leave(listening);
    };
    try {
      hearFleetRequests({ listening, speaking: redis, prefix: place.prefix }, study.key, study.answer).catch(() => {});
      const opening = openFleet({ study, here, redis, clients, place, store, hear: watch.jobs, close });
      return await untilInterrupted(opening, place, study.signal);
    } catch (error) {
      await close();
      throw error;
    }
  };
}

async function openFleet(parts: {
  readonly study: OpenStudy;
  readonly here: LatencyMeter;
  readonly redis: Redis;
  /** Gets those that are opened. */
  readonly clients: JobClient[];
  readonly place: RedisPlace;
  readonly store: SharedStore;
  readonly hear: ((event: AskEvent) => void) | undefined;
  readonly close: () => Promise<void>;
}): Promise<Pick<StudyContext, 'evaluator' | 'meter'>> {
  const { study, here, redis, clients, place, store, hear, close } = parts;
  const { key, config, measured, signal } = study;
  const clientOf = async (queue: string): Promise<JobClient> => {
    const client = await JobClient.open(queue, { redis, place, hear });
    clients.push(client);
    return client;
  };
  const trainer = trainerOf(config);
  const trainerName = trainerNeeded(trainer);
  let capacity = 0;
  const told = new Map<string, string | undefined>();
  const look = async (): Promise<void> => {
    const workers = await present(redis, place.prefix);
    capacity = trainingSlots(workers, trainerName);
    for (const { queue, waiting } of clients) {
      const why = waiting === 0 ? undefined : whyNotTaken({ queue, precisions: {} }, workers);
      if (why !== undefined && told.get(queue) !== why) study.onNotice(`${waiting} wait: ${why}`);
      told.set(queue, why);
    }
  };
  await look();
  const client = await clientOf(trainQueue(trainerName));
  const hasHere = await devicesHere(study);
  const lookAgain = (): void => {
    if (redis.status === 'ready') look().catch(() => {});
  };
  const looking = setInterval(lookAgain, heartbeatMs).unref();
  const evaluator = new FleetEvaluator({
    client,
    study: key,
    data: study.data,
    trainer,
    schedule: config.final.schedule,
    artefacts: study.artefacts,
    store,
    capacity: () => capacity,
    // The study closes its meter first and its evaluator last.
    close: () => {
      clearInterval(looking);
      return close();
    },
  });
  const clientOfDevice = (device: string): Promise<JobClient> =>
    untilInterrupted(clientOf(measureQueue(device)), place, signal);
  const protocol = config.latency;
  const meter = fleetMeter({ here, hasHere, clientOf: clientOfDevice, study: key, store, measured, protocol, signal });
  return { evaluator, meter };
}

function trainerOf({ trainer, trainerCommand }: StudyConfig): TrainTask['trainer'] {
  return trainerCommand ? { command: trainerCommand.name, params: { ...trainerCommand.params } } : trainer;
}

/** Whether this host can measure on a device: its own providers, commands that the study declares, and computing. */
async function devicesHere({ config, signal }: OpenStudy): Promise<(device: string) => boolean> {
  const asked = Object.values(config.targets).map(({ device }) => device);
  const providers = providerIds.filter((id) => asked.includes(id));
  const found = providers.length === 0 ? [] : await detectAccelerators({ signal });
  const available = new Set<string>(found.flatMap(({ id, available: works }) => (works ? [id] : [])));
  return (device) => {
    const command = commandNameOf(device);
    return command === undefined ? isProfile(device) || available.has(device) : Object.hasOwn(config.commands, command);
  };
}
