import type { DeviceProfile } from './device-profile.ts';

// One entry a device: peaks per chip, dense (vendor sheets often quote 2:4-sparse figures, twice as high). What is not
// public is left out. Where nothing else is said, peaks, memory and bandwidth are of the vendor's datasheet or
// documentation; "public summaries" means independent write-ups that agree.

type Efficiency = DeviceProfile['efficiency'];

/**
 * Shares before any measurement of the device, for compiled graphs on GPUs. Large matrix kernels reach .9 and more of
 * both roofs (an A100 in half precision: .95 of its peak from 128 GFLOP, .90 of its bandwidth from 100 MB); what falls
 * off below that is mostly the fixed time of a kernel, counted apart. Convolutions lose to image edges and layout, and
 * have fewer channels than matrices have columns; depthwise ones have too little to share between threads. The shares
 * of these two, .4 and .1 of the peak, are what half the rows of a public table show for a V100 (docs/log.md).
 */
const gpu: Efficiency = {
  arithmetic: { conv: 0.6, pointwise: 0.4, grouped: 0.25, depthwise: 0.1, matmul: 0.7 },
  memory: {
    conv: 0.75,
    pointwise: 0.75,
    grouped: 0.6,
    depthwise: 0.6,
    matmul: 0.75,
    reduction: 0.6,
    elementwise: 0.85,
    movement: 0.7,
  },
};

/**
 * The same for XLA on TPUs. What padding to the matrix unit costs is counted apart. Depthwise convolutions cost there
 * what their outputs do, whatever the kernel, at a fraction of the bandwidth: a public table again (docs/log.md).
 */
const tpu: Efficiency = {
  arithmetic: { conv: 0.7, pointwise: 0.7, grouped: 0.4, depthwise: 0.5, matmul: 0.8 },
  memory: {
    conv: 0.75,
    pointwise: 0.75,
    grouped: 0.6,
    depthwise: 0.15,
    matmul: 0.75,
    reduction: 0.6,
    elementwise: 0.8,
    movement: 0.6,
  },
};

/** Every kind alike. */
const uniform = (share: number): Efficiency => ({
  arithmetic: { conv: share, pointwise: share, grouped: share, depthwise: share, matmul: share },
  memory: {
    conv: share,
    pointwise: share,
    grouped: share,
    depthwise: share,
    matmul: share,
    reduction: share,
    elementwise: share,
    movement: share,
  },
});

/** Inference chips say little of themselves. Dense kernels are what their compilers are made for. */
const edge: Efficiency = {
  ...uniform(0.5),
  arithmetic: { conv: 0.6, pointwise: 0.5, grouped: 0.3, depthwise: 0.1, matmul: 0.5 },
};

/** A vendor's one public figure made a prior: MobileNetV2 takes about 2.4 ms, 6.3 times what `edge` says. */
const edgeTpu: Efficiency = {
  ...edge,
  arithmetic: { conv: 0.095, pointwise: 0.08, grouped: 0.048, depthwise: 0.016, matmul: 0.08 },
};

/** Systolic arrays of 128 × 128 multipliers stream rows in eights; both sides of the weights are padded to 128. */
const array128 = { rows: 8, inner: 128, columns: 128 } as const;

/** Thread blocks of GPU libraries compute tiles of 64 × 64 outputs, a depth of 16 at a time, one tile a streaming multiprocessor. */
const tiles = (units?: number) => ({ rows: 64, inner: 16, columns: 64, units }) as const;

/** Launch inside a captured graph, ramp and tail; the A100 efficiencies by size quoted above amount to 1 to 3 µs. */
const gpuOverheadUs = 3;
/** Turing and Volta clock lower and start kernels more slowly. */
const olderGpuOverheadUs = 4;
/** Start of one fused operation in a compiled XLA program; a prior. */
const tpuOverheadUs = 2;

/** Fields that most entries share. */
const compiled = { dispatchUs: 0, runOverheadUs: 0, fusion: 'epilogue' } as const;

