// How well profiles rank and predict networks that others measured: `npx tsx bench/latency/analytic.ts <folder>`.
// See bench/README.md.
import { parseArgs } from 'node:util';
import { deviceProfiles } from '../../accelerators/profiles.ts';
import type { DeviceProfile } from '../../accelerators/device-profile.ts';
import { Random } from '../../core/random.ts';
import { calibrateProfile } from '../../latency/calibrate-profile.ts';
import { type KernelRoofs, programLatency, programRoofs, roofsMs } from '../../latency/roofline.ts';
import { median, quantile } from '../../core/quantile.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph, type NetworkCount } from '../../models/counts.ts';
import { kernelKinds, type KernelProgram, onnxGraphOf, readKernels } from '../../models/kernels.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { fitRegression } from '../../scaling/bayesian-regression.ts';
import { rankCorrelation } from '../../core/rank-correlation.ts';
import { type Column, edgeTpuLite, readTables, remembered, type Table } from './tables.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    /** Takes every n-th row only. */
    every: { type: 'string', default: '1' },
    /** Draws of ten calibration points. */
    draws: { type: 'string', default: '10' },
  },
});
const folder = positionals[0];
if (!folder) {
  console.error('usage: npx tsx bench/latency/analytic.ts <folder of the tables> [--every n] [--draws n]');
  process.exit(2);
}

/** A measured network. */
interface Sample {
  readonly program: KernelProgram;
  readonly roofs: readonly KernelRoofs[];
  readonly count: NetworkCount;
  readonly measuredMs: number;
}

function program(spec: NetworkSpec, profile: DeviceProfile, batch: number): KernelProgram {
  return readKernels(onnxGraphOf(buildNetwork(spec, 'batch')), profile.fusion, { batch }, spec.name ?? 'network');
}

const errors = (predicted: readonly number[], samples: readonly Sample[]): number[] =>
  predicted.map((ms, index) => Math.abs(ms / (samples[index]?.measuredMs ?? Number.NaN) - 1));

const q90 = (list: readonly number[]): number => quantile(Float64Array.from(list).sort(), 0.9);
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Even rows chose the priors of accelerators/profiles.ts and calibrate; odd rows are only tested on. */
function evaluateColumn(column: Column, development: readonly Sample[], test: readonly Sample[], draws: number) {
  const { profile, precision } = column;
  const predict = (samples: readonly Sample[], by = profile) => samples.map((sample) => roofsMs(sample.roofs, by));
  const measured = test.map(({ measuredMs }) => measuredMs);
  const predicted = predict(test);
  const onDevelopment = predict(development);
  const scale = median(development.map(({ measuredMs }, index) => measuredMs / (onDevelopment[index] ?? Number.NaN)));
  const calibrated = Array.from({ length: draws }, (_, draw) => {
    const random = new Random('analytic').child(column.table, column.name, column.batch, draw);
    return calibrateProfile(profile, precision, drawn(development, 10, random));
  });
  const calibratedErrors = calibrated.map((one) => errors(predict(test, one), test));
  const bias = test.map(({ measuredMs }, index) => Math.log(measuredMs / (predicted[index] ?? Number.NaN)));
  return {
    networks: test.length,
    prior: rankCorrelation(predicted, measured),
    macs: rankCorrelation(
      test.map(({ count }) => count.macs),
      measured,
    ),
    activations: rankCorrelation(
      test.map(({ count }) => count.activations),
      measured,
    ),
    best: rankCorrelation(bestLinear(development, test), measured),
    ratio: 1 / scale,
    /** Root mean square of ln(measured ÷ predicted), nothing fitted. */
    logDeviation: Math.sqrt(bias.reduce((sum, value) => sum + value ** 2, 0) / bias.length),
    scaled: median(
      errors(
        predicted.map((ms) => ms * scale),
        test,
      ),
    ),
    ten: median(calibratedErrors.map((list) => median(list))),
    ten90: median(calibratedErrors.map(q90)),
    tenRank: median(calibrated.map((one) => rankCorrelation(predict(test, one), measured))),
    stated: median(calibrated.map((one) => one.calibration?.logDeviation ?? Number.NaN)),
  };
}

