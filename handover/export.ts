import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { writeNewFolder } from '../core/new-folder.ts';
import { buildNetwork } from '../models/build.ts';
import { exportOnnx } from '../models/export.ts';
import { encodeSafetensors } from '../models/safetensors.ts';
import { isTransformer } from '../models/transformer.ts';
import { specDigest } from '../models/spec.ts';
import type { StudyProgress } from '../study/context.ts';
import { writeBundle } from './bundle.ts';
import { kerasSource } from './keras.ts';
import { parityTolerances, parityVectors, storedParity } from './parity.ts';
import { checkSource, type SourceCheck } from './python.ts';
import { pytorchSource } from './pytorch.ts';
import { parityFileName, sourceFileName, weightsFileName } from './source.ts';
import { stateDict } from './state-dict.ts';
import type { Subject } from './subject.ts';
import { timmKey, timmSource } from './timm.ts';

/** What a network can be handed over as. */
export const handoverFormats = ['onnx', 'safetensors', 'pytorch', 'timm', 'keras', 'bundle'] as const;
export type HandoverFormat = (typeof handoverFormats)[number];

const sources = { pytorch: pytorchSource, timm: timmSource, keras: kerasSource } as const;
type Framework = keyof typeof sources;

export interface HandOverRequest {
  readonly subjects: readonly Subject[];
  readonly format: HandoverFormat;
  /** New folder; appears whole or not at all. */
  readonly to: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
}

/** One network as it was handed over. */
export interface HandedOver {
  /** Its folder below the one asked for; empty for that itself. */
  readonly place: string;
  /** Names of its files. */
  readonly files: readonly string[];
  /** Of source with weights: whether it does what the ONNX file does. */
  readonly check?: SourceCheck;
}

/**
 * Writes networks in a form that other stacks take. Source that comes with weights is run against the ONNX file of the
 * same weights, where Python and the framework are here.
 * @throws {ConfigError} when the folder exists, or a network has no such form, naming what in it has none.
 * @throws {ParityError} when source and ONNX file disagree; then nothing is left. @throws {InterruptedError} when aborted.
 */
export async function handOver({
  subjects,
  format,
  to,
  signal,
  onProgress,
}: HandOverRequest): Promise<readonly HandedOver[]> {
  return writeNewFolder('--to', to, async (work) => {
    const handedOver: HandedOver[] = [];
    for (const subject of subjects.filter(({ isVariant }) => !isVariant || takesFiles(format))) {
      onProgress?.({ phase: 'export', text: `${subject.place || (subject.spec.name ?? 'the network')} as ${format}` });
      const place = join(work, subject.place);
      mkdirSync(place, { recursive: true });
      handedOver.push({ place: subject.place, ...(await writeFormat(place, subject, format, signal)) });
    }
    return handedOver;
  });
}

/** Whether a format holds the ONNX file as it is; others hold weights, which all variants of a network share. */
function takesFiles(format: HandoverFormat): boolean {
  return format === 'onnx' || format === 'bundle';
}

async function writeFormat(
  folder: string,
  subject: Subject,
  format: HandoverFormat,
  signal: AbortSignal | undefined,
): Promise<Omit<HandedOver, 'place'>> {
  switch (format) {
    case 'onnx':
      writeFileSync(join(folder, 'model.onnx'), onnxOf(subject, format));
      return { files: ['model.onnx'] };
    case 'safetensors':
      writeFileSync(join(folder, weightsFileName), weightsOf(subject, format));
      return { files: [weightsFileName] };
    case 'bundle':
      await writeBundle(folder, subject, signal);
      return { files: readdirSync(folder).toSorted() };
    case 'pytorch':
    case 'timm':
    case 'keras':
      return writeSource(folder, subject, format, signal);
    default:
      return format satisfies never;
  }
}

/** Source alone of a network without weights; else with them, with parity vectors, and checked. */
async function writeSource(
  folder: string,
  subject: Subject,
  framework: Framework,
  signal: AbortSignal | undefined,
): Promise<Omit<HandedOver, 'place'>> {
  const { spec, weights } = subject;
  const withWeights = weights !== undefined;
  const source = sources[framework](spec, { withWeights, tolerance: parityTolerances.fp32 });
  writeFileSync(join(folder, sourceFileName), source);
  if (!withWeights) return { files: [sourceFileName] };
  writeFileSync(join(folder, weightsFileName), weightsOf(subject, framework));
  // Of the same weights in fp32, whatever the delivered file computes in.
  const vectors = await parityVectors(exportOnnx(spec, weights, 'batch'), spec, 'fp32', signal);
  writeFileSync(join(folder, parityFileName), encodeSafetensors(storedParity(spec, vectors)));
  const check = await checkSource(folder, framework, signal);
  return { files: [sourceFileName, weightsFileName, parityFileName], check };
}

function weightsOf({ spec, weights }: Subject, format: HandoverFormat): Uint8Array {
  if (!weights) throw missingWeights(format);
  const keyOf = format === 'timm' && !isTransformer(spec) ? timmKey(spec) : undefined;
  return encodeSafetensors(stateDict(buildNetwork(spec, 1), weights, { spec_digest: specDigest(spec) }, keyOf));
}

function onnxOf({ spec, weights, file }: Subject, format: HandoverFormat): Uint8Array {
  if (file) return file.bytes;
  if (!weights) throw missingWeights(format);
  return exportOnnx(spec, weights, 'batch');
}

function missingWeights(format: HandoverFormat): ConfigError {
  return new ConfigError(
    `--format ${format}: expected weights: the folder of a study or a training, or --seed for untrained ones`,
  );
}
