import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { stringify as toYaml } from 'yaml';
import { digestBytes } from '../../core/digest.ts';
import { ConfigError, EnvironmentError } from '../../core/errors.ts';
import { exportOnnx } from '../../models/export.ts';
import { decodeSafetensors } from '../../models/safetensors.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { Latency } from '../../latency/latency.ts';
import type { StudyContext } from '../context.ts';
import { preprocessingOf } from '../preprocessing.ts';
import { accuracyOf, latencyId, measureAgain } from '../evaluation/evaluate.ts';
import { variantOf, type VariantPrecision } from './quantize.ts';
import type { Trial } from '../journal/record.ts';
import { type Score, type ScoredSplit, scoreFile } from '../evaluation/score.ts';
import { isProfile, type TargetConfig } from '../study-file.ts';
import { deliveredPrecision, exportedPrecision, measureAtSettings, targetAt } from '../evaluation/target-settings.ts';
import type { Member } from '../train/train-phase.ts';
import { familyLine } from '../scale/scalings.ts';

/**
 * Largest difference between the trainer's hold-out accuracy and the file's: a tenth of a point, or one
 * example where the hold-out is smaller than a thousand (folding may turn a near tie).
 */
export function verificationTolerance(examples: number): number {
  return Math.max(0.001, 1.5 / examples);
}

/** A file that does not do what the network it was made from did. */
export class VerificationError extends EnvironmentError {
  override readonly code = 'verification';
}

/** Path of a delivered size below the study's folder. */
export function memberFolder({ target, size }: Pick<Member, 'target' | 'size'>): string {
  return join('family', target, size);
}

/**
 * Exports every run, verifies the delivered files in fresh processes against the trainer's own
 * hold-out accuracy, reads the test split (here, once), and measures every file again.
 * Files of compared lines are kept among the study's artefacts only.
 */
export async function deliver(context: StudyContext, members: readonly Member[]): Promise<void> {
  for (const member of members) {
    context.onProgress({
      phase: 'deliver',
      text: `${member.line} ${member.size} on ${member.target}: exporting and verifying`,
    });
    for (const run of member.runs) await scoreRun(context, run);
    const file = await fileFor(context, member.delivered, member.target);
    if (member.line === familyLine) placeFile(context, placeOf(context, member), member.delivered.spec, file);
  }
  for (const [index, member] of members.entries()) {
    context.onProgress({
      phase: 'deliver',
      text: `${index + 1}/${members.length} measuring ${member.line} ${member.size} on ${member.target}`,
    });
    await measureDelivered(context, member.delivered, member.target);
  }
  await compareUserModels(context);
}

/** Memo key of the final latency of a run's file. */
export function deliveredLatencyId(target: string, run: string): string {
  return `delivered ${target} ${run}`;
}

/** What the weights of a run are written in. */
export type FilePrecision = 'fp32' | VariantPrecision;

/** A run as a file, and what was found of it. */
function exportId(run: string, precision: FilePrecision): string {
  return precision === 'fp32' ? run : `${run} ${precision}`;
}

/**
 * The run as an ONNX file among the artefacts, in a precision; exported again only when that file was lost or damaged.
 */
export async function exportRun(context: StudyContext, run: Trial, precision: FilePrecision = 'fp32'): Promise<string> {
  const { record, artefacts } = context;
  const id = `onnx ${exportId(run.id, precision)}`;
  const known = record.artefact(id);
  if (known && (await artefacts.isIntact(known.digest))) return artefacts.path(known.digest);
  const digest = await artefacts.put(await fileOf(context, run, precision));
  const path = artefacts.path(digest);
  if (known?.digest !== digest)
    record.append({ type: 'artefact', id, kind: 'onnx', digest, path: join('artefacts', basename(path)) });
  return path;
}

/** The bytes of a run's file: of int8 made from the file in fp32, else from the weights. */
async function fileOf(context: StudyContext, run: Trial, precision: FilePrecision): Promise<Uint8Array> {
  const { record, artefacts, data, signal } = context;
  if (precision === 'int8')
    return variantOf({ modelFile: await exportRun(context, run), dataFile: data.file, precision, signal });
  const outcome = record.outcome(run.id);
  if (outcome?.status !== 'ok' || !outcome.checkpoint)
    throw new EnvironmentError(`${run.id}: expected trained weights, found none`);
  const { weights } = decodeSafetensors(await artefacts.read(outcome.checkpoint), artefacts.path(outcome.checkpoint));
  return exportOnnx(run.spec, weights, 'batch', preprocessingOf(data), precision);
}

