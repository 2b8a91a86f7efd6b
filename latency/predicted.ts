import { calibratedIn, type DeviceProfile, type Precision, precisions } from '../accelerators/device-profile.ts';
import { ConfigError } from '../core/errors.ts';
import type { KernelProgram } from '../models/kernels.ts';
import { featureNames, programFeatures } from './kernel-features.ts';
import { estimateKernel } from './kernel-model.ts';
import type { Latency, LatencySetting } from './latency.ts';
import { bytesOf, type KernelLatency, programLatency, type ProgramLatency } from './roofline.ts';

/** What a profile says of a network: the record that measuring gives, and where the time and the memory go. */
export interface Prediction {
  readonly latency: Latency;
  readonly kernels: readonly KernelLatency[];
  readonly deviceMs: number;
  readonly hostMs: number;
  readonly footprint: Footprint;
  /** Constants the profile lacks, whose bounds were not applied: the true time is longer. */
  readonly unknown: readonly string[];
  /** Operators of kernels that a calibrated profile never saw: their times are by its roofline. */
  readonly unseen: readonly string[];
}

/** Device memory of one run. */
export interface Footprint {
  readonly weightBytes: number;
  /** Most activations alive at once. */
  readonly activationBytes: number;
  /** Null where the profile does not say, and so is `fits`. */
  readonly capacityBytes: number | null;
  /** False makes the network infeasible on this device at this batch and precision. */
  readonly fits: boolean | null;
}

/**
 * Standard deviation of ln(measured ÷ predicted) of profiles that nothing calibrated in the precision asked for: it covers the GPU columns of
 * `bench/latency/analytic.ts` (.1 to .7; which runtime ran matters more than which chip), not its TPU columns, which hosts bound.
 */
export const priorLogDeviation = 0.7;

/** Of a normal distribution, both sides of 95 %. */
const deviations95 = 1.96;

/**
 * Latency and memory of a network on a profiled device. The interval is of one network's true latency, from how
 * far the profile's predictions were off before; all percentiles are equal, a profile says nothing of jitter.
 * @throws {ConfigError} for a precision the profile has no peak of, or where nothing the profile knows takes time.
 */
export function predictLatency(program: KernelProgram, profile: DeviceProfile, precision: Precision): Prediction {
  if (profile.peakTflops[precision] === undefined)
    throw new ConfigError(
      `${profile.id}: expected a precision among ${precisions.filter((p) => profile.peakTflops[p]).join(', ')}, got ${precision}`,
    );
  const analytic = programLatency(program, profile, precision);
  const { ms, kernels, deviceMs, hostMs, logDeviation, unseen } = learnedLatency(program, profile, precision, analytic);
  if (ms === 0)
    throw new ConfigError(
      `${profile.id}: expected a network with convolutions or matrix products, or a profile with a bandwidth or a time of a kernel start, got neither`,
    );
  const spread = Math.exp(deviations95 * logDeviation);
  return {
    latency: {
      ...exactly(ms, profile.id, { batch: program.batch, threads: profile.learned?.threads ?? 1 }),
      precision,
      intervalMs: { percentile: 50, level: 0.95, lo: ms / spread, hi: ms * spread },
      calibrated: calibratedIn(profile) === precision,
    },
    kernels,
    deviceMs,
    hostMs,
    footprint: footprintOf(program, profile, precision),
    unknown: unknownOf(profile),
    unseen,
  };
}

interface LearnedLatency extends Pick<Prediction, 'kernels' | 'deviceMs' | 'hostMs' | 'unseen'> {
  readonly ms: number;
  readonly logDeviation: number;
}

/** The roofline's answer with the times of all kernels that the profile has learned. Without any it is the roofline's. */
function learnedLatency(
  program: KernelProgram,
  profile: DeviceProfile,
  precision: Precision,
  analytic: ProgramLatency,
): LearnedLatency {
  const { learned, calibration } = profile;
  if (!learned || learned.precision !== precision) {
    const known = calibratedIn(profile) === precision ? calibration?.logDeviation : undefined;
    return { ...analytic, logDeviation: known ?? priorLogDeviation, unseen: [] };
  }
  if (learned.features.join() !== featureNames.join())
    throw new ConfigError(
      `${profile.id}: expected a model of ${featureNames.join(', ')}, got one of ${learned.features.join(', ')}; calibrate again`,
    );
  const unseen = new Set<string>();
  const features = program.kernels.every(({ runtime }) => runtime) ? programFeatures(program) : [];
  let [spread, unseenMs] = [0, 0];
  const kernels = analytic.kernels.map((kernel, index): KernelLatency => {
    const own = features[index];
    const estimate = own && estimateKernel(learned, own);
    if (!estimate) {
      unseen.add(own?.group ?? kernel.operators.join(' '));
      unseenMs += kernel.ms;
      return kernel;
    }
    spread += estimate.ms * estimate.logDeviation;
    return { ...kernel, ms: estimate.ms };
  });
  const deviceMs = kernels.reduce((sum, kernel) => sum + kernel.ms, 0);
  const ms = deviceMs + profile.runOverheadUs / 1e3;
  // Kernels nobody saw are as uncertain as a device nobody calibrated, and independent of the others.
  const logDeviation = Math.hypot(
    (learned.intervalFactor * spread) / ms / deviations95,
    (priorLogDeviation * unseenMs) / ms,
  );
  return { ms, kernels, deviceMs, hostMs: analytic.hostMs, logDeviation, unseen: [...unseen] };
}

function exactly(ms: number, accelerator: string, { batch, threads }: Omit<LatencySetting, 'accelerator'>): Latency {
  return {
    source: 'predicted',
    accelerator,
    batch,
    threads,
    precision: 'fp32',
    p50Ms: ms,
    p90Ms: ms,
    p99Ms: ms,
    intervalMs: { percentile: 50, level: 0.95, lo: ms, hi: ms },
    sessions: 0,
    samples: 0,
    stable: true,
    drift: 0,
    rejectedBlocks: 0,
    includesIo: false,
    clock: 'device',
    calibrated: false,
    fingerprint: null,
  };
}

function footprintOf(program: KernelProgram, profile: DeviceProfile, precision: Precision): Footprint {
  const size = bytesOf[precision];
  const weightBytes = program.weightElements * size;
  const activationBytes = program.peakElements * size;
  const gigabytes = profile.memory?.gigabytes;
  if (gigabytes === undefined) return { weightBytes, activationBytes, capacityBytes: null, fits: null };
  const capacityBytes = gigabytes * 1e9;
  return { weightBytes, activationBytes, capacityBytes, fits: weightBytes + activationBytes <= capacityBytes };
}

function unknownOf({ memory, vectorTflops, matrixUnit, kernelOverheadUs }: DeviceProfile): readonly string[] {
  return [
    ...(memory?.gigabytesPerS === undefined ? ['memory bandwidth'] : []),
    ...(memory?.gigabytes === undefined ? ['memory size'] : []),
    ...(vectorTflops === undefined ? ['peak of the vector unit'] : []),
    ...(matrixUnit === undefined ? ['extents of the matrix unit'] : []),
    ...(kernelOverheadUs === undefined ? ['time of a kernel start'] : []),
  ];
}
