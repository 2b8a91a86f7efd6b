import { detectAccelerators } from '../accelerators/detect.ts';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { commandNameOf } from '../commands/declaration.ts';
import { once } from 'node:events';
import type { Redis } from 'ioredis';
import { InterruptedError } from '../core/errors.ts';
import { FolderArtefacts } from '../study/artefacts.ts';
import type { LatencyMeter, StudyContext } from '../study/context.ts';
import type { OpenStudy, StudyOptions } from '../study/study.ts';
import { isProfile, type StudyConfig } from '../study/study-file.ts';
import { JobClient } from './client.ts';
import { connect, leave, type RedisPlace } from './connection.ts';
import { builtInTrainer, measureQueue, trainQueue, type TrainTask } from './contract.ts';
import { FleetEvaluator } from './evaluator.ts';
import { fleetMeter } from './meter.ts';
import { heartbeatMs, present, trainingSlots, whyWaiting } from './presence.ts';

/**
 * Spreads a study over the workers at a Redis: they train every candidate, and measure on the devices that this host
 * lacks. What this host can measure it measures itself.
 * @param store folder of files by digest that the workers see too.
 */
export function fleetOver(place: RedisPlace, store: string): NonNullable<StudyOptions['fleet']> {
  return async (study, here) => {
    const redis = connect(place, study.onNotice);
    const { signal } = study;
    const opened = new AbortController();
    try {
      const opening = openFleet({ study, here, redis, place, store: new FolderArtefacts(store) });
      // Redis may not be there for hours; whoever interrupts does not wait for it.
      const interrupted = once(signal, 'abort', { signal: opened.signal }).then(() => {
        throw new InterruptedError(`waiting for Redis at ${place.name}: interrupted`);
      });
      return await Promise.race([opening, interrupted]);
    } catch (error) {
      leave(redis);
      throw error;
    } finally {
      opened.abort();
    }
  };
}

async function openFleet(parts: {
  readonly study: OpenStudy;
  readonly here: LatencyMeter;
  readonly redis: Redis;
  readonly place: RedisPlace;
  readonly store: FolderArtefacts;
}): Promise<Pick<StudyContext, 'evaluator' | 'meter'>> {
  const { study, here, redis, place, store } = parts;
  const { key, config, signal } = study;
  const clients: JobClient[] = [];
  const clientOf = async (queue: string): Promise<JobClient> => {
    const client = await JobClient.open(queue, { redis, place });
    clients.push(client);
    return client;
  };
  const trainer = trainerOf(config);
  const trainerName = 'command' in trainer ? trainer.command : builtInTrainer;
  let capacity = 0;
  const told = new Map<string, string | undefined>();
  const look = async (): Promise<void> => {
    const workers = await present(redis, place.prefix);
    capacity = trainingSlots(workers, trainerName);
    for (const { queue, waiting } of clients) {
      const why = waiting === 0 ? undefined : whyWaiting(queue, workers);
      if (why !== undefined && told.get(queue) !== why) study.onNotice(`${waiting} wait: ${why}`);
      told.set(queue, why);
    }
  };
  await look();
  const looking = setInterval(() => void look().catch(() => {}), heartbeatMs).unref();
  const evaluator = new FleetEvaluator({
    client: await clientOf(trainQueue(trainerName)),
    study: key,
    data: study.data,
    trainer,
    artefacts: study.artefacts,
    store,
    capacity: () => capacity,
    // The study closes its meter first and its evaluator last.
    onClose: () => {
      clearInterval(looking);
      leave(redis);
    },
  });
  const hasHere = await devicesHere(study);
  const clientOfDevice = (device: string): Promise<JobClient> => clientOf(measureQueue(device));
  const protocol = config.latency;
  const meter = fleetMeter({ here, hasHere, clientOf: clientOfDevice, study: key, store, protocol, signal });
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