/** Largest hold-out accuracy that a file in fp16 may lose to the same weights in fp32; one example at least. */
const halfPrecisionTolerance = 0.01;

/** What a target runs a network's run as: in fp16 where a provider was chosen to, which must then score alike. */
export function precisionFor({ record }: StudyContext, run: Trial, target: string): 'fp32' | 'fp16' {
  const measured = record.latency(latencyId(target, run.specDigest));
  return measured ? deliveredPrecision(measured) : 'fp32';
}

/**
 * A run's file for a target.
 * @throws {VerificationError} when it is in fp16 and loses accuracy by that.
 */
export async function fileFor(context: StudyContext, run: Trial, target: string): Promise<string> {
  const precision = precisionFor(context, run, target);
  const path = await exportRun(context, run, precision);
  if (precision === 'fp32') return path;
  const single = await scoreRun(context, run);
  const { holdout: half } = await scoreSplits(context, run, precision);
  if (half.accuracy < single.accuracy - Math.max(halfPrecisionTolerance, 1.5 / half.examples))
    throw new VerificationError(
      `${run.id}: expected the file in fp16 to lose at most ${100 * halfPrecisionTolerance} point of hold-out accuracy to fp32's ${(100 * single.accuracy).toFixed(2)} %, got ${(100 * half.accuracy).toFixed(2)} %; leave fp16 out of targets.${target}.precision`,
    );
  return path;
}

/**
 * Scores a run's file on the hold-out (it must agree with the trainer) and on the test split.
 * @returns its score on the hold-out.
 */
export async function scoreRun(context: StudyContext, run: Trial): Promise<Score> {
  const { holdout } = await scoreSplits(context, run, 'fp32');
  const trained = accuracyOf(context, run.id) ?? Number.NaN;
  if (!(Math.abs(holdout.accuracy - trained) <= verificationTolerance(holdout.examples)))
    throw new VerificationError(
      `${run.id}: expected the exported file to reach the trainer's hold-out accuracy ${(100 * trained).toFixed(2)} % within ${(100 * verificationTolerance(holdout.examples)).toFixed(1)} points, got ${(100 * holdout.accuracy).toFixed(2)} %`,
    );
  return holdout;
}

/** Id of the decision that holds the score of a run's file. */
export function scoreId(split: ScoredSplit, run: string, precision: FilePrecision = 'fp32'): string {
  return `score ${split} ${exportId(run, precision)}`;
}

/** Scores a run's file on both splits, once in a study, in one fresh process. */
export async function scoreSplits(
  context: StudyContext,
  run: Trial,
  precision: FilePrecision,
): Promise<Record<ScoredSplit, Score>> {
  const { record, data, signal } = context;
  const modelFile = await exportRun(context, run, precision);
  const splits = (['holdout', 'test'] as const).filter(
    (split) => record.decision(scoreId(split, run.id, precision)) === undefined,
  );
  let scoring: Promise<Record<ScoredSplit, Score>> | undefined;
  const scoreOn = (split: ScoredSplit, because: string): Promise<Score> =>
    record.decideOnce(scoreId(split, run.id, precision), async () => {
      scoring ??= scoreFile({ modelFile, dataFile: data.file, splits }, signal);
      return { value: { ...(await scoring)[split] }, because };
    });
  return {
    holdout: await scoreOn('holdout', 'the file, loaded in a fresh process'),
    test: await scoreOn('test', 'the test split, read at delivery only'),
  };
}

/** Where a delivered file goes, and what it is called there. */
export interface Place {
  /** Below the study's folder. */
  readonly folder: string;
  readonly file: string;
  /** Of the network, in its spec. */
  readonly name: string;
  /** Of the artefact in the journal. */
  readonly id: string;
}

/** Copies a run's file and its spec to where a user looks for them. */
export function placeFile({ record, folder }: StudyContext, place: Place, spec: NetworkSpec, from: string): void {
  const relative = join(place.folder, place.file);
  const path = join(folder, relative);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, `${path}.part`);
  renameSync(`${path}.part`, path);
  // The same file whether the spec was proposed just now or read from the journal, which has no name that is undefined.
  const { schema, name: _name, ...network } = spec;
  writeFileSync(join(dirname(path), 'spec.yaml'), toYaml({ schema, name: place.name, ...network }));
  const { id } = place;
  if (!record.artefact(id))
    record.append({ type: 'artefact', id, kind: 'onnx', digest: digestBytes(readFileSync(path)), path: relative });
}

