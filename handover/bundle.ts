import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify as toYaml } from 'yaml';
import { z } from 'zod';
import { runtimeVersion } from '../accelerators/onnxruntime.ts';
import { digestBytes } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';
import { ridgepointVersion } from '../core/version.ts';
import { latencySchema } from '../latency/latency.ts';
import { logitsOutput } from '../models/build.ts';
import { minimumRuntime, type Preprocessing } from '../models/export.ts';
import { onnxOpset } from '../models/onnx.ts';
import { encodeSafetensors } from '../models/safetensors.ts';
import { type NetworkSpec, specDigest } from '../models/spec.ts';
import { isTransformer } from '../models/transformer.ts';
import { bundleFiles, type BundleManifest, type Claims, type PreprocessingFile } from './manifest.ts';
import { inputName, parityVectors, storedParity } from './parity.ts';
import { nodeProgram, pythonProgram } from './programs.ts';
import type { DeliveredFile, Subject } from './subject.ts';

/**
 * Writes everything that running a network elsewhere takes into an existing folder: the ONNX file, labels, preprocessing,
 * parity vectors, a program in Node and one in Python, its spec, the card and metrics where there are any, and a manifest
 * with the digest of each.
 * @throws {ConfigError} for a network without a trained file of pictures.
 */
export async function writeBundle(folder: string, subject: Subject, signal?: AbortSignal): Promise<void> {
  const { spec, file } = subject;
  if (!file) throw new ConfigError('--format bundle: expected a study or a training, got a network nobody has trained');
  if (isTransformer(spec) || !file.preprocessing)
    throw new ConfigError(
      '--format bundle: expected a network of pictures, got a transformer, whose tokens nothing here makes of text; --format onnx takes both kinds',
    );
  const { precision, preprocessing } = file;
  const settings = preprocessingFile(spec, preprocessing);
  const parity = storedParity(spec, await parityVectors(file.bytes, spec, precision, signal));
  const contents: readonly (readonly [string, string | Uint8Array, string])[] = [
    [bundleFiles.model, file.bytes, 'the network, for inference'],
    [bundleFiles.labels, json(preprocessing.classNames), 'class names, in the order of the logits'],
    [bundleFiles.preprocessing, json(settings), 'how a picture becomes the input'],
    [bundleFiles.parity, encodeSafetensors(parity), 'inputs with the logits that the file must give of them'],
    ['run.mjs', nodeProgram(settings), 'classifies a picture in Node'],
    ['run.py', pythonProgram(settings), 'classifies a picture in Python'],
    ['spec.yaml', toYaml(spec), 'the architecture, for Ridgepoint'],
    ...besides(file.path),
  ];
  for (const [name, content] of contents) writeFileSync(join(folder, name), content);
  const manifest: BundleManifest = {
    schema: 1,
    kind: 'ridgepoint-bundle',
    name: spec.name ?? 'network',
    specDigest: specDigest(spec),
    precision,
    versions: {
      ridgepoint: ridgepointVersion(),
      onnxOpset,
      minimumRuntime,
      parityRuntime: runtimeVersion(),
    },
    licences: { programs: 'Apache-2.0', weights: null, trainingData: null },
    claims: claimsBeside(file),
    files: Object.fromEntries(
      contents.map(([name, content, what]) => {
        const bytes = Buffer.from(content);
        return [name, { sha256: digestBytes(bytes).replace('sha256:', ''), bytes: bytes.length, what }];
      }),
    ),
  };
  writeFileSync(join(folder, bundleFiles.manifest), json(manifest));
}

/** What a picture becomes the input by, as data. */
export function preprocessingFile(spec: NetworkSpec, preprocessing: Preprocessing): PreprocessingFile {
  const { channelOrder, fit, mean, std, resizeFilter, classNames } = preprocessing;
  const { channels, resolution } = spec.input;
  return {
    schema: 1,
    input: {
      name: inputName(spec),
      dtype: 'float32',
      layout: 'NCHW',
      channels,
      height: resolution,
      width: resolution,
      channelOrder,
    },
    picture: { crop: fit === 'centre-crop' ? 'centre-square' : 'none', resizeFilter },
    mean: [...mean],
    std: [...std],
    output: { name: logitsOutput, classes: classNames.length, values: 'logits' },
  };
}

/** The card and the metrics that were delivered with a file. */
function besides(path: string): [string, Uint8Array, string][] {
  const what = { 'card.md': 'model card', 'metrics.json': 'every figure of the delivery' };
  return Object.entries(what).flatMap(([name, text]): [string, Uint8Array, string][] => {
    const beside = join(dirname(path), name);
    return existsSync(beside) ? [[name, readFileSync(beside), text]] : [];
  });
}

const named = z.object({ name: z.string(), digest: z.string() });
const score = z.object({ accuracy: z.number(), examples: z.int() });
/** What `metrics.json` may say of a file: a study's, or a training's. Everything else in it is for people. */
const metricsSchema = z.object({
  delivered: z.object({ testAccuracy: z.number() }).nullish(),
  latency: latencySchema.optional(),
  /** The same network in other precisions, but for those that there is no file of. */
  variants: z
    .array(
      z.object({
        digest: z.string().optional(),
        testAccuracy: z.number().optional(),
        latency: latencySchema.optional(),
      }),
    )
    .default([]),
  test: score.optional(),
  data: named.optional(),
});
const studySchema = z.object({ data: named.extend({ test: z.int() }) });

/** The claims of the metrics that were delivered with a file, and of its study's manifest. */
function claimsBeside({ path, bytes }: DeliveredFile): Claims {
  const metrics = figuresOf(digestBytes(bytes), readIfThere(join(dirname(path), 'metrics.json'), metricsSchema));
  const latency = metrics?.latency;
  return {
    accuracy: accuracyClaim(path, metrics),
    latency: latency ? { measured: latency, how: howMeasured[latency.source] } : null,
  };
}

type Metrics = z.output<typeof metricsSchema>;

/** The metrics of one file: a variant has its own accuracy and latency. */
function figuresOf(file: string, metrics: Metrics | undefined): Metrics | undefined {
  const variant = metrics?.variants.find(({ digest }) => digest === file);
  if (!metrics || !variant) return metrics;
  const { testAccuracy, latency } = variant;
  return { ...metrics, delivered: testAccuracy === undefined ? null : { testAccuracy }, latency };
}

const howScored =
  'this file in onnxruntime on the CPU, on the test split, which was read once, after every choice was made';

function accuracyClaim(path: string, metrics: Metrics | undefined): Claims['accuracy'] {
  const { delivered, test, data } = metrics ?? {};
  if (test) return { test: test.accuracy, examples: test.examples, data: data ?? null, how: howScored };
  if (!delivered) return null;
  // `family/<target>/<size>/model.onnx` and `shared/<size>/model.onnx` below the study.
  const study = ['../../..', '../..'].map((up) => readIfThere(join(dirname(path), up, 'manifest.json'), studySchema));
  const { name, digest, test: examples } = study.find((found) => found !== undefined)?.data ?? {};
  const known = name !== undefined && digest !== undefined ? { name, digest } : null;
  return { test: delivered.testAccuracy, examples: examples ?? null, data: known, how: howScored };
}

const howMeasured = {
  measured: 'this file, by the thorough protocol, in fresh sessions; the interval is of the spread between sessions',
  command: 'this file, by the owner’s own program',
  predicted: 'by a device profile, not measured',
};

function readIfThere<Schema extends z.ZodType>(path: string, schema: Schema): z.output<Schema> | undefined {
  return existsSync(path) ? schema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data : undefined;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