const table: readonly DeviceProfile[] = [
  {
    ...compiled,
    id: 'tpu-v2',
    name: 'TPU v2',
    // Public summaries: 2 cores × 1 matrix unit × 128² × 2 × 0.70 GHz.
    peakTflops: { bf16: 45 },
    // Vector unit of 128 lanes × 8 sublanes × 2 arithmetic units a core (HotChips 2020): 2 × 2048 × 0.70 GHz.
    vectorTflops: { bf16: 2.87 },
    // Sources give 600 to 700 GB/s: the lower one.
    memory: { gigabytes: 16, gigabytesPerS: 600 },
    matrixUnit: array128,
    kernelOverheadUs: tpuOverheadUs,
    efficiency: tpu,
  },
  {
    ...compiled,
    id: 'tpu-v3',
    name: 'TPU v3',
    // 2 cores × 2 matrix units × 128² × 2 × 0.94 GHz.
    peakTflops: { bf16: 123 },
    // As v2, at 0.94 GHz.
    vectorTflops: { bf16: 3.85 },
    memory: { gigabytes: 32, gigabytesPerS: 900 },
    matrixUnit: array128,
    kernelOverheadUs: tpuOverheadUs,
    efficiency: tpu,
  },
  {
    ...compiled,
    id: 'tpu-v4',
    name: 'TPU v4',
    peakTflops: { bf16: 275, int8: 275 },
    // 2 cores × 128 lanes × 16 arithmetic units × 1.05 GHz (Jouppi et al. 2023).
    vectorTflops: { bf16: 4.3 },
    memory: { gigabytes: 32, gigabytesPerS: 1200 },
    matrixUnit: array128,
    kernelOverheadUs: tpuOverheadUs,
    efficiency: tpu,
  },
  {
    ...compiled,
    id: 'tpu-v5e',
    name: 'TPU v5e',
    // 4 matrix units × 128² × 2 × 1.5 GHz.
    peakTflops: { bf16: 197, int8: 393 },
    memory: { gigabytes: 16, gigabytesPerS: 819 },
    // 128 MiB of vector memory at about 22 times the bandwidth of the device memory ("How to Scale Your Model", 2025).
    cache: { megabytes: 134, gigabytesPerS: 18_000 },
    matrixUnit: array128,
    kernelOverheadUs: tpuOverheadUs,
    efficiency: tpu,
  },
  {
    ...compiled,
    id: 'tpu-v5p',
    name: 'TPU v5p',
    peakTflops: { bf16: 459, int8: 918 },
    memory: { gigabytes: 95, gigabytesPerS: 2765 },
    matrixUnit: array128,
    kernelOverheadUs: tpuOverheadUs,
    efficiency: tpu,
  },
  {
    ...compiled,
    id: 'tpu-v6e',
    name: 'TPU v6e',
    peakTflops: { bf16: 918, int8: 1836 },
    memory: { gigabytes: 32, gigabytesPerS: 1638 },
    // Arrays of 256 × 256 multipliers: small channel counts waste four times as much.
    matrixUnit: { rows: 8, inner: 256, columns: 256 },
    kernelOverheadUs: tpuOverheadUs,
    efficiency: tpu,
  },
  {
    ...compiled,
    id: 'tpu7x',
    name: 'TPU7x',
    // Its 4614 TOP/s are of FP8, which is no precision here.
    peakTflops: { bf16: 2307 },
    memory: { gigabytes: 192, gigabytesPerS: 7380 },
    kernelOverheadUs: tpuOverheadUs,
    efficiency: tpu,
  },
  {
    ...compiled,
    id: 'v100-sxm',
    name: 'V100 SXM',
    // No matrix unit for single precision. INT8 has none either: on a V100 some networks are slower in INT8 than in FP16.
    peakTflops: { fp16: 125, fp32: 15.7 },
    vectorTflops: { fp16: 31.4, fp32: 15.7 },
    // Sold with 16 and 32 GB; what fits the smaller fits both.
    memory: { gigabytes: 16, gigabytesPerS: 900 },
    // L2; its bandwidth after a published comparison of architectures (Ultrasonics Sonochemistry 99, 106546, table 3).
    cache: { megabytes: 6, gigabytesPerS: 3133 },
    matrixUnit: tiles(80),
    kernelOverheadUs: olderGpuOverheadUs,
    efficiency: gpu,
  },
  ...(
    [
      ['a100-40-sxm', 'A100 40 GB SXM', 40, 1555],
      ['a100-80-sxm', 'A100 80 GB SXM', 80, 2039],
    ] as const
  ).map(([id, name, gigabytes, gigabytesPerS]): DeviceProfile => ({
    ...compiled,
    id,
    name,
    // fp32 as runtimes run it unless told otherwise, in TF32 on the matrix units; 19.5 in full single precision.
    peakTflops: { fp16: 312, bf16: 312, fp32: 156, int8: 624 },
    vectorTflops: { fp16: 78, bf16: 39, fp32: 19.5 },
    memory: { gigabytes, gigabytesPerS },
    // L2; bandwidth as for the V100.
    cache: { megabytes: 40, gigabytesPerS: 7219 },
    matrixUnit: tiles(108),
    kernelOverheadUs: gpuOverheadUs,
    efficiency: gpu,
  })),
  {
    ...compiled,
    id: 'h100-sxm',
    name: 'H100 SXM',
    // fp32 in TF32, half the rate of half precision as on the A100.
    peakTflops: { fp16: 989.5, bf16: 989.5, fp32: 494.7, int8: 1979 },
    vectorTflops: { fp16: 134, bf16: 134, fp32: 67 },
    memory: { gigabytes: 80, gigabytesPerS: 3350 },
    // L2; bandwidth as for the V100.
    cache: { megabytes: 50, gigabytesPerS: 8986 },
    matrixUnit: tiles(132),
    kernelOverheadUs: gpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 'h100-pcie',
    name: 'H100 PCIe',
    peakTflops: { fp16: 756.5, bf16: 756.5, fp32: 378, int8: 1513 },
    memory: { gigabytes: 80, gigabytesPerS: 2000 },
    matrixUnit: tiles(114),
    kernelOverheadUs: gpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 'h200',
    name: 'H200',
    // The chip of the H100 SXM with faster memory.
    peakTflops: { fp16: 989, bf16: 989, fp32: 494.5, int8: 1979 },
    vectorTflops: { fp16: 134, bf16: 134, fp32: 67 },
    memory: { gigabytes: 141, gigabytesPerS: 4800 },
    cache: { megabytes: 50, gigabytesPerS: 8986 },
    matrixUnit: tiles(132),
    kernelOverheadUs: gpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 'b200',
    name: 'B200',
    // Public summaries.
    peakTflops: { fp16: 2250, bf16: 2250, int8: 4500 },
    // Sold with 180 to 192 GB.
    memory: { gigabytes: 180, gigabytesPerS: 8000 },
    matrixUnit: tiles(),
    kernelOverheadUs: gpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 'mi300x',
    name: 'MI300X',
    // Public summaries.
    peakTflops: { fp16: 1307, bf16: 1307, int8: 2615 },
    memory: { gigabytes: 192, gigabytesPerS: 5300 },
    // 304 compute units.
    matrixUnit: tiles(304),
    kernelOverheadUs: gpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 'l4',
    name: 'L4',
    peakTflops: { fp16: 121, bf16: 121, fp32: 60, int8: 242 },
    vectorTflops: { fp16: 30.3, bf16: 30.3, fp32: 30.3 },
    memory: { gigabytes: 24, gigabytesPerS: 300 },
    matrixUnit: tiles(58),
    kernelOverheadUs: gpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 'a10',
    name: 'A10',
    peakTflops: { fp16: 125, bf16: 125, fp32: 62.5, int8: 250 },
    vectorTflops: { fp16: 31.2, bf16: 31.2, fp32: 31.2 },
    memory: { gigabytes: 24, gigabytesPerS: 600 },
    matrixUnit: tiles(72),
    kernelOverheadUs: gpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 't4',
    name: 'T4',
    // No TF32.
    peakTflops: { fp16: 65, fp32: 8.1, int8: 130 },
    vectorTflops: { fp16: 16.2, fp32: 8.1 },
    memory: { gigabytes: 16, gigabytesPerS: 320 },
    matrixUnit: tiles(40),
    kernelOverheadUs: olderGpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 'jetson-agx-orin-64',
    name: 'Jetson AGX Orin 64 GB (GPU)',
    // The vendor's 275 TOP/s are 2:4-sparse and of the GPU and both inference engines together; the GPU's dense half of 171.
    peakTflops: { int8: 85 },
    memory: { gigabytes: 64, gigabytesPerS: 205 },
    matrixUnit: tiles(),
    kernelOverheadUs: olderGpuOverheadUs,
    efficiency: gpu,
  },
  {
    ...compiled,
    id: 'edge-tpu',
    name: 'Edge TPU (Coral)',
    peakTflops: { int8: 4 },
    // About 8 MB of on-chip memory hold weights; a larger network streams the rest over the host's link, whose speed is
    // the host's. Neither that nor the on-chip bandwidth is public.
    efficiency: edgeTpu,
  },
  {
    ...compiled,
    id: 'hailo-8',
    name: 'Hailo-8',
    // Weights and activations stay on the chip; its memory and bandwidth are not public.
    peakTflops: { int8: 26 },
    efficiency: edge,
  },
  {
    ...compiled,
    id: 'hailo-8l',
    name: 'Hailo-8L',
    peakTflops: { int8: 13 },
    efficiency: edge,
  },
  {
    ...compiled,
    // About as fast as one laptop core: the test double and the device for trying a study out, not any real machine.
    id: 'simulated',
    name: 'an imagined device',
    peakTflops: { fp32: 0.1 },
    vectorTflops: { fp32: 0.1 },
    memory: { gigabytesPerS: 20 },
    kernelOverheadUs: 4,
    efficiency: uniform(0.6),
  },
];

/** Every device whose constants are known here, by id. */
export const deviceProfiles: ReadonlyMap<string, DeviceProfile> = new Map(
  table.map((profile) => [profile.id, profile]),
);
