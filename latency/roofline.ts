import type { DeviceProfile, Precision } from '../accelerators/device-profile.ts';
import type { ArithmeticKind, Kernel, KernelKind, KernelProgram, MatrixProducts } from '../models/kernels.ts';

/** What most of a kernel's time goes to. */
export type Bound = 'compute' | 'memory' | 'overhead';

/** Where a kernel's time goes. */
export interface KernelLatency {
  readonly name: string;
  readonly kind: KernelKind;
  /** ONNX operators fused into it. */
  readonly operators: readonly string[];
  readonly ms: number;
  readonly bound: Bound;
  readonly macs: number;
  /** To and from device memory or cache: activations and weights. */
  readonly bytes: number;
  /** Share of the multiply-accumulates carried out that are the network's own; the rest is padding. */
  readonly useful: number;
}

/** A program's time on a device. */
export interface ProgramLatency {
  readonly ms: number;
  readonly kernels: readonly KernelLatency[];
  /** Kernels one after another on the device, and the host that starts them: the longer one is the time of a run. */
  readonly deviceMs: number;
  readonly hostMs: number;
}

export const bytesOf: Readonly<Record<Precision, number>> = { fp32: 4, fp16: 2, bf16: 2, int8: 1 };

/** Libraries split a deep inner extent over units when outputs are few; pieces are about so deep. */
const splitDepth = 256;

/** A kernel's least times on a device, at the whole of its peaks. */
export interface KernelRoofs {
  readonly kernel: Kernel;
  readonly arithmeticMs: number;
  readonly memoryMs: number;
  readonly bytes: number;
  readonly useful: number;
}

/**
 * Time of one run, kernel by kernel:
 *
 *   t = max(Q ÷ (b · E_memory), W′ ÷ (C · E_arithmetic)) + overhead
 *   latency = max(Σ t, kernels · dispatch) + run overhead
 *
 * with Q the bytes that go through memory after fusion, W′ = 2 FLOP a multiply-accumulate after padding to
 * the matrix unit, and shares E of the kernel's kind. The kernel's form of Li et al. (2021), eq. 1–2, where one E
 * and one intensity are of a whole network; kernels differ too much for that, each costs a fixed time, and kinds
 * that reach most of the bandwidth may reach little of the peak. Never decreasing in the batch.
 * @param precision one that the profile has a peak of.
 */
export function programLatency(program: KernelProgram, profile: DeviceProfile, precision: Precision): ProgramLatency {
  const kernels = programRoofs(program, profile, precision).map((roofs) => kernelLatency(roofs, profile));
  return { ...runTime(kernels, profile), kernels };
}

/** What of {@link programLatency} does not depend on shares and fixed times. */
export function programRoofs(
  program: KernelProgram,
  profile: DeviceProfile,
  precision: Precision,
): readonly KernelRoofs[] {
  const footprint = (program.weightElements + program.peakElements) * bytesOf[precision];
  const isResident = profile.cache !== undefined && footprint <= profile.cache.megabytes * 1e6;
  return program.kernels.map((kernel) => kernelRoofs(kernel, profile, precision, isResident));
}

/** The latency of {@link programLatency} alone. */
export function roofsMs(roofs: readonly KernelRoofs[], profile: DeviceProfile): number {
  return runTime(
    roofs.map((kernel) => ({ ms: kernelMs(kernel, profile) })),
    profile,
  ).ms;
}

function runTime(kernels: readonly { readonly ms: number }[], profile: DeviceProfile) {
  const deviceMs = kernels.reduce((sum, { ms }) => sum + ms, 0);
  const hostMs = (kernels.length * profile.dispatchUs) / 1e3;
  return { ms: Math.max(deviceMs, hostMs) + profile.runOverheadUs / 1e3, deviceMs, hostMs };
}

/**
 * @param isResident the whole network stays in the cache from run to run, weights included.
 */
export function kernelRoofs(
  kernel: Kernel,
  profile: DeviceProfile,
  precision: Precision,
  isResident = false,
): KernelRoofs {
  const { macs, seconds: arithmetic } = computeTime(kernel, profile, precision);
  const { bytes, seconds: memory } = memoryTime(kernel, profile, precision, isResident);
  const useful = macs === 0 ? 1 : kernel.macs / macs;
  return { kernel, arithmeticMs: arithmetic * 1e3, memoryMs: memory * 1e3, bytes, useful };
}

