import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DeviceProfile, Precision } from '../../accelerators/device-profile.ts';
import { parseProfile } from '../../accelerators/profile-file.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { accelNasBench, onceForAll, type Row } from './networks.ts';

/** One device and setting of a public table. */
export interface Column {
  readonly table: string;
  readonly name: string;
  readonly batch: number;
  readonly precision: Precision;
  readonly profile: DeviceProfile;
  /** Latency of a run in milliseconds; undefined where the row has none. */
  readonly measuredMs: (row: Row) => number | undefined;
}

/** Networks with their latencies on several devices. */
export interface Table {
  readonly rows: readonly Row[];
  readonly specOf: (row: Row) => NetworkSpec;
  readonly columns: readonly Column[];
}

/**
 * Eager PyTorch: every operator is a kernel, and the host takes some tens of microseconds to start each, whatever
 * the device: a prior, the hosts of these tables differ by a factor of two.
 */
const eager = { fusion: 'none', dispatchUs: 30 };

/** Devices of the tables that are not among the built-in profiles; constants of the vendor's datasheets. */
const profiles: Readonly<Record<string, DeviceProfile>> = Object.fromEntries(
  [
    { id: 'v100', like: 'v100-sxm', ...eager },
    {
      id: 'titan-rtx',
      like: 't4',
      ...eager,
      peakTflops: { fp32: 16.3 },
      vectorTflops: { fp32: 16.3 },
      memory: { gigabytes: 24, gigabytesPerS: 672 },
      matrixUnit: { rows: 64, inner: 16, columns: 64, units: 72 },
    },
    {
      id: '2080ti',
      like: 't4',
      ...eager,
      peakTflops: { fp32: 13.4 },
      vectorTflops: { fp32: 13.4 },
      memory: { gigabytes: 11, gigabytesPerS: 616 },
      matrixUnit: { rows: 64, inner: 16, columns: 64, units: 68 },
    },
    {
      id: 'titan-xp',
      like: 't4',
      ...eager,
      peakTflops: { fp32: 12.1 },
      vectorTflops: { fp32: 12.1 },
      memory: { gigabytes: 12, gigabytesPerS: 548 },
      matrixUnit: { rows: 64, inner: 16, columns: 64, units: 30 },
    },
    { id: 'a100', like: 'a100-40-sxm', ...eager },
    {
      id: '3090',
      like: 'a10',
      ...eager,
      peakTflops: { fp16: 71 },
      vectorTflops: { fp16: 35.6 },
      memory: { gigabytes: 24, gigabytesPerS: 936 },
      matrixUnit: { rows: 64, inner: 16, columns: 64, units: 82 },
    },
    { id: 'tpuv2', like: 'tpu-v2' },
    { id: 'tpuv3', like: 'tpu-v3' },
  ].map((data) => [data.id, parseProfile(data, `profile ${data.id}`)]),
);

function profile(id: string): DeviceProfile {
  const found = profiles[id];
  if (!found) throw new Error(`no profile ${id}`);
  return found;
}

const positive = (text: string | undefined): number | undefined => (Number(text) > 0 ? Number(text) : undefined);

/** Reads the two tables of whole populations from a folder. */
export function readTables(folder: string): readonly Table[] {
  const gpus = ['v100', 'titan-rtx', '2080ti', 'titan-xp'];
  const onceForAllColumns = [1, 32, 64].flatMap((batch) =>
    gpus.map((name): Column => {
      const key = `${name.replace('-', '_')}_${batch}_ms`;
      const setting = { table: 'Once-for-All', name, batch, precision: 'fp32' as const };
      return { ...setting, profile: profile(name), measuredMs: (row) => positive(row[key]) };
    }),
  );
  // The table gives images a second, neither batch nor precision: the mean time of an image times the batch assumed.
  const batch = 128;
  const accelColumns = ['a100', '3090', 'tpuv2', 'tpuv3'].map((name): Column => {
    const precision = name.startsWith('tpu') ? 'bf16' : 'fp16';
    const measuredMs = (row: Row) => {
      const perSecond = positive(row[`throughput_${name}_mean`]);
      return perSecond && (batch * 1e3) / perSecond;
    };
    return { table: 'Accel-NASBench', name, batch, precision, profile: profile(name), measuredMs };
  });
  return [
    { rows: readCsv(join(folder, 'ofa-latency-half.csv')), specOf: onceForAll, columns: onceForAllColumns },
    { rows: readCsv(join(folder, 'accel-nasbench-half.csv')), specOf: accelNasBench, columns: accelColumns },
  ];
}

/** Rows of a CSV file without quotes, by column names. */
function readCsv(path: string): readonly Row[] {
  const [head = '', ...lines] = readFileSync(path, 'utf8').trim().split('\n');
  const names = head.trim().split(',');
  return lines.map((line) =>
    Object.fromEntries(
      line
        .trim()
        .split(',')
        .map((value, index) => [names[index] ?? '', value]),
    ),
  );
}

/**
 * Latencies at batch 128 in milliseconds on a TPU v3 and a V100, as remembered from Li et al. (2021): coherent with
 * each other, not read from the source. The single-objective family of EfficientNet-X.
 */
export const remembered: Readonly<Record<string, { readonly tpuV3: number; readonly v100?: number }>> = {
  'efficientnet-b0': { tpuV3: 13.4, v100: 38.1 },
  'efficientnet-b1': { tpuV3: 22.3, v100: 60.5 },
  'efficientnet-b3': { tpuV3: 51.5 },
  'efficientnet-b4': { tpuV3: 102.6, v100: 310.7 },
  'efficientnet-b5': { tpuV3: 192.5, v100: 640.1 },
  'efficientnet-b6': { tpuV3: 334.2 },
  'efficientnet-b7': { tpuV3: 621.4, v100: 1471.3 },
  'efficientnet-x-b0': { tpuV3: 8.71, v100: 22.5 },
  'efficientnet-x-b1': { tpuV3: 13.6, v100: 34.4 },
  'efficientnet-x-b2': { tpuV3: 15.7, v100: 45.5 },
  'efficientnet-x-b3': { tpuV3: 31.9, v100: 66.6 },
  'efficientnet-x-b4': { tpuV3: 64.9, v100: 149.2 },
  'efficientnet-x-b5': { tpuV3: 125.9, v100: 290.2 },
  'efficientnet-x-b6': { tpuV3: 237.6, v100: 467.2 },
  'efficientnet-x-b7': { tpuV3: 433.9, v100: 847.7 },
};

/** Milliseconds at batch 1 on an Edge TPU, after the EfficientNet-Lite release. */
export const edgeTpuLite: Readonly<Record<string, number>> = {
  'efficientnet-lite0': 3.8,
  'efficientnet-lite1': 5.4,
  'efficientnet-lite2': 7.9,
  'efficientnet-lite3': 9.7,
};
