import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { deviceProfiles } from '../accelerators/profiles.ts';
import { commandNameOf } from '../commands/declaration.ts';
import { EnvironmentError, InfeasibleModelError } from '../core/errors.ts';
import { exportedPrecisions } from '../latency/file-precision.ts';
import type { Latency } from '../latency/latency.ts';
import { Ledger } from '../latency/ledger.ts';
import type { EvaluationRequest, Evaluator } from '../search/evaluator.ts';
import { commandEvaluator } from '../study/evaluation/command-evaluator.ts';
import type { LatencyMeter } from '../study/context.ts';
import { openLatencyMeter } from '../study/evaluation/meter.ts';
import { resolveRecipe } from '../study/evaluation/recipe.ts';
import {
  JobContractError,
  type MeasureJob,
  measureJobSchema,
  measureQueue,
  received,
  trainerNeeded,
  trainJobSchema,
  trainQueue,
  type TrainJob,
  type TrainTask,
  trainTaskSchema,
} from './contract.ts';
import { HandedOverEvaluator } from './handover.ts';
import type { Offer } from './offer.ts';
import { openStore } from './store-place.ts';
import type { SharedStore } from './store.ts';
import type { Service, Work } from './worker.ts';

/** The evaluator of a training: this machine's, or a command's. */
export type EvaluatorOf = (job: TrainJob, task: TrainTask, work: Pick<Work, 'trace' | 'isGivenBack'>) => Evaluator;

/**
 * All that an offer promises, as services.
 * @param worker name of the worker, which results are signed with.
 * @param env where settings of S3 are.
 */
export function servicesOf(offer: Offer, worker: string, env: NodeJS.ProcessEnv = process.env): Service[] {
  mkdirSync(offer.store, { recursive: true });
  const store = openStore(offer.remote ?? offer.store, offer.store, env);
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
    readonly store: SharedStore;
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
    serve: async ({ id, data, signal, tell, ...work }) => {
      const job = received(trainJobSchema, data, id);
      const task = await taskOf(job.task);
      const needed = trainerNeeded(task.trainer);
      if (needed !== trainer)
        throw new JobContractError(`${id}: expected a training by ${trainer}, got one by ${needed}`);
      await store.fetch(task.dataFile);
      const evaluator = evaluatorOf(job, task, work);
      const request: EvaluationRequest = {
        fidelity: job.fidelity,
        attempt: job.attempt,
        keepWeights: job.keepWeights,
        signal,
        onProgress: tell,
        onNotice: (notice) => tell({ notice }),
      };
      const outcome = await evaluator.evaluate({ id: job.trial, spec: job.spec }, request);
      if (outcome.status === 'failed')
        throw new EnvironmentError(outcome.detail, { code: outcome.code, retry: outcome.retry });
      if (outcome.status === 'ok' && outcome.checkpoint !== undefined) await store.publish(outcome.checkpoint);
      await evaluator.close();
      return { schema: 1, outcome, ...(work.trace.isLeft ? { traced: true } : {}), worker };
    },
  };
}

async function readTask(store: SharedStore, digest: string): Promise<TrainTask> {
  await store.fetch(digest);
  const text = Buffer.from(await store.here.read(digest)).toString('utf8');
  return received(trainTaskSchema, JSON.parse(text), digest);
}

/** Studies whose training commands are kept open; who comes back after so many others opens them anew. */
const commandsKept = 32;

/** Trains on this machine in child processes, or by a command that the worker declares. */
function evaluatorsOf(offer: Offer, store: SharedStore): EvaluatorOf {
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
    const file = store.here.path(dataFile);
    return commandEvaluator(config, join(offer.store, 'work', study), { ...data, file }, store.here);
  };
  return (job, task, { trace, isGivenBack }) => {
    const { study } = job;
    const { data, dataFile, trainer, schedule } = task;
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
    return new HandedOverEvaluator({
      ...resolveRecipe(trainer),
      schedule,
      dataFile: store.here.path(dataFile),
      dataDigest: data.digest,
      store,
      trace,
      isGivenBack,
      everyS: offer.checkpointMs / 1000,
    });
  };
}

/** Precisions that a device measures in: a provider runs files as they are, variants among them; what a program does only it knows. */
function precisionsOf(here: string): { readonly precisions?: readonly string[] } {
  if (commandNameOf(here) !== undefined || /\.ya?ml$/i.test(here)) return {};
  const profile = deviceProfiles.get(here);
  if (profile) return { precisions: Object.keys(profile.peakTflops) };
  const exported = exportedPrecisions(here);
  return { precisions: exported.includes('fp16') ? [...exported, 'int8'] : exported };
}

/** Measurements on one device of this host, one at a time, the host's lock held. */
function measureService(
  device: string,
  { offer, store, worker }: { readonly offer: Offer; readonly store: SharedStore; readonly worker: string },
): Service {
  const here = offer.devices[device] ?? device;
  // A file for each host: a store may be seen by many.
  const ledgerPath = join(offer.store, 'work', `ledger-${hostname()}.ndjson`);
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
    open ??= {
      controller,
      meter: openLatencyMeter({ ...offer, latency: protocol }, controller.signal, { ledger: new Ledger(ledgerPath) }),
    };
    const { meter } = open;
    const abort = (): void => controller.abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      const target = { ...setting, device: here };
      if (!('file' in model)) return await meter.measureSpec(model.spec, target, protocol);
      await store.fetch(model.file);
      return await meter.measureFile(store.here.path(model.file), target, model.spec, protocol);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  };
  return {
    queue: measureQueue(device),
    offers: { device, ...precisionsOf(here) },
    slots: 1,
    close,
    serve: async ({ id, data, signal }) => {
      const job = received(measureJobSchema, data, id);
      const startMs = performance.now();
      const answered = (answer: object): object => ({
        schema: 1,
        worker,
        seconds: (performance.now() - startMs) / 1000,
        answer,
      });
      try {
        return answered({ status: 'ok', latency: await measure(job, signal) });
      } catch (error) {
        if (!(error instanceof InfeasibleModelError)) throw error;
        const { reason, message, limit, observed } = error;
        return answered({ status: 'infeasible', reason, message, limit, observed });
      }
    },
  };
}