/** So many different values, in the order drawn. */
function drawn<T>(from: readonly T[], count: number, random: Random): T[] {
  const rest = [...from];
  return Array.from({ length: count }, () => rest.splice(random.integer(rest.length), 1)[0] as T);
}

/**
 * What a table lets anybody know: latency as a linear function of each kind's multiply-accumulates, elements moved
 * and kernels, from all development rows at once. What it misses is mostly noise.
 */
function bestLinear(development: readonly Sample[], test: readonly Sample[]): number[] {
  const features = ({ program: { kernels } }: Sample) => [
    1,
    kernels.length,
    ...kernelKinds.flatMap((kind) => {
      const own = kernels.filter((kernel) => kernel.kind === kind);
      const moved = own.flatMap(({ reads, writes }) => [...reads, ...writes]);
      return [
        own.length,
        own.reduce((sum, { macs }) => sum + macs, 0),
        moved.reduce((sum, { elements }) => sum + elements, 0),
      ];
    }),
  ];
  const rows = development.map(features);
  const scales = (rows[0] ?? []).map((_, at) => median(rows.map((row) => row[at] ?? 0)) || 1);
  const relative = (row: readonly number[], ms: number) => row.map((value, at) => value / (scales[at] ?? 1) / ms);
  const size = scales.length;
  const typical = median(development.map(({ measuredMs }) => measuredMs));
  const { coefficients } = fitRegression(
    rows.map((row, index) => relative(row, development[index]?.measuredMs ?? 1)),
    development.map(() => 1),
    { mean: Array(size).fill(0), sd: Array(size).fill(3 * typical), noiseSd: 0.05, noiseWeight: 1 },
  );
  return test.map((sample) =>
    relative(features(sample), 1).reduce((sum, value, at) => sum + value * (coefficients[at] ?? 0), 0),
  );
}

function evaluateTable(table: Table, every: number, draws: number): void {
  const rows = table.rows.filter((_, index) => index % (2 * every) < 2);
  const specs = rows.map(table.specOf);
  const counts = specs.map((spec) => countGraph(buildNetwork(spec, 1)));
  const programs = new Map<string, readonly KernelProgram[]>();
  for (const column of table.columns) {
    const key = `${column.batch} ${column.profile.fusion}`;
    const ready = programs.get(key) ?? specs.map((spec) => program(spec, column.profile, column.batch));
    programs.set(key, ready);
    const samples = rows.map((row, index) => ({
      isTest: index % 2 === 1,
      program: ready[index] as KernelProgram,
      roofs: programRoofs(ready[index] as KernelProgram, column.profile, column.precision),
      count: counts[index] as NetworkCount,
      measuredMs: column.measuredMs(row) ?? Number.NaN,
    }));
    const measured = samples.filter(({ measuredMs }) => measuredMs > 0);
    const result = evaluateColumn(
      column,
      measured.filter(({ isTest }) => !isTest),
      measured.filter(({ isTest }) => isTest),
      draws,
    );
    const setting = `${column.table} | ${column.name} | ${column.batch}`;
    console.log(
      `| ${setting} | ${[result.prior, result.macs, result.activations, result.best].map((rank) => rank.toFixed(3)).join(' | ')} | ${result.ratio.toFixed(2)} | ${result.logDeviation.toFixed(2)} | ${percent(result.scaled)} | ${percent(result.ten)} | ${percent(result.ten90)} | ${result.tenRank.toFixed(3)} | ${percent(result.stated)} |`,
    );
  }
}

const span = (list: readonly number[]) => `${Math.min(...list).toFixed(2)}–${Math.max(...list).toFixed(2)}`;

