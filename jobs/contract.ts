import { z } from 'zod';
import { ConfigError, EnvironmentError, fromWire, type RidgepointError, toWire } from '../core/errors.ts';
import { fidelitySchema, infeasibleReasonSchema, outcomeSchema } from '../core/trial.ts';
import { latencySchema, percentiles } from '../latency/latency.ts';
import { protocolPresets } from '../latency/protocol.ts';
import { networkSpecSchema } from '../models/spec.ts';
import { trainerSchema } from '../study/evaluation/recipe.ts';
import { heuristicNames } from '../training/heuristic-schedules.ts';
import type { TrainerKind } from '../training/trainer.ts';
import { trainingScheduleSchema } from '../training/training-schedule.ts';

// All that those who ask and those who work share. Data only: programs are named here and declared where they
// run, files are named by digest. Each side checks what it receives.

/** A job or a result is not of the form this version knows: the other side runs another version, or is not ours. */
export class JobContractError extends EnvironmentError {
  override readonly code = 'job-contract';
}

/** Devices and trainers by name: what BullMQ takes in the name of a queue. */
export const offeredNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][\w.@-]{0,99}$/, 'expected a name of letters, digits, ".", "_", "-" and "@"');

/**
 * The trainers that come with Ridgepoint, as workers offer them: the first every worker has, the second where TensorFlow.js is
 * installed. Others are commands of a worker's own.
 */
export const builtInTrainers = { onnx: 'built-in', tfjs: 'tfjs' } as const satisfies Record<TrainerKind, string>;

/** Whether a trainer of this name comes with Ridgepoint. */
export function isBuiltInTrainer(name: string): boolean {
  return Object.values<string>(builtInTrainers).includes(name);
}

/** Queue of trainings that any worker with this trainer may take. */
export function trainQueue(trainer: string): string {
  return `train.${offeredNameSchema.parse(trainer)}`;
}

/** Queue of measurements on one device. */
export function measureQueue(device: string): string {
  return `measure.${offeredNameSchema.parse(device)}`;
}

const studyKeySchema = z.string().regex(/^[A-Za-z0-9][\w.-]*$/, 'expected the key of a study');
const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected a digest');
const nameSchema = z.string().regex(/^[\w-]{1,100}$/, 'expected an id of letters, digits, "_" and "-"');

/**
 * Id of a job, the same whoever asks and however often: whoever comes back finds the job by it.
 * BullMQ takes neither ids with ':' nor integers; three parts between dots are neither.
 */
export function jobId(study: string, work: string, attempt: number): string {
  return `${studyKeySchema.parse(study)}.${nameSchema.parse(work)}.${attempt}`;
}

/** Key of the study that a job is of. */
export function studyOf(job: string): string {
  return job.split('.').slice(0, -2).join('.');
}

/** A job's id without the attempt. */
export function workOf(job: string): string {
  return job.replace(/\.\d+$/, '');
}

/** What all trainings of a study have in common, a JSON file in the store: the data and how to train on it. */
export const trainTaskSchema = z.strictObject({
  schema: z.literal(1),
  /** The prepared data set: its file's digest in the store, and what is known of it. */
  dataFile: digestSchema,
  data: z.strictObject({
    name: z.string(),
    digest: digestSchema,
    fit: z.enum(['centre-crop', 'stretch']),
    channels: z.int().positive(),
    height: z.int().positive(),
    width: z.int().positive(),
    classNames: z.array(z.string()),
    mean: z.array(z.number()),
    std: z.array(z.number()),
    counts: z.strictObject({ train: z.int(), holdout: z.int(), test: z.int() }),
  }),
  trainer: z.union([
    trainerSchema,
    z.strictObject({ command: offeredNameSchema, params: z.record(z.string(), z.json()) }),
  ]),
  /** Of trainings whose fidelity names one. */
  schedule: z.union([z.enum(heuristicNames), trainingScheduleSchema]).optional(),
});
export type TrainTask = z.infer<typeof trainTaskSchema>;

/**
 * The trainer that a task needs, as workers offer it.
 * @throws {ConfigError} when a command has the name of a trainer that comes with Ridgepoint: their jobs would share a queue.
 */
