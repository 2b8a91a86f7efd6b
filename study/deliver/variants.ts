import { commandNameOf } from '../../commands/declaration.ts';
import { InfeasibleModelError } from '../../core/errors.ts';
import { exportedPrecisions, precisionRefusal } from '../../latency/file-precision.ts';
import type { Latency } from '../../latency/latency.ts';
import type { StudyContext } from '../context.ts';
import { exportRun, memberFolder, placeFile, precisionFor, scoreSplits } from './deliver-phase.ts';
import { measureSettled } from '../evaluation/evaluate.ts';
import type { VariantPrecision } from './quantize.ts';
import { familyLine } from '../scale/scalings.ts';
import { unableBefore } from '../journal/spending.ts';
import type { StudyRecord } from '../journal/record.ts';
import { isProfile, type TargetConfig } from '../study-file.ts';
import { measureIfAble } from '../evaluation/target-settings.ts';
import type { Member } from '../train/train-phase.ts';

/**
 * Delivers every network of the family in the study's other precisions as well (`final.variants`): made from its file
 * without training, scored on both splits, measured where the delivered file was, put beside it. A variant that is
 * slower or less accurate is delivered all the same, and said to be; a target that cannot run one gets none.
 */
export async function deliverVariants(context: StudyContext, members: readonly Member[]): Promise<void> {
  for (const member of members.filter(({ line }) => line === familyLine))
    for (const precision of context.config.final.variants ?? [])
      if (!refusedBefore(context, member, precision)) await deliverVariant(context, member, precision);
}

async function deliverVariant(context: StudyContext, member: Member, precision: VariantPrecision): Promise<void> {
  const { config, onProgress } = context;
  const { target, size, delivered: run } = member;
  onProgress({ phase: 'deliver', text: `${size} on ${target}: ${precision}` });
  const file = await exportRun(context, run, precision);
  await scoreSplits(context, run, precision);
  try {
    const network = { target, digest: run.specDigest };
    await measureIfAble(context, variantLatencyId(target, run.id, precision), target, () =>
      measureSettled(context, network, (settled) =>
        context.meter.measureFile(file, { ...settled, precision }, run.spec),
      ),
    );
  } catch (error) {
    if (error instanceof InfeasibleModelError) return;
    throw error;
  }
  const place = {
    folder: memberFolder(member),
    file: variantFile(precision),
    name: `${config.study}-${target}-${size}`,
    id: variantId(target, size, precision),
  };
  placeFile(context, place, run.spec, file);
}

function refusedBefore(context: StudyContext, { target, delivered }: Member, precision: VariantPrecision): boolean {
  const config = context.config.targets[target];
  return !config || variantRefusal(config, precisionFor(context, delivered, target), precision) !== undefined;
}

/** Of a delivered variant, beside the delivered file. */
export function variantFile(precision: VariantPrecision): string {
  return `model-${precision}.onnx`;
}

/** Artefact of a delivered variant in the journal. */
export function variantId(target: string, size: string, precision: VariantPrecision): string {
  return `delivered ${target} ${size} ${precision}`;
}

/** Memo key of the latency of a run's variant. */
export function variantLatencyId(target: string, run: string, precision: VariantPrecision): string {
  return `variant ${target} ${run} ${precision}`;
}

/**
 * Why a target gets no variant of a precision, known before one is made; undefined where it may run one.
 * @param delivered what the network's delivered file is in.
 */
export function variantRefusal(
  { device }: Pick<TargetConfig, 'device'>,
  delivered: 'fp32' | 'fp16',
  precision: VariantPrecision,
): string | undefined {
  if (delivered === precision) return `the delivered file is in ${precision} itself`;
  if (isProfile(device)) return `latencies of ${device} are predicted, and variants are measured`;
  if (commandNameOf(device) !== undefined)
    return `a program converts the fp32 file by itself; give it a target of its own with precision: ${precision}`;
  // A provider that cannot be told a precision refuses both.
  return exportedPrecisions(device).includes('fp16') ? undefined : precisionRefusal(device, 'fp32', precision);
}

/** What a journal says of a variant's latency, or why there is none; undefined while it is not delivered. */
export function variantOutcome(
  record: StudyRecord,
  target: string,
  run: string,
  precision: VariantPrecision,
): { readonly latency: Latency } | { readonly refusal: string } | undefined {
  const id = variantLatencyId(target, run, precision);
  const latency = record.latency(id);
  if (latency) return { latency };
  const unable = record.decision(`${unableBefore}${id}`) as { readonly message: string } | undefined;
  return unable && { refusal: unable.message };
}