function evaluateRemembered(): void {
  const names = Object.keys(remembered);
  const settings = [
    { key: 'tpuV3', label: 'TPU v3', profile: deviceProfiles.get('tpu-v3') as DeviceProfile, precision: 'bf16' },
    {
      key: 'v100',
      label: 'V100, compiled',
      profile: deviceProfiles.get('v100-sxm') as DeviceProfile,
      precision: 'fp16',
    },
    {
      key: 'v100',
      label: 'V100, every operator a kernel',
      profile: { ...(deviceProfiles.get('v100-sxm') as DeviceProfile), fusion: 'none' },
      precision: 'fp16',
    },
  ] as const;
  for (const { key, label, profile, precision } of settings) {
    const rows = names.flatMap((name) => {
      const measuredMs = remembered[name]?.[key];
      if (measuredMs === undefined) return [];
      const spec = loadNetwork(name);
      const { ms } = programLatency(program(spec, profile, 128), profile, precision);
      return [{ name, measuredMs, ms, count: countGraph(buildNetwork(spec, 1)) }];
    });
    const ranks = [
      rows.map(({ ms }) => ms),
      rows.map(({ count }) => count.macs),
      rows.map(({ count }) => count.activations),
    ].map((list) =>
      rankCorrelation(
        list,
        rows.map(({ measuredMs }) => measuredMs),
      ).toFixed(3),
    );
    const ratios = (family: 'efficientnet-b' | 'efficientnet-x') =>
      rows.filter(({ name }) => name.startsWith(family)).map(({ ms, measuredMs }) => ms / measuredMs);
    const [plain, x] = [ratios('efficientnet-b'), ratios('efficientnet-x')];
    console.log(`| ${label} | ${rows.length} | ${ranks.join(' | ')} | ${span(plain)} | ${span(x)} |`);
  }
  const edge = deviceProfiles.get('edge-tpu') as DeviceProfile;
  const lites = Object.entries(edgeTpuLite).map(([name, measuredMs]) => {
    const { ms } = programLatency(program(loadNetwork(name), edge, 1), edge, 'int8');
    return `${name} ${ms.toFixed(2)} ms predicted, ${measuredMs} measured`;
  });
  console.log(`\nEdge TPU, batch 1: ${lites.join('; ')}`);
  console.log('\npairs where the one with more multiply-adds is faster (of the same multiple as measured)');
  for (const [dense, thin] of [
    ['efficientnet-x-b0', 'efficientnet-b0'],
    ['efficientnet-x-b3', 'efficientnet-b4'],
    ['efficientnet-x-b5', 'efficientnet-b5'],
  ] as const) {
    const macs = [dense, thin].map((name) => countGraph(buildNetwork(loadNetwork(name), 1)).macs);
    const cells = settings.map(({ key, label, profile, precision }) => {
      const [a, b] = [dense, thin].map(
        (name) => programLatency(program(loadNetwork(name), profile, 128), profile, precision).ms,
      );
      const measured = (remembered[thin]?.[key] ?? Number.NaN) / (remembered[dense]?.[key] ?? Number.NaN);
      return `${label}: ${((b ?? 0) / (a ?? 1)).toFixed(2)} × faster predicted, ${measured.toFixed(2)} × measured`;
    });
    console.log(
      `${dense} has ${((macs[0] ?? 0) / (macs[1] ?? 1)).toFixed(2)} × the multiply-adds of ${thin}; ${cells.join('; ')}`,
    );
  }
}

console.log(
  '| table | device | batch | ours | MACs | activations | best linear | predicted ÷ measured | log deviation | error, one scale | error, ten points | 90 % within | rank, ten points | stated |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|---|---|---|---|');
for (const table of readTables(folder)) evaluateTable(table, Number(values.every), Number(values.draws));
console.log(
  '\n| device | networks | ours | MACs | activations | predicted ÷ measured, EfficientNet | EfficientNet-X |',
);
console.log('|---|---|---|---|---|---|---|');
evaluateRemembered();
