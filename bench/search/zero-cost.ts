// Zero-cost proxies of NAS-Bench-201's networks beside their accuracies: `npx tsx bench/search/zero-cost.ts <folder>`. See bench/README.md.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { parseCsv } from '../../core/csv.ts';
import { kendall, spearman } from '../../core/rank-association.ts';
import { Random } from '../../core/random.ts';
import { noAugmentation } from '../../data/augment.ts';
import { loadDataset } from '../../data/load.ts';
import { GraphBuilder } from '../../models/graph-builder.ts';
import type { Graph } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { imageTask, targetInput } from '../../training/image-task.ts';
import { activationCodes } from '../../training/zero-cost/activation-codes.ts';
import { gradientNorms } from '../../training/zero-cost/gradient-norm.ts';
import { logSynflow } from '../../training/zero-cost/synflow.ts';

const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    networks: { type: 'string', default: '50' },
    batch: { type: 'string', default: '64' },
    /** Cells a stage; the benchmark's networks have 5. */
    cells: { type: 'string', default: '5' },
    seed: { type: 'string', default: '0' },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error(
    'usage: npx tsx bench/search/zero-cost.ts <folder of the tables> [--networks 50] [--batch 64] [--cells 5] [--seed 0]',
  );
  process.exit(2);
}

type Cell = readonly (readonly { readonly operator: string; readonly from: number }[])[];

/** `|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|…|`: what each of the nodes 1 to 3 sums up. */
function parseCell(text: string): Cell {
  return text.split('+').map((node) =>
    node
      .split('|')
      .filter((edge) => edge !== '')
      .map((edge) => {
        const [operator = '', from] = edge.split('~');
        return { operator, from: Number(from) };
      }),
  );
}

/** ReLU, convolution, batch norm, as the benchmark orders them. */
function preActivated(
  graph: GraphBuilder,
  name: string,
  x: string,
  kernel: number,
  stride: number,
  width: number,
): string {
  return graph.convNorm(name, graph.elementWise('relu', `${name}.relu`, x), { kernel, stride, width });
}

/** @returns nothing where no edge leads on: such a cell is 0. */
function addCell(graph: GraphBuilder, name: string, input: string, cell: Cell, width: number): string | undefined {
  const nodes: (string | undefined)[] = [input];
  cell.forEach((edges, index) => {
    const terms = edges.flatMap(({ operator, from }): string[] => {
      const x = nodes[from];
      const edge = `${name}.${from}-${index + 1}`;
      if (x === undefined || operator === 'none') return [];
      if (operator === 'skip_connect') return [x];
      if (operator === 'avg_pool_3x3') return [graph.pool('average-pool', edge, x, 3, 1)];
      return [preActivated(graph, edge, x, operator === 'nor_conv_3x3' ? 3 : 1, 1, width)];
    });
    const sum = terms
      .slice(1)
      .reduce<string | undefined>(
        (a, b, term) => graph.binary('add', `${name}.${index + 1}.sum${term}`, a as string, b),
        terms[0],
      );
    nodes.push(sum);
  });
  return nodes.at(-1);
}

/** The benchmark's network around a cell: three stages of 16, 32 and 64 channels, a residual block before the second and third. */
function network(cell: Cell, batch: number, cells: number): Graph | undefined {
  const graph = new GraphBuilder(batch, { epsilon: 1e-5 });
  let x: string | undefined = graph.convNorm('stem', graph.input('image', 3, 32), { kernel: 3, stride: 1, width: 16 });
  for (const [stage, width] of [16, 32, 64].entries()) {
    if (stage > 0) {
      const name = `reduction${stage}`;
      const first = preActivated(graph, `${name}.a`, x, 3, 2, width);
      const main = preActivated(graph, `${name}.b`, first, 3, 1, width);
      const pooled = graph.pool('average-pool', `${name}.pool`, x, 2, 2);
      x = graph.binary('add', name, main, graph.conv(`${name}.shortcut`, pooled, { kernel: 1, stride: 1, width }));
    }
    for (let index = 0; index < cells; index++) {
      x = addCell(graph, `stage${stage}.cell${index}`, x, cell, width);
      if (x === undefined) return undefined;
    }
  }
  const last = graph.elementWise('relu', 'last.relu', graph.convNorm('last', x, { kernel: 1, stride: 1, width: 64 }));
  return withoutDeadEnds(
    graph.finish([graph.dense('logits', graph.flatten('flat', graph.globalAverage('pooled', last)), 10)]),
  );
}

