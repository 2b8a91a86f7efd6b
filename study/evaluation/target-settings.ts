import { providerIds } from '../../accelerators/onnxruntime.ts';
import { InfeasibleModelError } from '../../core/errors.ts';
import type { Latency } from '../../latency/latency.ts';
import { chooseSetting, perExample, type RunSetting, settingText, type TriedSetting } from '../../latency/setting.ts';
import type { StudyContext } from '../context.ts';
import type { StudyRecord } from '../journal/record.ts';
import { unableBefore } from '../journal/spending.ts';
import { hasBatches, isProfile, type TargetConfig } from '../study-file.ts';

/** What a network to be measured on a target is exported in: a provider computes as its file says, whoever else is asked converts by itself. */
export function exportedPrecision({ device, precision }: Pick<TargetConfig, 'device' | 'precision'>): 'fp32' | 'fp16' {
  return precision === 'fp16' && providerIds.some((id) => id === device) ? 'fp16' : 'fp32';
}

/**
 * What the file of a network is delivered in, by how it was measured: a provider runs what it is given, here or on a
 * worker, while programs and profiles are told the precision and given fp32.
 */
export function deliveredPrecision({ source, precision }: Pick<Latency, 'source' | 'precision'>): 'fp32' | 'fp16' {
  return source === 'measured' && precision === 'fp16' ? 'fp16' : 'fp32';
}

/** A target that runs everything at one of its settings. */
export function targetAt({ settings: _open, ...target }: TargetConfig, { batch, precision }: RunSetting): TargetConfig {
  return { ...target, batch, precision };
}

/** What the journal keeps of what a target cannot run; its finding out has taken so many seconds. */
type Inability = Pick<InfeasibleModelError, 'reason' | 'message' | 'limit' | 'observed'>;

/**
 * A latency by its id, measured once in a study; so is found out once that the target cannot run what is measured.
 * @throws {InfeasibleModelError} when it cannot.
 */
export async function measureIfAble(
  { config, record, meter, clock }: Pick<StudyContext, 'config' | 'record' | 'meter' | 'clock'>,
  id: string,
  target: string,
  measure: () => Promise<Latency>,
): Promise<Latency> {
  const unable = `${unableBefore}${id}`;
  const known = record.decision(unable) as Inability | undefined;
  if (known) throw new InfeasibleModelError(known.message, known);
  const startMs = clock.now();
  try {
    return await record.measureOnce(id, target, measure);
  } catch (error) {
    if (!(error instanceof InfeasibleModelError)) throw error;
    const { reason, message, limit, observed } = error;
    const seconds = isProfile(config.targets[target]?.device ?? '')
      ? {}
      : { seconds: meter.secondsOf?.(error) ?? (clock.now() - startMs) / 1000 };
    await record.decideOnce(unable, () => ({
      value: { reason, message, limit, observed, ...seconds },
      because: 'the target says so',
    }));
    throw error;
  }
}

/** Memo key of a latency at one setting of several. */
export function settingId(settingAndId: string): string {
  return `setting ${settingAndId}`;
}

/** What is measured at every setting of a target. */
export interface MeasuredAtSettings {
  /** Of what is measured, among all of the study. */
  readonly id: string;
  readonly target: string;
  readonly config: TargetConfig;
  /** Bytes that a run at a setting needs, where they are limited. */
  readonly bytesAt?: (setting: RunSetting) => number;
  readonly measure: (target: TargetConfig) => Promise<Latency>;
}

/**
 * The latency at the best admissible setting (`chooseSetting`), each setting measured once. Settings that the target
 * refuses or has no memory for are left out, and larger batches than one whose run is over the limit already.
 * @throws {InfeasibleModelError} when no setting runs; it is the first one's.
 */
export async function measureAtSettings(
  context: Pick<StudyContext, 'config' | 'record' | 'meter' | 'clock' | 'signal'>,
  { id, target, config, bytesAt, measure }: MeasuredAtSettings,
): Promise<Latency> {
  const { signal } = context;
  const { settings = [], limit, memory } = config;
  const tried: TriedSetting[] = [];
  const over = new Set<RunSetting['precision']>();
  let first: InfeasibleModelError | undefined;
  for (const setting of settings) {
    const bytes = bytesAt?.(setting);
    if (memory !== undefined && bytes !== undefined && bytes > memory) {
      first ??= new InfeasibleModelError(settingText(setting), { reason: 'memory', limit: memory, observed: bytes });
      tried.push({
        ...setting,
        refusal: `needs ${(bytes / 1e6).toPrecision(3)} MB of ${(memory / 1e6).toPrecision(3)}`,
      });
      continue;
    }
    if (over.has(setting.precision)) {
      tried.push({ ...setting, refusal: 'a smaller batch is over the limit already' });
      continue;
    }
    try {
      const latency = await measureIfAble(context, settingId(`${settingText(setting)} ${id}`), target, () => {
        signal.throwIfAborted();
        return measure(targetAt(config, setting));
      });
      tried.push({ ...setting, latency });
      if (limit && latency.p50Ms > limit.ms) over.add(setting.precision);
    } catch (error) {
      if (!(error instanceof InfeasibleModelError)) throw error;
      first ??= error;
      tried.push({ ...setting, refusal: error.message });
    }
  }
  const chosen = chooseSetting(tried, limit);
  if (!chosen) throw first ?? new InfeasibleModelError(`${target} has no setting`, { reason: 'unsupported' });
  return chosen;
}

/**
 * A network's target at the setting that was chosen for it: what it is measured at again, and delivered for.
 * @param id of the network's latency on the target.
 */
export function settledTarget(record: StudyRecord, config: TargetConfig, id: string): TargetConfig {
  const chosen = record.latency(id);
  return config.settings && chosen ? targetAt(config, chosen) : config;
}

/** A latency in the unit that a target's latencies compare in: of one example where its batches differ. */
export function comparable(config: TargetConfig, latency: Latency): Latency {
  return hasBatches(config) ? perExample(latency) : latency;
}
