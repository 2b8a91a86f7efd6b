// How latency answers to depth, width and resolution in a table that others measured, and what of it a few designed
// points tell: `npx tsx bench/latency/elasticity.ts <folder>`. See bench/README.md.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../core/random.ts';
import { programLatency } from '../../latency/roofline.ts';
import { median } from '../../core/quantile.ts';
import { buildNetwork } from '../../models/build.ts';
import { onnxGraphOf, readKernels } from '../../models/kernels.ts';
import { axes, fitElasticity, type LatencyObservation } from '../../scaling/elasticity.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import type { Row } from './networks.ts';
import { type Column, readTables, type Table } from './tables.ts';

/** Points of one draw, and how many draws say how often their intervals hold the exponents of the whole table. */
const [points, draws] = [24, 200] as const;
/** Subnets that profiles predict. */
const predicted = 60;

const folder = process.argv[2];
const needed = ['ofa-latency-half.csv', 'accel-nasbench-half.csv'];
const missing = needed.filter((file) => !folder || !existsSync(join(folder, file)));
if (!folder || missing.length > 0) {
  console.log(
    `SKIPPED bench/latency/elasticity.ts: expected a folder with ${needed.join(' and ')}, got ${folder ?? 'none'}`,
  );
  process.exit(0);
}

/**
 * Realised depth, width and resolution of a Once-for-All subnet: blocks, mean expansion of the blocks it keeps, and the
 * input side, relative to a network in the middle of the table.
 */
function multipliersOf(row: Row): Multipliers {
  const depths = (row['d'] ?? '').split('-').map(Number);
  const expansions = (row['e'] ?? '').split('-').map(Number);
  const kept = depths.flatMap((depth, stage) => expansions.slice(4 * stage, 4 * stage + depth));
  return {
    depth: kept.length / 15,
    width: kept.reduce((sum, expansion) => sum + expansion, 0) / kept.length / 4.5,
    resolution: Number(row['r']) / 176,
  };
}

function observations(table: Table, column: Column): LatencyObservation[] {
  return table.rows.flatMap((row) => {
    const latencyMs = column.measuredMs(row);
    return latencyMs === undefined ? [] : [{ multipliers: multipliersOf(row), latencyMs }];
  });
}

function drawn<T>(from: readonly T[], count: number, random: Random): T[] {
  const rest = [...from];
  return Array.from({ length: count }, () => rest.splice(random.integer(rest.length), 1)[0] as T);
}

const table = readTables(folder)[0] as Table;
console.log(
  '| GPU | batch | depth (95 % interval) | width | resolution | R² | spread | bends | 24 points: median half width d, w, r | hold the table’s |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|');
for (const column of table.columns.filter(({ batch }) => batch !== 32)) {
  const all = observations(table, column);
  const whole = fitElasticity(all);
  const cells = axes.map((axis) => {
    const { value, lo, hi } = whole.exponents[axis];
    return `${value.toFixed(2)} (${lo.toFixed(2)} to ${hi.toFixed(2)})`;
  });
  const few = Array.from({ length: draws }, (_, draw) =>
    fitElasticity(drawn(all, points, new Random('elasticity').child(column.name, column.batch, draw))),
  );
  const halves = axes.map((axis) => median(few.map(({ exponents }) => (exponents[axis].hi - exponents[axis].lo) / 2)));
  const held = axes.map(
    (axis) =>
      few.filter(({ exponents: { [axis]: one } }) => {
        const truth = whole.exponents[axis].value;
        return one.lo <= truth && truth <= one.hi;
      }).length / draws,
  );
  const bends = axes
    .filter((axis) => whole.curvature[axis]?.bends)
    .map((axis) => {
      const { from, to } = whole.curvature[axis] as NonNullable<(typeof whole.curvature)['depth']>;
      return `${axis} ${from.exponent.toFixed(1)} → ${to.exponent.toFixed(1)}`;
    });
  console.log(
    `| ${column.name} | ${column.batch} | ${cells.join(' | ')} | ${whole.rSquared.toFixed(2)} | ${(100 * whole.residualSd).toFixed(0)} % | ${bends.join(', ') || 'none'} | ${halves.map((half) => half.toFixed(2)).join(', ')} | ${held.map((share) => `${Math.round(100 * share)} %`).join(', ')} |`,
  );
}

console.log(
  `\nThe same from ${predicted} subnets whose latency a profile predicts (frameworks that run every operator by itself):`,
);
console.log('| profile | batch | depth | width | resolution |\n|---|---|---|---|---|');
const sample = drawn(table.rows, predicted, new Random('elasticity'));
const graphs = sample.map((row) => ({
  multipliers: multipliersOf(row),
  graph: onnxGraphOf(buildNetwork(table.specOf(row), 'batch')),
}));
for (const { name, batch, profile, precision } of table.columns.filter(
  (column) => column.name === 'v100' && column.batch !== 32,
)) {
  const { exponents } = fitElasticity(
    graphs.map(({ multipliers, graph }) => ({
      multipliers,
      latencyMs: programLatency(readKernels(graph, profile.fusion, { batch }, 'subnet'), profile, precision).ms,
    })),
  );
  console.log(`| ${name} | ${batch} | ${axes.map((axis) => exponents[axis].value.toFixed(2)).join(' | ')} |`);
}
