import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCsv } from '../../core/csv.ts';
import type { Choices } from '../../core/trial.ts';
import { quantile } from '../../core/quantile.ts';
import { cellIdentity, cellText, nasBench201 } from '../../search/nas-bench-201.ts';
import type { Objective } from '../../search/objectives.ts';
import { choicesKey } from '../../search/history.ts';
import { Members } from '../../search/members.ts';
import { hypervolume } from '../../search/pareto.ts';
import { decisions, type SpaceNode } from '../../search/space.ts';
import { readTable, tableSchema } from '../../search/table.ts';

/** Error in per cent against the logarithm of a latency in milliseconds: less is better in both. */
export type Losses = readonly [error: number, logLatency: number];

/** A search whose every answer is known. */
export interface Task {
  readonly table: string;
  readonly device: string;
  readonly space: SpaceNode;
  /** How many points differ in their answer. */
  readonly networks: number;
  readonly identity: (choices: Choices) => string;
  readonly lossesOf: (choices: Choices) => Losses;
  /** The only points that are in the table, where not all are: everybody's proposals become the nearest new one. */
  readonly members?: Members;
  /** The table's median error and the 99th percentile of its log latency. */
  readonly reference: Losses;
  /** Hypervolume of the table's own front. */
  readonly best: number;
}

/** The losses' names among metrics, and how ours are told of them. */
export const objectives: readonly Objective[] = [
  { metric: 'error', direction: 'min' },
  { metric: 'latencyMs', direction: 'min', scale: 'log' },
];

const nasBenchFile = 'nasbench201-cifar10.csv';
const accelFile = 'accel-nasbench-half.csv';

/** Whether a folder holds the tables. */
export function hasTables(folder: string): boolean {
  return [nasBenchFile, accelFile].every((file) => existsSync(join(folder, file)));
}

/**
 * NAS-Bench-201 on CIFAR-10, test accuracy after 200 epochs against each device's latency. Cells of one network are
 * averaged: what is left between them is noise of training and measuring.
 * @param averaged false keeps the table as it is, a cell a point.
 */
export function nasBench201Tasks(folder: string, averaged = true): readonly Task[] {
  const path = join(folder, nasBenchFile);
  const { columns, rows: lines } = parseCsv(readFileSync(path, 'utf8'), path);
  const rows = lines.map(({ cells }) => cells);
  return columns
    .filter((column) => column.endsWith('_ms'))
    .map((column) => {
      const groups = new Map<string, { errors: number[]; latencies: number[] }>();
      const groupOf = new Map<string, string>();
      for (const row of rows) {
        const cell = row['arch'] ?? '';
        const name = averaged ? (row['unique'] ?? '') : cell;
        const group = groups.get(name) ?? { errors: [], latencies: [] };
        group.errors.push(100 - Number(row['cifar10_test_200ep']));
        group.latencies.push(Number(row[column]));
        groups.set(name, group);
        groupOf.set(cell, name);
      }
      const losses = new Map(
        [...groups].map(([name, { errors, latencies }]) => [name, [mean(errors), Math.log(mean(latencies))] as const]),
      );
      return {
        table: averaged ? 'nas-bench-201' : 'nas-bench-201 (cells)',
        device: column.replace(/_ms$/, ''),
        space: nasBench201,
        networks: groups.size,
        identity: averaged ? cellIdentity : cellText,
        lossesOf: (choices) => found(losses.get(groupOf.get(cellText(choices)) ?? ''), cellText(choices)),
        ...scored([...losses.values()]),
      };
    });
}

const accelLatencies = {
  a100: { column: 'throughput_a100_mean', scale: 1e3, inverse: true },
  3090: { column: 'throughput_3090_mean', scale: 1e3, inverse: true },
  tpuv2: { column: 'throughput_tpuv2_mean', scale: 1e3, inverse: true },
  tpuv3: { column: 'throughput_tpuv3_mean', scale: 1e3, inverse: true },
  zcu102: 'latency_zcu102_mean',
  vck190: 'latency_vck190_mean',
} as const;

/**
 * Accel-NASBench: top-1 error on ImageNet against latency, through the table of a study (search/table.ts). It holds 2,567 of the
 * space's 7.8e10 networks, so what is searched is the table and not the space: a proposal becomes the nearest network that is new.
 * Its TPU columns lack some networks, which are left out, and are noisy: see bench/README.md.
 */
export function accelNasBenchTasks(folder: string): readonly Task[] {
  const file = join(folder, accelFile);
  const { columns } = parseCsv(readFileSync(file, 'utf8'), file);
  const metrics = { error: 'val_top1', ...accelLatencies };
  const key = columns.filter((column) => column.startsWith('block'));
  const config = tableSchema.parse({ file, key, metrics, absent: 'nearest', repeated: 'mean' });
  const { space, rowOf, members } = readTable(config, 'table', folder);
  return Object.keys(accelLatencies).map((device) => {
    const known = new Map(
      (members?.list ?? []).flatMap((choices) => {
        const { error: accuracy = NaN, [device]: latencyMs } = rowOf(choices)?.metrics ?? {};
        return latencyMs === undefined ? [] : [[choices, [100 - accuracy, Math.log(latencyMs)] as const] as const];
      }),
    );
    const own = new Members(space, [...known.keys()]);
    return {
      table: 'accel-nasbench',
      device,
      space,
      networks: known.size,
      identity: choicesKey,
      members: own,
      lossesOf: (choices) => found(known.get(own.nearest(choices)), device),
      ...scored([...known.values()]),
    };
  });
}

function scored(losses: readonly Losses[]): Pick<Task, 'reference' | 'best'> {
  const sorted = (objective: 0 | 1) => Float64Array.from(losses, (point) => point[objective]).sort();
  const reference: Losses = [quantile(sorted(0), 0.5), quantile(sorted(1), 0.99)];
  return { reference, best: hypervolume(losses, ['min', 'min'], reference) };
}

/** Number of options of each decision, in walking order: how a task is told to another program. */
export function optionCounts({ space }: Task): readonly number[] {
  return decisions(space).map(({ values }) => values.length);
}

function found(losses: Losses | undefined, what: string): Losses {
  if (losses === undefined) throw new Error(`expected a row of the table for ${what}, got none`);
  return losses;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
