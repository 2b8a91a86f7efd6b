import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { z } from 'zod';
import type { ProviderId } from '../accelerators/onnxruntime.ts';
import { digestBytes } from '../core/digest.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import { writeDatasetFile } from '../data/cache.ts';
import type { Dataset } from '../data/dataset.ts';
import { loadDataset } from '../data/load.ts';
import type { DataSource, LoadOptions } from '../data/source.ts';
import { measureInChild, type Meter } from '../latency/isolate.ts';
import { latenciesAgree } from '../latency/verify.ts';
import { type Latency, percentiles } from '../latency/latency.ts';
import { protocols } from '../latency/protocol.ts';
import { perExample } from '../latency/setting.ts';
import { readSafetensors } from '../models/safetensors.ts';
import type { StudyProgress } from '../study/context.ts';
import { verificationTolerance } from '../study/deliver/deliver-phase.ts';
import { describeData } from '../study/prepare.ts';
import { scoreFile } from '../study/evaluation/score.ts';
import { infer } from './infer.ts';
import {
  bundleFiles,
  type BundleManifest,
  bundleManifestSchema,
  type PreprocessingFile,
  preprocessingFileSchema,
} from './manifest.ts';
import { parityTolerances, readParity, relativeDifference } from './parity.ts';

/** What was looked at in a bundle, and what came of it. */
export interface Finding {
  readonly what: 'files' | 'parity' | 'accuracy' | 'latency';
  /**
   * `ok`: as claimed. `fails`: the bundle is not what it says. `differs`: another figure than the claimed one, which
   * another machine or other data may well give. `skipped`: nobody looked, or there is no claim.
   */
  readonly verdict: 'ok' | 'fails' | 'differs' | 'skipped';
  /** With the numbers. */
  readonly detail: string;
}

export interface VerifyRequest {
  readonly folder: string;
  /** Provider that parity and latency are checked on. */
  readonly accelerator: ProviderId;
  /** The data whose test split the accuracy is checked on; accuracy is skipped without it. */
  readonly data?: DataSource;
  /** Relative paths of `data` start here. */
  readonly baseDirectory: string;
  /** Measures, instead of a process of its own. */
  readonly measure?: Meter['measure'];
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
  /** Hears what a person should know of the data. */
  readonly onNotice?: LoadOptions['onNotice'];
  readonly onFinding?: (finding: Finding) => void;
}

/**
 * Checks a bundle on this machine: the digest of every file, parity vectors, accuracy where data is given, latency. What
 * is claimed of the file itself fails when it does not hold; a latency only ever differs, for it is of one machine.
 * @returns what was found, in that order; after a changed file nothing more is tried.
 * @throws {ConfigError} when the folder is no bundle or the data does not fit it. @throws {InterruptedError} when aborted.
 */
export async function verifyBundle(request: VerifyRequest): Promise<readonly Finding[]> {
  const bundle = readBundle(request.folder);
  const findings: Finding[] = [];
  const add = (finding: Finding) => {
    findings.push(finding);
    request.onFinding?.(finding);
  };
  add(checkFiles(request.folder, bundle.manifest));
  if (findings[0]?.verdict === 'fails') return findings;
  request.onProgress?.({ phase: 'verify', text: 'comparing logits' });
  add(await checkParity(bundle, request));
  add(await checkAccuracy(bundle, request));
  add(await checkLatency(bundle, request));
  return findings;
}

/** The bundle that a folder is, or those below it but for what npm installed. @throws {ConfigError} when there is none. */
export function findBundles(folder: string): readonly string[] {
  if (!existsSync(folder)) throw new ConfigError(`${folder}: expected a bundle's folder, found none`);
  if (existsSync(join(folder, bundleFiles.manifest))) return [folder];
  const bundles = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => path.split(sep))
    .filter((parts) => parts.at(-1) === bundleFiles.manifest && !parts.includes('node_modules'))
    .map((parts) => join(folder, ...parts.slice(0, -1)))
    .toSorted();
  if (bundles.length === 0)
    throw new ConfigError(`${folder}: expected a bundle (it has a ${bundleFiles.manifest}), found none`);
  return bundles;
}

interface Bundle {
  readonly folder: string;
  readonly manifest: BundleManifest;
}

function readBundle(folder: string): Bundle {
  return { folder, manifest: readJson(join(folder, bundleFiles.manifest), bundleManifestSchema) };
}

