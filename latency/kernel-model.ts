import { fitProcess, type GaussianProcess, predictProcess, type Sample } from './gaussian-process.ts';
import type { KernelFeatures } from './kernel-features.ts';

/** A kernel whose time is known. */
export interface KernelObservation {
  readonly features: KernelFeatures;
  readonly ms: number;
}

/** One group's model: a roofline without a corner, times the exponential of a Gaussian process. */
export interface GroupModel {
  /** Microseconds of a million multiply-accumulates, of a million bytes, and of any kernel. */
  readonly roofline: readonly [number, number, number];
  /** Indices of the features that vary in the group. */
  readonly active: readonly number[];
  readonly process: GaussianProcess;
}

/** Times of every group of kernels that was observed on a device. */
export interface KernelModel {
  readonly groups: Readonly<Record<string, GroupModel>>;
}

/** A kernel's time with its uncertainty: standard deviation of the logarithm. */
export interface KernelEstimate {
  readonly ms: number;
  readonly logDeviation: number;
}

/** Times below this, in milliseconds, drown in the microseconds the profile counts in. */
const resolutionMs = 0.0004;

export interface KernelModelOptions {
  readonly maxPoints?: number;
  readonly evidenceSamples?: number;
  /** Keeps the settings of an earlier model: much faster, for models that only help to choose. */
  readonly like?: KernelModel;
  /** And its points: where kernels may be told apart, not how long they take. */
  readonly keepsPoints?: boolean;
}

/** Fits each group's model. @param observations of one device, precision and number of threads. */
export function fitKernelModel(
  observations: readonly KernelObservation[],
  { maxPoints = 300, evidenceSamples = 220, like, keepsPoints }: KernelModelOptions = {},
): KernelModel {
  const byGroup = new Map<string, KernelObservation[]>();
  for (const observation of observations) {
    const { group } = observation.features;
    const own = byGroup.get(group);
    if (own) own.push(observation);
    else byGroup.set(group, [observation]);
  }
  const groups = [...byGroup].map(([group, own]) => [
    group,
    fitGroup(own, { maxPoints, evidenceSamples, keepsPoints, like: like?.groups[group] }),
  ]);
  return { groups: Object.fromEntries(groups) as Record<string, GroupModel> };
}

/** Undefined for a kernel of a group that was never seen. */
export function estimateKernel(model: KernelModel, features: KernelFeatures): KernelEstimate | undefined {
  const group = model.groups[features.group];
  if (!group) return undefined;
  const x = group.active.map((at) => features.x[at] as number);
  const { mean, variance } = predictProcess(group.process, x);
  return { ms: rooflineMs(group.roofline, features) * Math.exp(mean), logDeviation: Math.sqrt(variance) };
}

function rooflineMs([perMac, perByte, fixed]: GroupModel['roofline'], { macs, bytes }: KernelFeatures): number {
  return (perMac * macs * 1e-6 + perByte * bytes * 1e-6 + fixed) / 1e3;
}

interface Merged {
  readonly features: KernelFeatures;
  readonly ms: number;
  readonly count: number;
}

/** Equal kernels of several networks as one, of their geometric mean. */
function merge(observations: readonly KernelObservation[]): readonly Merged[] {
  const byFeatures = new Map<string, { features: KernelFeatures; logs: number[] }>();
  for (const { features, ms } of observations) {
    const key = `${features.macs} ${features.x.join(' ')}`;
    const seen = byFeatures.get(key) ?? { features, logs: [] };
    seen.logs.push(Math.log(ms));
    byFeatures.set(key, seen);
  }
  return [...byFeatures.values()].map(({ features, logs }) => ({
    features,
    ms: Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length),
    count: logs.length,
  }));
}

function fitGroup(
  observations: readonly KernelObservation[],
  {
    like,
    ...options
  }: Required<Pick<KernelModelOptions, 'maxPoints' | 'evidenceSamples'>> &
    Pick<KernelModelOptions, 'keepsPoints'> & { readonly like: GroupModel | undefined },
): GroupModel {
  const merged = merge(observations);
  const active = (merged[0]?.features.x ?? []).flatMap((_, at) => {
    const values = merged.map(({ features }) => features.x[at] as number);
    return Math.max(...values) - Math.min(...values) > 1e-9 ? [at] : [];
  });
  const roofline = fitRoofline(merged);
  const samples = merged.map(({ features, ms, count }): Sample => ({
    x: active.map((at) => features.x[at] as number),
    y: Math.log(ms / rooflineMs(roofline, features)),
    variance: (resolutionMs / ms) ** 2,
    count,
  }));
  const isAlike = like !== undefined && like.active.join() === active.join();
  return {
    roofline,
    active,
    process: fitProcess(samples, isAlike ? { ...options, like: like.process } : { ...options, keepsPoints: false }),
  };
}

const rounds = 300;

/** Least squares of relative errors with no negative constant, by coordinate descent. */
function fitRoofline(merged: readonly Merged[]): GroupModel['roofline'] {
  const rows = merged.map(({ features, ms }) => [
    (features.macs * 1e-6) / (1e3 * ms),
    (features.bytes * 1e-6) / (1e3 * ms),
    1 / (1e3 * ms),
  ]);
  const constants: [number, number, number] = [0, 0, 0];
  for (let round = 0; round < rounds; round++)
    for (const at of [0, 1, 2] as const) {
      let [above, below] = [0, 0];
      for (const row of rows) {
        const own = row[at] as number;
        const rest = row.reduce(
          (sum, value, other) => sum + (other === at ? 0 : value * (constants[other] as number)),
          0,
        );
        above += own * (1 - rest);
        below += own * own;
      }
      constants[at] = below > 0 ? Math.max(0, above / below) : 0;
    }
  // A group whose every constant vanished would have times of zero.
  return constants.some((value) => value > 0) ? constants : [0, 0, 1];
}
