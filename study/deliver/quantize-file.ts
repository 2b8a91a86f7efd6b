import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProviderId } from '../../accelerators/onnxruntime.ts';
import { ConfigError, InfeasibleModelError } from '../../core/errors.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import type { DataSource, LoadOptions } from '../../data/source.ts';
import { exportedPrecisions, precisionRefusal } from '../../latency/file-precision.ts';
import { openMeter } from '../../latency/isolate.ts';
import type { Latency } from '../../latency/latency.ts';
import { type ProtocolPreset, protocols } from '../../latency/protocol.ts';
import { type SpeedUp, speedUp } from '../../latency/speed-up.ts';
import { describeOnnx } from '../../models/onnx.ts';
import type { InputNormalisation } from '../evaluation/classifier.ts';
import type { StudyProgress } from '../context.ts';
import { type Calibration, variantOf, type VariantPrecision } from './quantize.ts';
import { type Score, scoreFile } from '../evaluation/score.ts';

export interface QuantizeFileRequest extends Calibration, InputNormalisation {
  /** A classifier in float32; `mean` and `std` are those in its description, where it has one, or else the data's. */
  readonly modelFile: string;
  readonly precision: VariantPrecision;
  /** What it was trained on, or a prepared data set. Of int8 ranges are found on the training split; both are scored on the test split. */
  readonly data: DataSource | { readonly prepared: string };
  /** Relative paths of `data` start here. */
  readonly baseDirectory: string;
  /** New file; appears whole or not at all. */
  readonly to: string;
  /** Providers that both files are measured on, one after the other. */
  readonly on: readonly ProviderId[];
  readonly batch: number;
  readonly threads: number;
  readonly protocol?: ProtocolPreset;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
  /** Hears what a person should know of the data. */
  readonly onNotice?: LoadOptions['onNotice'];
}

/** Both files on one provider. */
export type VariantOnProvider = { readonly accelerator: ProviderId; readonly before: Latency } & (
  | { readonly after: Latency; readonly speedUp: SpeedUp }
  /** Why the provider does not run the variant. */
  | { readonly refusal: string }
);

/** A file, what it was made of, and how the two compare. */
export interface QuantizedFile {
  readonly file: string;
  readonly precision: VariantPrecision;
  readonly bytes: { readonly before: number; readonly after: number };
  /** On the test split. */
  readonly test: { readonly before: Score; readonly after: Score };
  /** Accuracy after less before, a share. */
  readonly accuracyChange: number;
  readonly measured: readonly VariantOnProvider[];
}

/**
 * Turns a trained classifier into another precision without training, and finds out what that costs and gives: both
 * files are scored on the test split in fresh processes and measured on providers.
 * @throws {ConfigError} when the file does not fit the data, or `to` exists.
 * @throws {InvalidFileError} when the file cannot be turned into the precision. @throws {InterruptedError} when aborted.
 */
export async function quantizeFile(request: QuantizeFileRequest): Promise<QuantizedFile> {
  const { modelFile, precision, data, to, signal, onProgress } = request;
  expectPrecision(request);
  if (existsSync(to)) throw new ConfigError(`expected a file that does not exist yet, got ${to}`);
  const model = await readFile(modelFile).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError(`${modelFile}: expected an ONNX file, got ${cause.code}`, { cause });
  });
  const normalisation = normalisationOf(request, describeOnnx(model, modelFile).metadata);
  const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-quantize-'));
  const tell = (text: string): void => onProgress?.({ phase: precision, text });
  try {
    const dataFile = 'prepared' in data ? data.prepared : await prepare(request, data, folder, tell);
    const fed = { dataFile, ...normalisation };
    const score = async (file: string): Promise<Score> =>
      (await scoreFile({ modelFile: file, splits: ['test'], ...fed }, signal)).test;
    tell('scoring the file in fp32');
    const before = await score(modelFile);
    const { method, examples, weightBits } = request;
    const calibration = { ...(method && { method }), ...(examples && { examples }), ...(weightBits && { weightBits }) };
    const made = await variantOf({
      modelFile,
      precision,
      ...calibration,
      ...fed,
      ...(signal && { signal }),
      onProgress: tell,
    });
    const variantFile = join(folder, 'variant.onnx');
    await writeFile(variantFile, made);
    tell(`scoring the file in ${precision}`);
    const after = await score(variantFile);
    const batch = before.fixedBatch ?? request.batch;
    const measured = await measureBoth({ ...request, batch }, { before: model, after: made });
    await writeFile(`${to}.part`, made);
    await rename(`${to}.part`, to);
    return {
      file: to,
      precision,
      bytes: { before: model.byteLength, after: made.byteLength },
      test: { before, after },
      accuracyChange: after.accuracy - before.accuracy,
      measured,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function prepare(
  { baseDirectory, signal, onNotice }: QuantizeFileRequest,
  data: DataSource,
  folder: string,
  tell: (text: string) => void,
): Promise<string> {
  tell('preparing the data');
  const dataFile = join(folder, 'data.bin');
  await writeDatasetFile(await loadDataset(data, { baseDirectory, onNotice, ...(signal && { signal }) }), dataFile);
  return dataFile;
}

/** As asked for, or as the file's own description says; nothing where neither does. */
function normalisationOf({ mean, std }: InputNormalisation, metadata: Readonly<Record<string, string>>) {
  return { mean: mean ?? numbersIn(metadata['mean']), std: std ?? numbersIn(metadata['std']) };
}

function numbersIn(text: string | undefined): readonly number[] | undefined {
  return text?.split(',').map(Number);
}

async function measureBoth(
  { on, precision, batch, threads, protocol = 'thorough', signal, onProgress }: QuantizeFileRequest,
  { before, after }: { readonly before: Uint8Array; readonly after: Uint8Array },
): Promise<readonly VariantOnProvider[]> {
  if (on.length === 0) return [];
  const meter = openMeter();
  const measure = (model: Uint8Array, accelerator: ProviderId, what: string): Promise<Latency> => {
    onProgress?.({ phase: 'measure', text: `${what} on ${accelerator}` });
    const setting = { accelerator, batch, threads };
    return meter.measure({ model, setting, protocol: protocols[protocol], percentile: 50 }, signal && { signal });
  };
  const results: VariantOnProvider[] = [];
  try {
    for (const accelerator of on) {
      const single = await measure(before, accelerator, 'fp32');
      const variant = await refusable(() => measure(after, accelerator, precision));
      results.push({
        accelerator,
        before: single,
        ...('refusal' in variant ? variant : { after: variant, speedUp: speedUp(single, variant) }),
      });
    }
    return results;
  } finally {
    await meter.close();
  }
}

/** A latency, or why there is none of this file on this provider. */
async function refusable(measure: () => Promise<Latency>): Promise<Latency | { readonly refusal: string }> {
  try {
    return await measure();
  } catch (error) {
    if (error instanceof InfeasibleModelError) return { refusal: error.message };
    throw error;
  }
}

/** @throws {ConfigError} naming a provider that cannot be told a precision. */
function expectPrecision({ on, precision }: QuantizeFileRequest): void {
  const untold = on.find((provider) => !exportedPrecisions(provider).includes('fp16'));
  if (untold !== undefined) throw new ConfigError(precisionRefusal(untold, 'fp32', precision));
}
