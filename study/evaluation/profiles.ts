import { resolve } from 'node:path';
import { calibratedIn, type DeviceProfile, type Precision, precisions } from '../../accelerators/device-profile.ts';
import { findProfile } from '../../accelerators/profile-file.ts';
import { digestJson } from '../../core/digest.ts';
import { ConfigError, InfeasibleModelError } from '../../core/errors.ts';
import { type Prediction, predictLatency } from '../../latency/predicted.ts';
import { buildNetwork } from '../../models/build.ts';
import { onnxGraphOf, readKernels } from '../../models/kernels.ts';
import type { OnnxGraph } from '../../models/onnx.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { StudyRecord } from '../journal/record.ts';
import { baseLimitMs } from '../sizes.ts';
import { isProfile, type StudyConfig, type TargetConfig } from '../study-file.ts';

/** The device profiles that a study's targets name, by what the study file calls them. */
export type StudyProfiles = ReadonlyMap<string, DeviceProfile>;

/**
 * Reads every profile that a target is, or is screened by, and checks that it can be used so.
 * @throws {ConfigError} naming the key: no such profile, a precision it has no peak of, or a limit judged by one that
 * was never calibrated in the target's precision.
 */
export async function openProfiles({ targets, family, baseDirectory }: StudyConfig): Promise<StudyProfiles> {
  const profiles = new Map<string, DeviceProfile>();
  for (const [name, target] of Object.entries(targets)) {
    const [key, source] = isProfile(target.device) ? ['device', target.device] : ['profile', target.profile];
    if (source === undefined) continue;
    const place = `targets.${name}`;
    const profile = await readProfile(source, baseDirectory).catch((cause: Error) => {
      throw new ConfigError(`${place}.${key}: ${cause.message}`, { cause });
    });
    profiles.set(source, profile);
    for (const { precision } of askedOf(target))
      if (profile.peakTflops[precision] === undefined)
        throw new ConfigError(
          `${place}.precision: expected one that ${profile.id} has a peak of (${precisions.filter((one) => profile.peakTflops[one] !== undefined).join(', ')}), got ${precision}`,
        );
    if (profile.learned && profile.learned.threads !== target.threads)
      throw new ConfigError(
        `${place}.threads: expected ${profile.learned.threads}, for which ${profile.id} was calibrated, got ${target.threads}`,
      );
    const isLimited = target.limit !== undefined || baseLimitMs(family[name] ?? [], undefined) !== undefined;
    const uncalibrated = askedOf(target).find(({ precision }) => precision !== calibratedIn(profile));
    if (isLimited && uncalibrated && target.allow === undefined)
      throw new ConfigError(
        `${place}: expected "allow: predicted" beside a limit or sizes in milliseconds, for ${profile.id} ${uncalibratedText(profile, uncalibrated.precision)}: what it predicts is good for ranking only; or calibrate a profile on the device`,
      );
  }
  return profiles;
}

/** Ways that a target may run a network. */
function askedOf(target: Pick<TargetConfig, 'settings' | 'precision'>): readonly { readonly precision: Precision }[] {
  return target.settings ?? [target];
}

function uncalibratedText(profile: DeviceProfile, precision: Precision): string {
  if (!profile.calibration) return 'was never calibrated';
  const known = calibratedIn(profile);
  return known === undefined
    ? `does not say in which precision it was calibrated (calibration.precision)`
    : `was calibrated in ${known}, never in ${precision}`;
}

/** The profile that a study file names: of the table by its id, or a file whose path starts at the study file's folder. */
export function readProfile(source: string, baseDirectory: string): Promise<DeviceProfile> {
  return findProfile(/\.ya?ml$/i.test(source) ? resolve(baseDirectory, source) : source);
}

/** What a journal keeps of a profile. */
export interface JournalledProfile {
  readonly id: string;
  readonly name: string;
  readonly calibrated: boolean;
  /** What it is calibrated in; absent in journals of before that was known, and where it is not calibrated. */
  readonly precision?: Precision;
  readonly digest: string;
}

/** Id of the decision that says which profile a study file's words stood for. */
export function profileId(source: string): string {
  return `profile ${source}`;
}

/**
 * Journals which profiles a study predicts with.
 * @throws {ConfigError} when one is not what it was when the study began: its figures would not be comparable.
 */
export function rememberProfiles(record: StudyRecord, profiles: StudyProfiles): void {
  for (const [source, profile] of profiles) {
    const digest = digestJson(profile);
    const known = record.decision(profileId(source)) as JournalledProfile | undefined;
    if (known && known.digest !== digest)
      throw new ConfigError(
        `${source}: expected the profile this study began with (${known.digest}), got a changed one; give the study another name, or delete its folder to start over`,
      );
    const precision = calibratedIn(profile);
    const value = {
      id: profile.id,
      name: profile.name,
      calibrated: precision !== undefined,
      ...(precision && { precision }),
      digest,
    };
    record.decideAgain(profileId(source), value, 'latencies are predicted with it');
  }
}

/**
 * The profile that a study file's words stood for, by its id, and whether it is calibrated in all that the target may
 * run in; null where they name none.
 */
export function profileBehind(
  record: StudyRecord,
  source: string,
  target: Pick<TargetConfig, 'settings' | 'precision'>,
): { readonly profile: string; readonly calibrated: boolean } | null {
  const known = record.decision(profileId(source)) as JournalledProfile | undefined;
  if (!known) return null;
  const isBacked = askedOf(target).every(({ precision }) => precision === (known.precision ?? precision));
  return { profile: known.id, calibrated: known.calibrated && isBacked };
}

/** What a profile says of a network of ours at a target's batch and precision. */
export function predictSpec(spec: NetworkSpec, profile: DeviceProfile, target: TargetConfig): Prediction {
  return predictGraph(onnxGraphOf(buildNetwork(spec, 'batch')), profile, target, spec.name ?? 'network');
}

/** What a profile says of an ONNX graph at a target's batch and precision. @param where names it in errors. */
export function predictGraph(
  graph: OnnxGraph,
  profile: DeviceProfile,
  { batch, precision }: TargetConfig,
  where: string,
): Prediction {
  return predictLatency(readKernels(graph, profile.fusion, { batch }, where), profile, precision);
}

/** A prediction whose network fits the device. @throws {InfeasibleModelError} when it does not, with both numbers. */
export function fitting(prediction: Prediction): Prediction {
  const { latency, footprint } = prediction;
  const { capacityBytes, fits, weightBytes, activationBytes } = footprint;
  if (fits !== false || capacityBytes === null) return prediction;
  const observed = weightBytes + activationBytes;
  throw new InfeasibleModelError(
    `${latency.accelerator} has ${gigabytes(capacityBytes)}, batch ${latency.batch} in ${latency.precision} needs ${gigabytes(observed)}`,
    { reason: 'memory', limit: capacityBytes, observed },
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`;
}
