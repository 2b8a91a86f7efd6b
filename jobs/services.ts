import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError, InfeasibleModelError } from '../core/errors.ts';
import type { Latency } from '../latency/latency.ts';
import type { EvaluationRequest, Evaluator } from '../search/evaluator.ts';
import { FolderArtefacts } from '../study/artefacts.ts';
import { commandEvaluator } from '../study/command-evaluator.ts';
import type { LatencyMeter } from '../study/context.ts';
import { LocalEvaluator } from '../study/local-evaluator.ts';
import { openLatencyMeter } from '../study/meter.ts';
import { resolveRecipe } from '../study/recipe.ts';
import {
  type MeasureJob,
  measureJobSchema,
  measureQueue,
  received,
  trainJobSchema,
  trainQueue,
  type TrainJob,
  type TrainTask,
  trainTaskSchema,
} from './contract.ts';
import type { Offer } from './offer.ts';
import type { Service } from './worker.ts';

/** The evaluator of a training: this machine's, or a command's. */
export type EvaluatorOf = (job: TrainJob, task: TrainTask) => Evaluator;

/** All that an offer promises, as services. @param worker name of the worker, which results are signed with. */
export function servicesOf(offer: Offer, worker: string): Service[] {
  mkdirSync(offer.store, { recursive: true });
  const store = new FolderArtefacts(offer.store);
  const evaluatorOf = evaluatorsOf(offer, store);
  const { slots } = offer;
  const trainers = slots === 0 ? [] : offer.trainers;
  return [
    ...trainers.map((trainer) => trainService(trainer, { slots, store, worker, evaluatorOf })),
    ...Object.keys(offer.devices).map((device) => measureService(device, { offer, store, worker })),
  ];
}

/** Trainings by one trainer. The network comes with the job; the data and the way to train are files by digest. */
export function trainService(
  trainer: string,
  options: {
    readonly slots: number;
    readonly store: FolderArtefacts;
    readonly worker: string;
    readonly evaluatorOf: EvaluatorOf;
  },
): Service {
  const { slots, store, worker, evaluatorOf } = options;
  const tasks = new Map<string, Promise<TrainTask>>();
  const taskOf = (digest: string): Promise<TrainTask> => {
    const known = tasks.get(digest) ?? readTask(store, digest);
    tasks.set(digest, known);
    // What could not be read may be there next time.
    known.catch(() => tasks.delete(digest));
    return known;
  };
  return {
    queue: trainQueue(trainer),
    offers: { trainer },
    slots,
    serve: async ({ id, data, signal, tell }) => {
      const job = received(trainJobSchema, data, id);
      const evaluator = evaluatorOf(job, await taskOf(job.task));
      const request: EvaluationRequest = {
        fidelity: job.fidelity,
        attempt: job.attempt,
        keepWeights: job.keepWeights,
        ...(job.from === undefined ? {} : { from: job.from }),
        signal,
        onProgress: tell,
        onNotice: (notice) => tell({ notice }),
      };
      const outcome = await evaluator.evaluate({ id: job.trial, spec: job.spec }, request);
      if (outcome.status === 'failed')
        throw new EnvironmentError(outcome.detail, { code: outcome.code, retry: outcome.retry });
      await evaluator.close();
      return { schema: 1, outcome, worker };
    },
  };
}

async function readTask(store: FolderArtefacts, digest: string): Promise<TrainTask> {
  const text = Buffer.from(await store.read(digest)).toString('utf8');
  return received(trainTaskSchema, JSON.parse(text), digest);
}

/** Studies whose training commands are kept open; who comes back after so many others opens them anew. */
const commandsKept = 32;

/** Trains on this machine in child processes, or by a command that the worker declares. */
function evaluatorsOf(offer: Offer, store: FolderArtefacts): EvaluatorOf {
  const commands = new Map<string, Evaluator>();
  const byCommand = (
    study: string,
    { data, dataFile }: TrainTask,
    trainerCommand: {
      readonly name: string;
      readonly params: Extract<TrainTask['trainer'], { command: string }>['params'];
    },
  ): Evaluator | undefined => {
    const config = { ...offer, study, trainer: {}, trainerCommand };
    return commandEvaluator(config, join(offer.store, 'work', study), { ...data, file: store.path(dataFile) }, store);
  };
  return (job, task) => {
    const { study, trial } = job;
    const { data, dataFile, trainer } = task;
    if ('command' in trainer) {
      // Of one study only: trials of two have the same ids, and states in the study's folder.
      const key = `${study} ${job.task}`;
      const known = commands.get(key) ?? byCommand(study, task, { name: trainer.command, params: trainer.params });
      if (!known) throw new Error('a training command makes an evaluator');
      commands.delete(key);
      commands.set(key, known);
      const [oldest] = commands.keys();
      if (commands.size > commandsKept && oldest !== undefined) commands.delete(oldest);
      return known;
    }
    return new LocalEvaluator({
      ...resolveRecipe(trainer),
      dataFile: store.path(dataFile),
      artefacts: store,
      // Of this trial alone, and where every worker sees it: whoever takes the job next goes on from it.
      checkpoints: { folder: join(offer.store, 'work', `${study}.${trial}`), dataDigest: data.digest },
      slots: 1,
    });
  };
}

/** Measurements on one device of this host, one at a time, the host's lock held. */
function measureService(
  device: string,
  { offer, store, worker }: { readonly offer: Offer; readonly store: FolderArtefacts; readonly worker: string },
): Service {
  const here = offer.devices[device] ?? device;
  // One for many measurements; a cancelled one takes its meter with it.
  let open: { readonly meter: LatencyMeter; readonly controller: AbortController } | undefined;
  const close = async (): Promise<void> => {
    const { meter } = open ?? {};
    open = undefined;
    await meter?.close();
  };
  const measure = async ({ model, setting, protocol }: MeasureJob, signal: AbortSignal): Promise<Latency> => {
    if (open?.controller.signal.aborted) await close();
    const controller = open?.controller ?? new AbortController();
    open ??= { controller, meter: openLatencyMeter({ ...offer, latency: protocol }, controller.signal) };
    const { meter } = open;
    const abort = (): void => controller.abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      const target = { ...setting, device: here };
      if (!('file' in model)) return await meter.measureSpec(model.spec, target, protocol);
      return await meter.measureFile(store.path(model.file), target, model.spec);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  };
  return {
    queue: measureQueue(device),
    offers: { device },
    slots: 1,
    close,
    serve: async ({ id, data, signal }) => {
      const job = received(measureJobSchema, data, id);
      try {
        return { schema: 1, worker, answer: { status: 'ok', latency: await measure(job, signal) } };
      } catch (error) {
        if (!(error instanceof InfeasibleModelError)) throw error;
        const { reason, message, limit, observed } = error;
        return { schema: 1, worker, answer: { status: 'infeasible', reason, message, limit, observed } };
      }
    },
  };
}
