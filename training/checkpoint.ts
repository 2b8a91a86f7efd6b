import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import type { Parameter, Weights } from '../models/graph.ts';
import { readSafetensors, type StoredWeights, writeSafetensors } from '../models/safetensors.ts';
import { curveStateSchema } from './curve.ts';
import type { CheckpointOptions } from './trainer.ts';

const progressSchema = z.strictObject({
  /** Wall time of the run so far, in seconds. */
  trainS: z.number().nonnegative(),
  curve: curveStateSchema,
  /** Index of the stage whose network the values are of: any will do where nothing grows, as nothing did at first. */
  stage: z.int().nonnegative().default(0),
});

/**
 * Where a run stands between two updates: everything later ones depend on. Random numbers need no place here, since all
 * are drawn by (seed, update).
 */
export interface TrainingState extends z.output<typeof progressSchema> {
  /** By the state's name (parameters, the optimizer's slots, average): values by parameter, in the network's own order. */
  readonly vectors: Readonly<Record<string, Weights>>;
  /** Wall time of every update made. */
  readonly updatesMs: readonly number[];
}

/** Whose state a checkpoint holds, as text by key. */
export interface RunIdentity {
  /** What is computed: network, recipe, amount, seed, data. A run that differs here is another run. */
  readonly work: Readonly<Record<string, string>>;
  /** What computes it: lowering, threads, versions, processor. Equal bits are promised where these are equal. */
  readonly means: Readonly<Record<string, string>>;
}

const format = 'ridgepoint-checkpoint-1';
const updateTimes = 'update-ms';

/** Metadata of a safetensors file is text by key. */
function jsonText<Schema extends z.ZodType>(schema: Schema) {
  return z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue({ code: 'custom', message: 'expected JSON' });
        return z.NEVER;
      }
    })
    .pipe(schema);
}

const textByKey = z.record(z.string(), z.string());
const metadataSchema = z.strictObject({
  format: z.literal(format),
  work: jsonText(textByKey),
  means: jsonText(textByKey),
  progress: jsonText(progressSchema),
  /** CRC-32 of all the rest, in decimal. */
  crc: z.string(),
});

/** What a {@link Checkpoint} saves and whom it tells. */
export interface CheckpointRun {
  readonly identity: RunIdentity;
  /** Those that train, of the network of a stage by its index. */
  readonly parametersOf: (stage: number) => readonly Parameter[];
  readonly onNotice?: ((text: string) => void) | undefined;
}

/** Where one run is saved: a safetensors file, one tensor for each parameter of each vector. */
export class Checkpoint {
  readonly #options: CheckpointOptions;
  readonly #run: CheckpointRun;
  #triedMs = performance.now();
  #hasFailed = false;

  constructor(options: CheckpointOptions, run: CheckpointRun) {
    this.#options = options;
    this.#run = run;
  }

  /** Whether as much time has passed since the last save as a kill may cost. */
  get isDue(): boolean {
    return performance.now() - this.#triedMs >= 1000 * (this.#options.everyS ?? 30);
  }

  /** {@link write} as an insurance: that it fails is told, the first time, and costs the run nothing else. */
  async save(state: TrainingState): Promise<void> {
    try {
      await this.write(state);
    } catch (error) {
      if (!this.#hasFailed)
        this.#run.onNotice?.(
          `${this.#options.file}: expected to save the training here, got ${(error as Error).message}; it goes on without`,
        );
      this.#hasFailed = true;
    } finally {
      this.#triedMs = performance.now();
    }
  }

