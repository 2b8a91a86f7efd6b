/**
 * What one network for several devices costs, on tables where every answer is known: how fronts overlap, what one
 * device's front costs on another, and which rule of choosing one network is least bad. `npx tsx bench/search/devices.ts <folder of tables>`.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCsv } from '../../core/csv.ts';
import { median, quantile } from '../../core/quantile.ts';
import { Random } from '../../core/random.ts';
import {
  accuracyRegrets,
  byWorstRegret,
  type DeviceMeasures,
  deviceTransfer,
  leastRegretFront,
} from '../../search/regret.ts';
import { productFactor } from '../../search/reward.ts';

interface Table {
  readonly name: string;
  readonly devices: readonly string[];
  /** Accuracies in percentage points. */
  readonly networks: readonly DeviceMeasures[];
}

type Cells = Readonly<Record<string, string>>;

function readTable(path: string, accuracy: string, latencies: Readonly<Record<string, (row: Cells) => number>>): Table {
  const devices = Object.keys(latencies);
  const networks = parseCsv(readFileSync(path, 'utf8'), path)
    .rows.map(({ cells }) => ({
      accuracy: Number(cells[accuracy]),
      latencies: Object.values(latencies).map((read) => read(cells)),
    }))
    .filter((one) => one.latencies.every((ms) => ms > 0 && Number.isFinite(ms)));
  return { name: path.split('/').at(-1) ?? path, devices, networks };
}

const perSecond =
  (column: string) =>
  (row: Cells): number =>
    1e3 / Number(row[column]);
const milliseconds =
  (column: string) =>
  (row: Cells): number =>
    Number(row[column]);

function tablesOf(folder: string): Table[] {
  const accel = join(folder, 'accel-nasbench-half.csv');
  const cells = join(folder, 'nasbench201-cifar10.csv');
  const found = [
    existsSync(accel) &&
      readTable(accel, 'val_top1', {
        a100: perSecond('throughput_a100_mean'),
        rtx3090: perSecond('throughput_3090_mean'),
        tpuv2: perSecond('throughput_tpuv2_mean'),
        tpuv3: perSecond('throughput_tpuv3_mean'),
        zcu102: milliseconds('latency_zcu102_mean'),
        vck190: milliseconds('latency_vck190_mean'),
      }),
    existsSync(cells) &&
      readTable(cells, 'cifar10_test_200ep', {
        '1080ti-b1': milliseconds('help_1080ti_1_ms'),
        '2080ti-b32': milliseconds('help_2080ti_32_ms'),
        titan_rtx: milliseconds('help_titan_rtx_256_ms'),
        raspi4: milliseconds('help_raspi4_ms'),
        gold6226: milliseconds('help_gold_6226_ms'),
        fpga: milliseconds('help_fpga_ms'),
      }),
  ];
  return found.filter((table) => table !== false);
}

/** Logarithm of each device's own reward, accuracy × latency^−.07: differences are relative losses. */
function rewardsOf({ accuracy, latencies }: DeviceMeasures, exponent = -0.07): number[] {
  return latencies.map((ms) => Math.log(accuracy * productFactor(ms, 1, exponent, exponent)));
}

const bestIndex = (values: readonly number[]): number => values.indexOf(values.reduce((a, b) => Math.max(a, b)));

/** Ways to choose one network for the devices that `networks` list. */
const rules: Readonly<Record<string, (networks: readonly DeviceMeasures[]) => number>> = {
  // Every device's factor in full, as rewards were combined before: latency weighs more with each device.
  'product of all': (networks) =>
    bestIndex(
      networks.map(
        ({ accuracy, latencies }) => Math.log(accuracy) - 0.07 * latencies.reduce((sum, ms) => sum + Math.log(ms), 0),
      ),
    ),
  'mean reward': (networks) => bestIndex(networks.map((one) => rewardsOf(one).reduce((sum, value) => sum + value, 0))),
  'least worst regret': (networks) => byWorstRegret(networks.map((one) => rewardsOf(one)))[0] ?? 0,
  'first device alone': (networks) => bestIndex(networks.map((one) => rewardsOf(one)[0] ?? NaN)),
};