function placeOf({ config }: StudyContext, { target, size }: Member): Place {
  return {
    folder: memberFolder({ target, size }),
    file: 'model.onnx',
    name: `${config.study}-${target}-${size}`,
    id: `delivered ${target} ${size}`,
  };
}

/** Measures the file that a target runs of a run; by network, not by size: lines that share one share its latency. */
export async function measureDelivered(context: StudyContext, run: Trial, target: string): Promise<void> {
  const file = await fileFor(context, run, target);
  const known = { id: deliveredLatencyId(target, run.id), target, digest: run.specDigest };
  await measureAgain(context, known, (settled) => context.meter.measureFile(file, settled, run.spec));
}

/**
 * Finds out before anything is trained whether delivery can compare with the user's own models, by
 * scoring each on the hold-out.
 * @throws {ConfigError} naming the baseline.
 */
export async function checkUserModels(context: StudyContext): Promise<void> {
  const { config, record } = context;
  for (const baseline of config.final.baselines) {
    if (!('onnx' in baseline)) continue;
    const path = resolve(config.baseDirectory, baseline.onnx);
    if (!existsSync(path)) throw new ConfigError(`final.baselines: expected an ONNX file, found none at ${path}`);
    context.onProgress({ phase: 'prepare', text: `scoring ${baseline.onnx}` });
    const { fixedBatch } = await record.decideOnce(`score holdout ${baseline.onnx}`, async () => ({
      value: await scoreUserModel(context, baseline, 'holdout'),
      because: "the user's own model, scored early so that a misfit is noticed early",
    }));
    for (const [name, target] of Object.entries(config.targets)) {
      const batches = (target.settings ?? [target]).map(({ batch }) => batch);
      if (fixedBatch !== null && batches.some((batch) => batch !== fixedBatch))
        throw new ConfigError(
          `final.baselines: expected ${baseline.onnx} to take the batch of ${[...new Set(batches)].join(' and ')} of target ${name}, got one fixed to ${fixedBatch}`,
        );
      // Predicting costs nothing, and an operator that no kernel is known for would only show at delivery.
      if (isProfile(target.device)) await context.meter.measureFile(path, targetAt(target, target), null);
    }
  }
}

/** The user's own models, scored and measured as our files are. */
async function compareUserModels(context: StudyContext): Promise<void> {
  const { config, record, onProgress } = context;
  for (const baseline of config.final.baselines) {
    if (!('onnx' in baseline)) continue;
    onProgress({ phase: 'deliver', text: `comparing with ${baseline.onnx}` });
    await record.decideOnce(`score test ${baseline.onnx}`, async () => ({
      value: await scoreUserModel(context, baseline, 'test'),
      because: "the user's own model on the test split",
    }));
    const path = resolve(config.baseDirectory, baseline.onnx);
    for (const [name, target] of Object.entries(config.targets))
      await measureUserModel(context, { path, id: deliveredLatencyId(name, baseline.onnx) }, name, target);
  }
}

/** At the best setting of a target that has several. A provider computes in the file's own precision, whichever is asked for. */
async function measureUserModel(
  context: StudyContext,
  { path, id }: { readonly path: string; readonly id: string },
  target: string,
  config: TargetConfig,
): Promise<void> {
  const { record, meter } = context;
  const measure = (at: TargetConfig): Promise<Latency> => meter.measureFile(path, at, null);
  if (!config.settings) {
    await record.measureOnce(id, target, () => measure(config));
    return;
  }
  const isProvider = exportedPrecision({ ...config, precision: 'fp16' }) === 'fp16';
  const settings = config.settings.filter(({ precision }) => !isProvider || precision === config.precision);
  const chosen =
    record.latency(id) ?? (await measureAtSettings(context, { id, target, config: { ...config, settings }, measure }));
  await record.measureOnce(id, target, () => Promise.resolve(chosen));
}

async function scoreUserModel(
  { config, data, signal }: StudyContext,
  { onnx, mean, std }: { readonly onnx: string; readonly mean?: readonly number[]; readonly std?: readonly number[] },
  split: ScoredSplit,
): Promise<{ examples: number; accuracy: number; crossEntropy: number; fixedBatch: number | null }> {
  const modelFile = resolve(config.baseDirectory, onnx);
  const scores = await scoreFile({ modelFile, dataFile: data.file, splits: [split], mean, std }, signal);
  return { ...scores[split] };
}