function readJson<Schema extends z.ZodType>(path: string, schema: Schema): z.output<Schema> {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new InvalidFileError(`${path}: expected JSON: ${(cause as Error).message}`, { cause });
  }
  const parsed = schema.safeParse(data);
  if (!parsed.success) throw new InvalidFileError(`${path}: not a bundle's\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

function checkFiles(folder: string, { files }: BundleManifest): Finding {
  const wrong = Object.entries(files).flatMap(([name, { sha256 }]) => {
    const path = join(folder, name);
    if (!existsSync(path)) return [`${name} is missing`];
    const found = digestBytes(readFileSync(path));
    return found === `sha256:${sha256}` ? [] : [`${name}: expected sha256:${sha256}, got ${found}`];
  });
  const absent = [bundleFiles.model, bundleFiles.labels, bundleFiles.preprocessing, bundleFiles.parity].filter(
    (name) => !(name in files),
  );
  const problems = [...wrong, ...absent.map((name) => `${name} is not in the manifest`)];
  if (problems.length > 0) return { what: 'files', verdict: 'fails', detail: problems.join('; ') };
  return {
    what: 'files',
    verdict: 'ok',
    detail: `${Object.keys(files).length} files have the digests of the manifest`,
  };
}

async function checkParity({ folder, manifest }: Bundle, { accelerator, signal }: VerifyRequest): Promise<Finding> {
  const path = join(folder, bundleFiles.parity);
  const expected = readParity(await readSafetensors(path), path);
  const model = await readFile(join(folder, bundleFiles.model));
  const { input } = readJson(join(folder, bundleFiles.preprocessing), preprocessingFileSchema);
  const { logits } = await infer({ model, input: input.name, value: expected.input, accelerator }, signal);
  const difference = relativeDifference(expected.logits, logits);
  // Providers of GPUs multiply with fewer bits than the CPU; see parityTolerances.
  const arithmetic = accelerator === 'cpu' ? manifest.precision : 'tf32';
  const tolerance = Math.max(expected.tolerance, parityTolerances[arithmetic]);
  const detail = `logits of ${expected.dims[0]} inputs on ${accelerator} differ by ${difference.toExponential(1)} of the largest, tolerance ${tolerance}`;
  return { what: 'parity', verdict: difference <= tolerance ? 'ok' : 'fails', detail };
}

async function checkAccuracy(bundle: Bundle, request: VerifyRequest): Promise<Finding> {
  const { manifest } = bundle;
  const claim = manifest.claims.accuracy;
  if (!request.data) return { what: 'accuracy', verdict: 'skipped', detail: 'no data was given (--data)' };
  request.onProgress?.({ phase: 'verify', text: 'scoring the test split' });
  const { signal, baseDirectory, onNotice } = request;
  const dataset = await loadDataset(request.data, { baseDirectory, onNotice, ...(signal && { signal }) });
  const settings = readJson(join(bundle.folder, bundleFiles.preprocessing), preprocessingFileSchema);
  expectLabels(bundle, dataset);
  const score = await scoreOn(join(bundle.folder, bundleFiles.model), dataset, settings, signal);
  const found = `${percent(score.accuracy)} of ${score.examples} test examples of ${dataset.name}`;
  if (!claim) return { what: 'accuracy', verdict: 'skipped', detail: `${found}; nothing is claimed` };
  const claimed = `claimed ${percent(claim.test)}`;
  const tolerance = verificationTolerance(score.examples);
  if (Math.abs(score.accuracy - claim.test) <= tolerance)
    return { what: 'accuracy', verdict: 'ok', detail: `${found}; ${claimed}` };
  const isSameData = claim.data?.digest === describeData(dataset, request.data).digest;
  return isSameData
    ? {
        what: 'accuracy',
        verdict: 'fails',
        detail: `${found}; ${claimed} of the same data, within ${percent(tolerance)}`,
      }
    : {
        what: 'accuracy',
        verdict: 'differs',
        detail: `${found}; ${claimed} of other data (${claim.data?.name ?? 'not kept which'})`,
      };
}

/** @throws {ConfigError} when the data's classes are not the bundle's, in their order. */
function expectLabels({ folder }: Bundle, { classNames, name }: Dataset): void {
  const labels = readJson(join(folder, bundleFiles.labels), z.array(z.string()));
  const index = Array.from({ length: Math.max(labels.length, classNames.length) }).findIndex(
    (_, index) => labels[index] !== classNames[index],
  );
  if (index >= 0)
    throw new ConfigError(
      `--data: expected the bundle's ${labels.length} classes in their order; class ${index} is ${JSON.stringify(labels[index])} there and ${JSON.stringify(classNames[index])} in ${name}`,
    );
}

async function scoreOn(
  modelFile: string,
  dataset: Dataset,
  { mean, std }: PreprocessingFile,
  signal: AbortSignal | undefined,
) {
  const work = await mkdtemp(join(tmpdir(), 'ridgepoint-verify-'));
  try {
    const dataFile = join(work, 'data.bin');
    await writeDatasetFile(dataset, dataFile);
    return (await scoreFile({ modelFile, dataFile, splits: ['test'], mean, std }, signal)).test;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function checkLatency({ folder, manifest }: Bundle, request: VerifyRequest): Promise<Finding> {
  const { accelerator, measure = measureInChild, signal, onProgress } = request;
  const claim = manifest.claims.latency?.measured;
  if (!claim) return { what: 'latency', verdict: 'skipped', detail: 'nothing is claimed; ridgepoint measure tells' };
  const { batch, threads } = claim;
  // The claimed interval is of the percentile that a limit was of.
  const percentile = percentiles.find((each) => each === claim.intervalMs.percentile) ?? 50;
  onProgress?.({ phase: 'verify', text: 'measuring latency' });
  const run = await measure(
    {
      model: join(folder, bundleFiles.model),
      setting: { accelerator, batch, threads },
      protocol: protocols.thorough,
      percentile,
    },
    { ...(signal && { signal }) },
  );
  const found = claim.per === 'example' ? perExample(run) : run;
  const here = `${figure(found)} on ${accelerator}, batch ${batch}, ${threads} thread${threads === 1 ? '' : 's'}${found.stable ? '' : ', unstable'}`;
  const claimed = `claimed ${figure(claim)} on ${claim.accelerator}${claim.source === 'predicted' ? ', predicted' : ''} (${claim.fingerprint?.cpu ?? 'machine not recorded'})`;
  const agrees = claim.accelerator === accelerator && latenciesAgree(claim, found);
  return { what: 'latency', verdict: agrees ? 'ok' : 'differs', detail: `${here}; ${claimed}` };
}

function figure({ p50Ms, intervalMs: { percentile, lo, hi }, per }: Latency): string {
  const unit = per === 'example' ? 'ms an example' : 'ms';
  const of = percentile === 50 ? '' : `p${percentile} `;
  return `p50 ${p50Ms.toPrecision(3)} ${unit} (${of}${lo.toPrecision(3)} to ${hi.toPrecision(3)})`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