  /** Writes beside and renames. A run without an update has nothing to save. */
  async write({ vectors, updatesMs, ...progress }: TrainingState): Promise<void> {
    if (updatesMs.length === 0) return;
    const weights = new Map<string, Float32Array>([[updateTimes, Float32Array.from(updatesMs)]]);
    const shapes = new Map<string, readonly number[]>([[updateTimes, [updatesMs.length]]]);
    for (const [vector, values] of Object.entries(vectors))
      for (const { name, shape } of this.#run.parametersOf(progress.stage)) {
        weights.set(`${vector}/${name}`, values.get(name) as Float32Array);
        shapes.set(`${vector}/${name}`, shape as readonly number[]);
      }
    const { work, means } = this.#run.identity;
    const texts = { work: JSON.stringify(work), means: JSON.stringify(means), progress: JSON.stringify(progress) };
    const metadata = { format, ...texts };
    const crc = checksum({ weights, metadata });
    await writeSafetensors(this.#options.file, { weights, shapes, metadata: { ...metadata, crc } });
    this.#options.onSaved?.(progress.trainS);
  }

  /**
   * The state saved; undefined when there is none, or one that does not fit was removed.
   * @throws {ConfigError} when it is of other work and refused, naming each difference.
   * @throws {InvalidFileError} when it is not a checkpoint, or was damaged, and is refused.
   */
  async read(): Promise<SavedRun | undefined> {
    const { file, onMisfit = 'refuse' } = this.#options;
    if (!existsSync(file)) return undefined;
    try {
      return await this.#readFitting();
    } catch (error) {
      const Misfit = misfits.find((kind) => error instanceof kind);
      if (!Misfit) throw error;
      const { message } = error as Error;
      if (onMisfit === 'refuse') throw new Misfit(`${message}; delete it to start over`, { cause: error });
      await rm(file);
      this.#run.onNotice?.(`${message}; it was removed and the training starts over`);
      return undefined;
    }
  }

  async #readFitting(): Promise<SavedRun> {
    const { file } = this.#options;
    const { identity } = this.#run;
    const { weights, metadata } = await readSafetensors(file);
    const parsed = metadataSchema.safeParse(metadata);
    if (!parsed.success)
      throw new InvalidFileError(`${file}: expected a checkpoint of a training\n${z.prettifyError(parsed.error)}`);
    const { crc, ...described } = metadata;
    if (checksum({ weights, metadata: described }) !== crc)
      throw new InvalidFileError(`${file}: expected an intact checkpoint, got a changed one`);
    const { work, means, progress } = parsed.data;
    const otherMeans = differences(means, identity.means);
    const otherWork = differences(work, identity.work);
    if (otherWork.length > 0) {
      // Another version may describe the same work in other words.
      const version = otherMeans.filter((difference) => difference.startsWith('ridgepoint '));
      throw new ConfigError(
        `${file}: expected a checkpoint of this training, got one of another (${[...otherWork, ...version].join('; ')})`,
      );
    }
    const updatesMs = [...(weights.get(updateTimes) ?? [])];
    const state = { ...progress, updatesMs, vectors: vectorsOf(weights) };
    return { state, otherMeans };
  }
}

/** A checkpoint that fits the run. */
export interface SavedRun {
  readonly state: TrainingState;
  /** Which means it was computed by instead of these, in words; none where equal bits are promised. */
  readonly otherMeans: readonly string[];
}

/** What says that a file is not this run's checkpoint; all else is the file system's trouble. */
const misfits = [ConfigError, InvalidFileError] as const;

/** Tensors `vector/parameter` by vector; vectors' names have no slash. */
function vectorsOf(tensors: Weights): Record<string, Map<string, Float32Array>> {
  const vectors: Record<string, Map<string, Float32Array>> = {};
  for (const [name, values] of tensors) {
    const slash = name.indexOf('/');
    if (slash > 0) (vectors[name.slice(0, slash)] ??= new Map()).set(name.slice(slash + 1), values);
  }
  return vectors;
}

function checksum({ weights, metadata }: Pick<StoredWeights, 'weights' | 'metadata'>): string {
  const texts = Object.keys(metadata).toSorted();
  const names = [...weights.keys()].toSorted();
  let crc = crc32(texts.map((key) => `${key}=${metadata[key]}\n`).join(''));
  for (const name of names) {
    const { buffer, byteOffset, byteLength } = weights.get(name) as Float32Array;
    crc = crc32(new Uint8Array(buffer, byteOffset, byteLength), crc32(name, crc));
  }
  return String(crc);
}

function differences(found: Readonly<Record<string, string>>, expected: Readonly<Record<string, string>>): string[] {
  const keys = [...new Set([...Object.keys(expected), ...Object.keys(found)])];
  return keys
    .filter((key) => found[key] !== expected[key])
    .map((key) => `${key} ${shortened(found[key])} instead of ${shortened(expected[key])}`);
}

const longest = 60;

function shortened(text = 'none'): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