export function trainerNeeded(trainer: TrainTask['trainer']): string {
  if (!('command' in trainer)) return builtInTrainers[trainer.kind ?? 'onnx'];
  const { command } = trainer;
  if (isBuiltInTrainer(command))
    throw new ConfigError(
      `trainer.command: expected another name than those of Ridgepoint's own trainers, got ${command}`,
    );
  return command;
}

/** One training. */
export const trainJobSchema = z.strictObject({
  schema: z.literal(1),
  study: studyKeySchema,
  trial: nameSchema,
  attempt: z.int().positive(),
  /** Digest of the {@link TrainTask}. */
  task: digestSchema,
  spec: networkSpecSchema,
  fidelity: fidelitySchema,
  keepWeights: z.boolean(),
});
export type TrainJob = z.infer<typeof trainJobSchema>;

/** What a training gives; failures travel as {@link failureText}. */
export const trainResultSchema = z.strictObject({
  schema: z.literal(1),
  outcome: outcomeSchema,
  /** Whether workers left something of the training, to be removed once the result is safe. */
  traced: z.boolean().optional(),
  /** Worker that did it. */
  worker: z.string(),
});

/** One measurement: of a network with untrained weights, or of a file in the store. */
export const measureJobSchema = z.strictObject({
  schema: z.literal(1),
  study: studyKeySchema,
  model: z.union([
    z.strictObject({ spec: networkSpecSchema }),
    z.strictObject({ file: digestSchema, spec: networkSpecSchema.nullable() }),
  ]),
  setting: z.strictObject({
    device: offeredNameSchema,
    batch: z.int().positive(),
    threads: z.int().positive(),
    precision: latencySchema.shape.precision,
    /** What the target allows: files are measured by its percentile. */
    limit: z.strictObject({ percentile: z.literal(percentiles), ms: z.number().positive() }).optional(),
  }),
  protocol: z.enum(protocolPresets),
});
export type MeasureJob = z.infer<typeof measureJobSchema>;

/** What a measurement gives: a latency, or why the device cannot run the network. */
export const measureResultSchema = z.strictObject({
  schema: z.literal(1),
  worker: z.string(),
  /** How long the worker was at it; the wait in the queue is nobody's cost. */
  seconds: z.number().nonnegative().optional(),
  answer: z.discriminatedUnion('status', [
    z.strictObject({ status: z.literal('ok'), latency: latencySchema }),
    z.strictObject({
      status: z.literal('infeasible'),
      reason: infeasibleReasonSchema,
      message: z.string(),
      limit: z.number().optional(),
      observed: z.number().optional(),
    }),
  ]),
});

/** What a worker tells while it works. */
export const newsSchema = z.union([
  z.strictObject({
    examples: z.number(),
    loss: z.number().optional(),
    imagesPerS: z.number().optional(),
  }),
  z.strictObject({ notice: z.string() }),
]);
export type News = z.infer<typeof newsSchema>;

const wireErrorSchema = z.strictObject({
  name: z.string(),
  code: z.string(),
  retry: z.boolean(),
  message: z.string(),
  inability: z
    .strictObject({
      reason: infeasibleReasonSchema,
      limit: z.number().optional(),
      observed: z.number().optional(),
    })
    .optional(),
});

/** An error as the text that BullMQ keeps as the reason of a failed job. */
export function failureText(error: unknown): string {
  return JSON.stringify(toWire(error));
}

/**
 * The error that the reason of a failed job stands for. A reason that is not ours is BullMQ's own: the job lost its
 * worker again and again, so it is taken for what ended them.
 */
export function failureOf(reason: string): RidgepointError {
  try {
    return fromWire(wireErrorSchema.parse(JSON.parse(reason)));
  } catch {
    return new EnvironmentError(`expected a worker to finish the job, but ${reason}`, { code: 'quarantined' });
  }
}

/** Checked data from the other side. @throws {JobContractError} naming where it came from and what is wrong. */
export function received<Schema extends z.ZodType>(schema: Schema, data: unknown, where: string): z.output<Schema> {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new JobContractError(
    `${where}: expected what this version of Ridgepoint sends, got something else; do both sides run the same version?\n${z.prettifyError(parsed.error)}`,
  );
}