/** Nodes of a cell that nothing reads do nothing. */
function withoutDeadEnds(graph: Graph): Graph {
  const read = new Set(graph.outputs);
  const nodes = graph.nodes.toReversed().filter((node) => {
    if (!node.outputs.some((output) => read.has(output))) return false;
    for (const input of node.inputs) read.add(input);
    return true;
  });
  return { ...graph, nodes: nodes.toReversed(), parameters: graph.parameters.filter(({ name }) => read.has(name)) };
}

const batch = Number(options.batch);
const cells = Number(options.cells);
const cpu = onnxRuntimeAccelerator('cpu');
const path = join(folder, 'nasbench201-cifar10.csv');
const { rows } = parseCsv(readFileSync(path, 'utf8'), path);
const dataset = await loadDataset(
  { format: 'cifar10', path: join(folder, 'images', 'cifar10-20k-a.bin.gz'), holdout: batch, testShare: 0.1, seed: 0 },
  { baseDirectory: '.' },
);
const task = imageTask(dataset, { resolution: 32, scoredSplit: 'holdout', augmentation: noAugmentation });
const [shown] = [...task.scoringBatches(batch)];
if (!shown) throw new Error('expected a batch of pictures, got none');

const random = new Random(options.seed).child('cells');
const order = random.permutation(rows.length);
const scored: Record<'accuracy' | 'gradientNorm' | 'logSynflow' | 'naswot' | 'params' | 'macs', number>[] = [];
const startMs = performance.now();
for (const index of order) {
  if (scored.length >= Number(options.networks)) break;
  const row = rows[index]?.cells ?? {};
  const cell = parseCell(row['arch'] ?? '');
  const [graph, single] = [network(cell, batch, cells), network(cell, 1, cells)];
  if (!graph || !single) continue;
  const weights = initialWeights(graph, new Random(options.seed).child('weights'));
  const start = { weights, batch: shown };
  const loss = { kind: 'softmax-cross-entropy' as const, labelSmoothing: 0, targets: targetInput };
  const [gradientNorm = 0] = await gradientNorms(cpu, graph, loss, [start], { threads: 1 });
  const [synflow = 0] = await logSynflow(cpu, single, [weights], { threads: 1 });
  const [naswot = 0] = await activationCodes(cpu, graph, [start], { threads: 1 });
  scored.push({
    accuracy: Number(row['cifar10_test_200ep']),
    gradientNorm,
    logSynflow: synflow,
    naswot,
    params: Number(row['params_M_cifar10']),
    macs: Number(row['flops_M_cifar10']),
  });
}
console.log(
  `${scored.length} random cells, ${cells} a stage, batch ${batch}, ${((performance.now() - startMs) / 1e3 / scored.length).toFixed(1)} s a network`,
);
for (const name of ['gradientNorm', 'logSynflow', 'naswot', 'params', 'macs'] as const) {
  const pairs = scored.map((one) => ({ x: one[name], y: one.accuracy }));
  const text = [kendall(pairs), spearman(pairs)].map((found) =>
    found ? `${found.value.toFixed(2)} (${found.interval?.lo.toFixed(2)} to ${found.interval?.hi.toFixed(2)})` : '–',
  );
  console.log(`${name.padEnd(14)} Kendall ${text[0]}  Spearman ${text[1]}`);
}
