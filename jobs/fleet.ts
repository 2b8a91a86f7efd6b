import { detectAccelerators } from '../accelerators/detect.ts';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { commandNameOf } from '../commands/declaration.ts';
import { FolderArtefacts } from '../study/artefacts.ts';
import { simulatedDevice } from '../study/meter.ts';
import type { OpenStudy, StudyOptions } from '../study/study.ts';
import type { StudyConfig } from '../study/study-file.ts';
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
    const clients: JobClient[] = [];
    const clientOf = async (name: string): Promise<JobClient> => {
      const client = await JobClient.open(name, { redis, place, study: study.key });
      clients.push(client);
      return client;
    };
    const trainer = trainerOf(study.config);
    const queue = trainQueue('command' in trainer ? trainer.command : builtInTrainer);
    const files = new FolderArtefacts(store);
    let capacity = 0;
    const told = new Map<string, string | undefined>();
    const look = async (): Promise<void> => {
      const workers = await present(redis, place.prefix);
      capacity = trainingSlots(workers, queue.slice('train.'.length));
      for (const { queue: name, waiting } of clients) {
        const why = waiting === 0 ? undefined : whyWaiting(name, workers);
        if (why !== undefined && told.get(name) !== why) study.onNotice(`${waiting} wait: ${why}`);
        told.set(name, why);
      }
    };
    await look();
    const looking = setInterval(() => void look().catch(() => {}), heartbeatMs).unref();
    const evaluator = new FleetEvaluator({
      client: await clientOf(queue),
      study: study.key,
      data: study.data,
      trainer,
      artefacts: study.artefacts,
      store: files,
      capacity: () => capacity,
    });
    const meter = fleetMeter({
      here,
      hasHere: await devicesHere(study),
      clientOf: (device) => clientOf(measureQueue(device)),
      study: study.key,
      store: files,
      protocol: study.config.latency,
      signal: study.signal,
    });
    // The study closes its meter first and its evaluator last.
    const close = evaluator.close.bind(evaluator);
    evaluator.close = async () => {
      clearInterval(looking);
      await close();
      leave(redis);
    };
    return { evaluator, meter };
  };
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
    return command === undefined
      ? device === simulatedDevice || available.has(device)
      : Object.hasOwn(config.commands, command);
  };
}
