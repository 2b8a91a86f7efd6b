import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { stringify as toYaml } from 'yaml';
import { digestBytes } from '../core/digest.ts';
import { ConfigError, EnvironmentError } from '../core/errors.ts';
import { resizeFilter } from '../data/resize.ts';
import { exportOnnx, type Preprocessing } from '../models/export.ts';
import { decodeSafetensors } from '../models/safetensors.ts';
import type { DataDescription, StudyContext } from './context.ts';
import { accuracyOf } from './evaluate.ts';
import type { Trial } from './record.ts';
import { type Score, scoreFile } from './score.ts';
import { isProfile } from './study-file.ts';
import type { Member } from './train-phase.ts';
import { familyLine } from './scale-phase.ts';

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

/** How pixels of this study's data become a network's input. */
export function preprocessingOf(
  data: Pick<DataDescription, 'channels' | 'mean' | 'std' | 'classNames' | 'fit'>,
): Preprocessing {
  const channelOrder = data.channels === 3 ? 'RGB' : data.channels === 1 ? 'grey' : 'as-stored';
  return { channelOrder, fit: data.fit, mean: data.mean, std: data.std, resizeFilter, classNames: data.classNames };
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
    const file = await exportRun(context, member.delivered);
    if (member.line === familyLine) await placeFile(context, member, file);
  }
  for (const [index, member] of members.entries()) {
    context.onProgress({
      phase: 'deliver',
      text: `${index + 1}/${members.length} measuring ${member.line} ${member.size} on ${member.target}`,
    });
    await measureDelivered(context, member);
  }
  await compareUserModels(context);
}

/** Memo key of the final latency of a run's file. */
export function deliveredLatencyId(target: string, run: string): string {
  return `delivered ${target} ${run}`;
}

/** The run as an ONNX file among the artefacts; exported again only when that file was lost or damaged. */
async function exportRun({ record, artefacts, data }: StudyContext, run: Trial): Promise<string> {
  const id = `onnx ${run.id}`;
  const known = record.artefact(id);
  if (known && (await artefacts.isIntact(known.digest))) return artefacts.path(known.digest);
  const outcome = record.outcome(run.id);
  if (outcome?.status !== 'ok' || !outcome.checkpoint)
    throw new EnvironmentError(`${run.id}: expected trained weights, found none`);
  const { weights } = decodeSafetensors(await artefacts.read(outcome.checkpoint), artefacts.path(outcome.checkpoint));
  const digest = await artefacts.put(exportOnnx(run.spec, weights, 'batch', preprocessingOf(data)));
  const path = artefacts.path(digest);
  if (known?.digest !== digest)
    record.append({ type: 'artefact', id, kind: 'onnx', digest, path: join('artefacts', basename(path)) });
  return path;
}

/** Scores a run's file on the hold-out (it must agree with the trainer) and on the test split. */
async function scoreRun(context: StudyContext, run: Trial): Promise<Score> {
  const modelFile = await exportRun(context, run);
  const dataFile = context.data.file;
  const score = async (split: 'holdout' | 'test') => ({
    ...(await scoreFile({ modelFile, dataFile, split }, context.signal)),
  });
  const holdout = await context.record.decideOnce(`score holdout ${run.id}`, async () => ({
    value: await score('holdout'),
    because: 'the file, loaded in a fresh process',
  }));
  const trained = accuracyOf(context, run.id) ?? Number.NaN;
  if (!(Math.abs(holdout.accuracy - trained) <= verificationTolerance(holdout.examples)))
    throw new VerificationError(
      `${run.id}: expected the exported file to reach the trainer's hold-out accuracy ${(100 * trained).toFixed(2)} % within ${(100 * verificationTolerance(holdout.examples)).toFixed(1)} points, got ${(100 * holdout.accuracy).toFixed(2)} %`,
    );
  return context.record.decideOnce(`score test ${run.id}`, async () => ({
    value: await score('test'),
    because: 'the test split, read at delivery only',
  }));
}

async function placeFile({ record, folder, config }: StudyContext, member: Member, from: string): Promise<void> {
  const relative = join(memberFolder(member), 'model.onnx');
  const path = join(folder, relative);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, `${path}.part`);
  renameSync(`${path}.part`, path);
  writeFileSync(
    join(dirname(path), 'spec.yaml'),
    toYaml({ ...member.delivered.spec, name: `${config.study}-${member.target}-${member.size}` }),
  );
  const id = `delivered ${member.target} ${member.size}`;
  if (!record.artefact(id))
    record.append({ type: 'artefact', id, kind: 'onnx', digest: digestBytes(readFileSync(path)), path: relative });
}

async function measureDelivered(context: StudyContext, member: Member): Promise<void> {
  const target = context.config.targets[member.target];
  if (!target) throw new Error(`no target ${member.target}`);
  const file = await exportRun(context, member.delivered);
  // By network, not by size: lines that share one share its latency.
  await context.record.measureOnce(deliveredLatencyId(member.target, member.delivered.id), member.target, () =>
    context.meter.measureFile(file, target, member.delivered.spec),
  );
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
      const { batch } = target;
      if (fixedBatch !== null && fixedBatch !== batch)
        throw new ConfigError(
          `final.baselines: expected ${baseline.onnx} to take the batch of ${batch} of target ${name}, got one fixed to ${fixedBatch}`,
        );
      // Predicting costs nothing, and an operator that no kernel is known for would only show at delivery.
      if (isProfile(target.device)) await context.meter.measureFile(path, target, null);
    }
  }
}

/** The user's own models, scored and measured as our files are. */
async function compareUserModels(context: StudyContext): Promise<void> {
  const { config, record, meter, onProgress } = context;
  for (const baseline of config.final.baselines) {
    if (!('onnx' in baseline)) continue;
    onProgress({ phase: 'deliver', text: `comparing with ${baseline.onnx}` });
    await record.decideOnce(`score test ${baseline.onnx}`, async () => ({
      value: await scoreUserModel(context, baseline, 'test'),
      because: "the user's own model on the test split",
    }));
    const path = resolve(config.baseDirectory, baseline.onnx);
    for (const [name, target] of Object.entries(config.targets))
      await record.measureOnce(deliveredLatencyId(name, baseline.onnx), name, () =>
        meter.measureFile(path, target, null),
      );
  }
}

async function scoreUserModel(
  { config, data, signal }: StudyContext,
  { onnx, mean, std }: { readonly onnx: string; readonly mean?: readonly number[]; readonly std?: readonly number[] },
  split: 'holdout' | 'test',
): Promise<{ examples: number; accuracy: number; crossEntropy: number; fixedBatch: number | null }> {
  const modelFile = resolve(config.baseDirectory, onnx);
  return { ...(await scoreFile({ modelFile, dataFile: data.file, split, mean, std }, signal)) };
}