/** Median, and 90th percentile. */
function text(values: readonly number[]): string {
  if (values.length === 0) return '–';
  const sorted = Float64Array.from(values).sort();
  return `${median(values).toFixed(2)} (${quantile(sorted, 0.9).toFixed(2)})`;
}

/** Searches of `trials` random networks: each rule's choice on `chosen` devices, and what every device loses by it. */
function compareRules({ networks, devices }: Table, k: number, trials: number, draws: number): void {
  const losses = Object.keys(rules).map(() => ({
    worst: [] as number[],
    mean: [] as number[],
    unseen: [] as number[],
    points: [] as number[],
  }));
  for (let draw = 0; draw < draws; draw++) {
    const random = new Random(draw).child('devices', k, trials);
    const pool = [...random.child('networks').permutation(networks.length)]
      .slice(0, trials)
      .flatMap((index) => networks[index] ?? []);
    const order = [...random.child('order').permutation(devices.length)];
    const [seen, unseen] = [order.slice(0, k), order.slice(k)];
    const restricted = pool.map(({ accuracy, latencies }) => ({
      accuracy,
      latencies: seen.map((device) => latencies[device] ?? NaN),
    }));
    const rewards = pool.map((one) => rewardsOf(one));
    const best = devices.map((_, device) =>
      rewards.reduce((a, row) => Math.max(a, row[device] ?? -Infinity), -Infinity),
    );
    const points = accuracyRegrets(pool);
    for (const [index, rule] of Object.values(rules).entries()) {
      const choice = rule(restricted);
      const lost = (device: number): number =>
        100 * (1 - Math.exp((rewards[choice]?.[device] ?? NaN) - (best[device] ?? NaN)));
      const told = losses[index];
      if (!told) continue;
      told.worst.push(Math.max(...seen.map(lost)));
      told.mean.push(seen.map(lost).reduce((a, b) => a + b, 0) / k);
      if (unseen.length > 0) told.unseen.push(Math.max(...unseen.map(lost)));
      told.points.push(Math.max(...seen.map((device) => points[choice]?.[device] ?? NaN)));
    }
  }
  console.log(`  ${k} devices, ${trials} networks tried, ${draws} draws: median (90th percentile)`);
  for (const [index, name] of Object.keys(rules).entries()) {
    const { worst, mean, unseen, points } = losses[index] ?? { worst: [], mean: [], unseen: [], points: [] };
    console.log(
      `    ${name.padEnd(20)} worst device loses ${text(worst)} % of its best reward, mean ${text(mean)}; others ${text(unseen)}; ${text(points)} points off its front`,
    );
  }
}

function describeTable(table: Table): void {
  const { name, devices, networks } = table;
  console.log(`${name}: ${networks.length} networks`);
  console.log(
    '  front of the row on the device of the column: overlap, points lost at equal latency (worst), times as long',
  );
  console.log(`  ${''.padEnd(11)}${devices.map((device) => device.padEnd(24)).join('')}`);
  for (const [from, row] of deviceTransfer(networks).entries())
    console.log(
      `  ${(devices[from] ?? '').padEnd(11)}${row
        .map(({ overlap, meanLoss, worstLoss, slowdown }) =>
          `${overlap.toFixed(2)} ${meanLoss.toFixed(2)} (${worstLoss.toFixed(1)}) ×${slowdown.toFixed(2)}`.padEnd(24),
        )
        .join('')}`,
    );
  const scales = devices.map((_, device) => median(networks.map(({ latencies }) => latencies[device] ?? NaN)));
  const front = leastRegretFront(networks, scales);
  const worst = front.map(({ regrets }) => Math.max(...regrets));
  console.log(
    `  least-regret front, budgets in medians: ${front.length} networks, worst regret ${median(worst).toFixed(2)} points (up to ${Math.max(...worst).toFixed(2)})`,
  );
}

for (const table of tablesOf(process.argv[2] ?? '../shared/data')) {
  describeTable(table);
  for (const k of [2, 3, table.devices.length]) for (const trials of [16, 200]) compareRules(table, k, trials, 200);
}
