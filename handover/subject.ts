import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { digestBytes } from '../core/digest.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { filePrecision } from '../latency/file-precision.ts';
import { buildNetwork } from '../models/build.ts';
import type { Preprocessing } from '../models/export.ts';
import type { Weights } from '../models/graph.ts';
import { initialWeights } from '../models/initialise.ts';
import { describeOnnx } from '../models/onnx.ts';
import { decodeSafetensors, readSafetensors } from '../models/safetensors.ts';
import { parseNetworkSpec } from '../models/spec.ts';
import { isTransformer, type ModelSpec, parseTransformerSpec } from '../models/transformer.ts';
import { FolderArtefacts } from '../study/artefacts.ts';
import { deliveredFiles, type FamilyPart } from '../study/deliver/export.ts';
import { readStudyEvents } from '../study/journal/journal.ts';

/** An ONNX file that a study or a training left, with what is known of it. */
export interface DeliveredFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly precision: 'fp32' | 'fp16' | 'int8';
  /** Null where the file does not say, as a transformer's. */
  readonly preprocessing: Preprocessing | null;
}

/** A network to hand over. */
export interface Subject {
  /** Where its files go below the folder asked for; empty for the folder itself. */
  readonly place: string;
  readonly spec: ModelSpec;
  /** Trained, or those that a seed starts with; absent where neither is asked for. */
  readonly weights?: Weights;
  /** Absent for a spec, which nobody has trained. */
  readonly file?: DeliveredFile;
  /** Whether the file is another subject's in another precision, so that both have the same weights. */
  readonly isVariant?: boolean;
}

/** A network that was not trained, with the weights that a seed starts it with. */
export function specSubject(spec: ModelSpec, seed: number | undefined): Subject {
  if (seed === undefined) return { place: '', spec };
  return { place: '', spec, weights: initialWeights(buildNetwork(spec, 1), new Random(seed)) };
}

/**
 * The networks of a finished study's folder, or of one that `train` made.
 * @throws {ConfigError} when it is neither or nothing matches. @throws {InvalidFileError} for a changed or damaged file.
 */
export async function folderSubjects(folder: string, only: FamilyPart): Promise<readonly Subject[]> {
  if (existsSync(join(folder, 'weights.safetensors'))) return [await trainedSubject(folder, only)];
  return studySubjects(folder, only);
}

async function trainedSubject(folder: string, only: FamilyPart): Promise<Subject> {
  if (only.target !== undefined || only.size !== undefined)
    throw new ConfigError(`${folder}: expected a study with --target and --size, got the folder of one training`);
  const path = join(folder, 'model.onnx');
  if (!existsSync(path))
    throw new ConfigError(`${folder}: expected a model.onnx beside weights.safetensors, found none`);
  const { spec, ...file } = readDelivered(path);
  const { weights } = await readSafetensors(join(folder, 'weights.safetensors'));
  return { place: '', spec, weights, file };
}

async function studySubjects(folder: string, only: FamilyPart): Promise<readonly Subject[]> {
  const files = deliveredFiles(folder, only).filter((path) => path.endsWith('.onnx'));
  const checkpointOf = checkpointsByFile(folder);
  const artefacts = new FolderArtefacts(join(folder, 'artefacts'));
  return Promise.all(
    files.map(async (relative) => {
      const { spec, ...file } = readDelivered(join(folder, relative));
      const checkpoint = checkpointOf(digestBytes(file.bytes));
      if (checkpoint === undefined)
        throw new InvalidFileError(`${file.path}: expected the journal to know the training that it is of, found none`);
      const { weights } = decodeSafetensors(await artefacts.read(checkpoint), artefacts.path(checkpoint));
      const name = basename(relative, '.onnx');
      // Shared networks may come in two precisions.
      const place = name === 'model' ? dirname(relative) : join(dirname(relative), name);
      return {
        place,
        spec,
        weights,
        file,
        isVariant: files.includes(join(dirname(relative), 'model.onnx')) && name !== 'model',
      };
    }),
  );
}

/** Digest of the weights that a delivered file was made of: the run of the artefact with the same bytes, and its outcome. */
function checkpointsByFile(folder: string): (file: string) => string | undefined {
  const events = readStudyEvents(folder);
  return (file) => {
    for (const event of events) {
      const run = event.type === 'artefact' && event.digest === file ? /^onnx (\S+)/.exec(event.id)?.[1] : undefined;
      if (run === undefined) continue;
      for (const answer of events)
        if (answer.type === 'outcome' && answer.id === run && answer.outcome.status === 'ok')
          if (answer.outcome.checkpoint !== undefined) return answer.outcome.checkpoint;
    }
    return undefined;
  };
}

const metadataSchema = z.object({
  channel_order: z.enum(['RGB', 'grey', 'as-stored']),
  fit: z.enum(['centre-crop', 'stretch']),
  mean: z.string().transform(numbers),
  std: z.string().transform(numbers),
  resize_filter: z.string(),
  class_names: z.string().transform((text) => z.array(z.string()).parse(JSON.parse(text))),
});

function numbers(text: string): number[] {
  return text.split(',').map(Number);
}

/** Reads one of our ONNX files: it says itself which network it is and what to feed it. */
function readDelivered(path: string): DeliveredFile & { readonly spec: ModelSpec } {
  const bytes = readFileSync(path);
  const { metadata } = describeOnnx(bytes, path);
  const text = metadata['spec'];
  if (text === undefined) throw new InvalidFileError(`${path}: expected a spec in the file’s metadata, found none`);
  const data = JSON.parse(text) as object;
  const spec = isTransformer(data) ? parseTransformerSpec(data, path) : parseNetworkSpec(data, path);
  const told = metadataSchema.safeParse(metadata);
  const preprocessing: Preprocessing | null = told.success
    ? {
        channelOrder: told.data.channel_order,
        fit: told.data.fit,
        mean: told.data.mean,
        std: told.data.std,
        resizeFilter: told.data.resize_filter,
        classNames: told.data.class_names,
      }
    : null;
  const precision = filePrecision(bytes);
  return { path, bytes, precision: precision === 'bf16' ? 'fp32' : precision, preprocessing, spec };
}