/** A kernel's time by its roofs, the shares of them that its kind reaches, and what is fixed. */
export function kernelLatency(roofs: KernelRoofs, profile: DeviceProfile): KernelLatency {
  const { name, kind, operators, macs } = roofs.kernel;
  const { arithmeticMs, memoryMs, overheadMs } = parts(roofs, profile);
  const roofMs = Math.max(arithmeticMs, memoryMs);
  const bound = overheadMs >= roofMs ? 'overhead' : arithmeticMs >= memoryMs ? 'compute' : 'memory';
  return { name, kind, operators, ms: roofMs + overheadMs, bound, macs, bytes: roofs.bytes, useful: roofs.useful };
}

function kernelMs(roofs: KernelRoofs, profile: DeviceProfile): number {
  const { arithmeticMs, memoryMs, overheadMs } = parts(roofs, profile);
  return Math.max(arithmeticMs, memoryMs) + overheadMs;
}

function parts({ kernel: { kind, products }, arithmeticMs, memoryMs }: KernelRoofs, profile: DeviceProfile) {
  const { arithmetic, memory } = profile.efficiency;
  return {
    arithmeticMs: products ? arithmeticMs / arithmetic[kind as ArithmeticKind] : 0,
    memoryMs: memoryMs / memory[kind],
    overheadMs: (profile.kernelOverheadUs ?? 0) / 1e3,
  };
}

function computeTime(kernel: Kernel, profile: DeviceProfile, precision: Precision): { macs: number; seconds: number } {
  if (!kernel.products) return { macs: 0, seconds: 0 };
  const peak = profile.peakTflops[precision] ?? Infinity;
  // Every channel by itself leaves a matrix unit nothing to share: the vector unit computes it. Where its peak is
  // not known the matrix unit's stands in, which no kernel beats.
  const isVector = kernel.kind === 'depthwise';
  const rate = isVector ? (profile.vectorTflops?.[precision] ?? peak) : peak;
  const macs = isVector || !profile.matrixUnit ? kernel.macs : paddedMacs(kernel.products, profile.matrixUnit);
  const idle = isVector || !profile.matrixUnit ? 1 : idleFactor(kernel.products, profile.matrixUnit);
  return { macs, seconds: (2 * macs * idle) / (rate * 1e12) };
}

type MatrixUnit = NonNullable<DeviceProfile['matrixUnit']>;

const roundUp = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;

/**
 * Multiply-accumulates a matrix unit carries out for products of these extents, both sides of the weights and
 * the rows padded: K = ⌈k²·Cin ÷ 128⌉ · 128, N = ⌈Cout ÷ 128⌉ · 128 on an array of 128. Small groups share
 * the array block by block on its diagonal, as many as both sides hold.
 */
export function paddedMacs(products: MatrixProducts, unit: MatrixUnit): number {
  const { rows, inner, columns, count } = products;
  const together = Math.min(count, Math.max(1, Math.floor(Math.min(unit.inner / inner, unit.columns / columns))));
  return (
    roundUp(rows, unit.rows) *
    roundUp(inner * together, unit.inner) *
    roundUp(columns * together, unit.columns) *
    Math.ceil(count / together)
  );
}

/** How much longer it takes because there are fewer tiles of output than units to compute them. */
function idleFactor({ rows, inner, columns, count }: MatrixProducts, unit: MatrixUnit): number {
  if (unit.units === undefined) return 1;
  const tiles = Math.ceil(rows / unit.rows) * Math.ceil(columns / unit.columns) * count * Math.ceil(inner / splitDepth);
  return Math.max(1, unit.units / tiles);
}

function memoryTime(
  kernel: Kernel,
  profile: DeviceProfile,
  precision: Precision,
  isResident: boolean,
): { bytes: number; seconds: number } {
  const size = bytesOf[precision];
  const activations = [...kernel.reads, ...kernel.writes].reduce((sum, { elements }) => sum + elements, 0) * size;
  const weights = kernel.weightElements * size;
  const { cache, memory } = profile;
  const device = (memory?.gigabytesPerS ?? Infinity) * 1e9;
  const near = Math.max(device, (cache?.gigabytesPerS ?? 0) * 1e9);
  // What a kernel has just written is still on the chip when the next one reads it, if both fit.
  const fits = cache !== undefined && activations + weights <= cache.megabytes * 1e6;
  const seconds = activations / (fits ? near : device) + weights / (isResident ? near : device);
  return { bytes: activations + weights, seconds };
}
