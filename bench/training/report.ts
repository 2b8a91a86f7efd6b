import { type Comparison, fastest, type Side, type TrainerComparison } from './compare.ts';
import { memoryFormats } from './contenders.ts';
import { geometricMean, type Turns } from './interleave.ts';
import type { Feeding, Opening, CoreSplit } from './overheads.ts';
import type { Profile, ProfileRow } from './profile.ts';

// Results in, Markdown out.

/** All of one run. */
export interface Results {
  readonly schema: 1;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: { readonly cpu: string; readonly cores: number };
  readonly turns: Turns;
  readonly comparisons: readonly Comparison[];
  readonly splits: readonly CoreSplit[];
  /** The same of work that is bound by the machine. */
  readonly limitSplits: readonly CoreSplit[];
  readonly openings: readonly Opening[];
  readonly feedings: readonly Feeding[];
  readonly besideTensorFlow: readonly TrainerComparison[];
}

/** A run for people. */
export function report({ date, machine, turns, ...results }: Results): string {
  const { comparisons, splits, limitSplits, openings, feedings, besideTensorFlow } = results;
  const sides = comparisons.flatMap(({ ours, theirs }) => [...ours, ...theirs]);
  const runtimes = new Set(sides.map(({ runtime }) => runtime));
  return [
    `# Training, ${date.slice(0, 10)}`,
    `${[`${machine.cpu}, ${machine.cores} cores`, ...runtimes].join('; ')}. ${turns.rounds} rounds of ${turns.steps} steps.`,
    ...section(comparisons, comparisonTable(comparisons), conditions(comparisons)),
    ...section(splits, '## Two trainers or two threads', splitTable(splits, limitSplits)),
    ...section(openings, '## From spec to session', openingTable(openings)),
    ...section(feedings, '## Feeding data', feedingTable(feedings)),
    ...section(besideTensorFlow, '## Beside the TensorFlow.js trainer', tensorFlowTable(besideTensorFlow)),
  ].join('\n\n');
}

/** What is said of rows, where there are any. */
function section(rows: readonly unknown[], ...lines: readonly string[]): readonly string[] {
  return rows.length === 0 ? [] : lines;
}

/** A Markdown table. @param rows cells; the first row is the header. */
function table(...rows: readonly (readonly string[])[]): string {
  const [header = [], ...body] = rows;
  return [header, header.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const ms = (value: number): string => (value < 10 ? value.toFixed(2) : value.toFixed(1));
const times = (value: number): string => `${value.toFixed(2)}×`;
const time = (side: Side | undefined): string => (side ? ms(side.stepMs) : '–');
const share = (part: number, whole: number): string => `${ms(part)} (${((100 * part) / whole).toFixed(1)} %)`;
const rate = (perS: number): string => perS.toFixed(0);
const splitRatio = ({ twoOfOne, oneOfTwo }: CoreSplit): number => twoOfOne / oneOfTwo;
const megabytes = (bytes: number | undefined): string => (bytes === undefined ? '–' : (bytes / 1e6).toFixed(0));

/** Step times, ratios and memory of every network, and the geometric mean of the ratios. */
function comparisonTable(comparisons: readonly Comparison[]): string {
  const lowerings = comparisons[0]?.ours.map(({ name }) => name) ?? [];
  const header = [
    'network',
    'threads',
    ...lowerings.map((name) => `ours, ${name} ms`),
    ...memoryFormats.map((name) => `PyTorch ${name} ms`),
    'best with symmetric pads ms',
    'PyTorch best ÷ ours (rounds)',
    'same network',
    'CPU time',
    'ours MB (at start)',
    'PyTorch MB (at start)',
    'TensorFlow.js ms (scaled)',
    'other load, cores',
  ];
  const rows = comparisons.map((comparison) => {
    const { network, threads, ours, theirs, speedup, tensorflow, load } = comparison;
    const find = (name: string) => theirs.find((side) => side.name === name);
    const symmetric = fastest(theirs.filter(({ exact }) => !exact));
    return [
      network,
      String(threads),
      ...ours.map(time),
      ...memoryFormats.map((name) => time(find(name))),
      time(symmetric),
      speedup ? `**${times(speedup.ratio)}** (${speedup.range.map((value) => value.toFixed(2)).join('–')})` : '–',
      speedup ? times(speedup.exactRatio) : '–',
      speedup ? times(speedup.cpuRatio) : '–',
      memory(ours.find(({ name }) => name === 'chosen')),
      memory(leanest(theirs)),
      tensorflow ? tensorflow.stepMs.toFixed(0) : '–',
      load ? load.others.toFixed(2) : '–',
    ];
  });
  return [table(header, ...rows), ...summary(comparisons)].join('\n\n');
}

/** Geometric means of the ratios, by threads and of all; nothing without PyTorch. */
function summary(comparisons: readonly Comparison[]): string[] {
  const compared = comparisons.flatMap(({ threads, speedup }) => (speedup ? [{ threads, ...speedup }] : []));
  if (compared.length === 0) return [];
  const lines = (['ratio', 'exactRatio'] as const).map((key) => {
    const means = [...new Set(compared.map(({ threads }) => threads))].map((count) => {
      const ratios = compared.filter(({ threads }) => threads === count).map((speedup) => speedup[key]);
      return `${times(geometricMean(ratios))} with ${count} thread${count === 1 ? '' : 's'}`;
    });
    const all = compared.map((speedup) => speedup[key]);
    const what = key === 'ratio' ? "PyTorch's fastest variant" : 'PyTorch on the very same network';
    return (
      `Geometric mean over ${what}: **${times(geometricMean(all))}** (${means.join(', ')}), ` +
      `smallest ${times(Math.min(...all))}.`
    );
  });
  return [lines.join(' ')];
}

const memory = (side: Side | undefined): string =>
  side ? `${megabytes(side.peakRssBytes)} (${megabytes(side.startRssBytes)})` : '–';

/** PyTorch's variant with the smallest peak: the one to be measured against. */
function leanest(sides: readonly Side[]): Side | undefined {
  return sides.toSorted((a, b) => (a.peakRssBytes ?? 0) - (b.peakRssBytes ?? 0))[0];
}

/** How well the networks agree, and how undisturbed they were. */
function conditions(comparisons: readonly Comparison[]): string {
  const differences = (step: 0 | 1): number[] =>
    comparisons.flatMap(({ ours, theirs }) => {
      const reference = ours[0]?.losses[step] as number;
      const exact = [...ours, ...theirs].filter((side) => side.exact);
      return exact.map(({ losses }) => Math.abs(losses[step] / reference - 1));
    });
  const waiting = comparisons.map(({ load }) => load?.waiting ?? Number.NaN);
  const leftOut = comparisons.reduce((sum, comparison) => sum + comparison.leftOut, 0);
  return (
    `Losses agree within ${Math.max(...differences(0)).toExponential(1)} before the first update and ` +
    `${Math.max(...differences(1)).toExponential(1)} after it. ${leftOut} rounds were repeated because the machine was ` +
    `busy; contenders waiting for their turn kept at most ${Math.max(...waiting).toFixed(3)} cores busy.`
  );
}

/**
 * Two programs of one thread beside one of two. Their ratio is what sharing work costs a program of two threads,
 * times what two programs cost each other.
 */
function splitTable(splits: readonly CoreSplit[], limitSplits: readonly CoreSplit[]): string {
  const row = (split: CoreSplit): string[] => [
    split.name,
    rate(split.oneOfOne),
    rate(split.twoOfOne),
    rate(split.oneOfTwo),
    `**${times(splitRatio(split))}**`,
    times((2 * split.oneOfOne) / split.oneOfTwo),
    times(split.twoOfOne / (2 * split.oneOfOne)),
  ];
  const header = [
    'one thread alone',
    'two of one thread',
    'one of two threads',
    'ratio',
    'undisturbed',
    'disturbed by',
  ];
  return [
    table(['network, images/s', ...header], ...splits.map(row)),
    `Geometric mean ${times(geometricMean(splits.map(splitRatio)))}.`,
    table(['limit, GFLOP/s or GB/s', ...header], ...limitSplits.map(row)),
  ].join('\n\n');
}

/** From spec to session. */
function openingTable(openings: readonly Opening[]): string {
  return table(
    ['network', 'lowering', 'graph ms', 'session ms', 'together ms', 'choosing, once a study ms'],
    ...openings.map(({ network, lowering, buildMs, openMs, chooseMs }) => [
      network,
      lowering,
      ms(buildMs),
      ms(openMs),
      ms(buildMs + openMs),
      ms(chooseMs),
    ]),
  );
}

/** Time to make a batch beside the fastest step that used it. */
function feedingTable(rows: readonly Feeding[]): string {
  return table(
    ['network', 'step ms', 'batch ms: flips and shifts', 'batch ms: crops, RandAugment, cutout, mixup'],
    ...rows.map(({ network, batchMs: { usual, everything }, stepMs }) => [
      network,
      ms(stepMs),
      share(usual, stepMs),
      share(everything, stepMs),
    ]),
  );
}

/** Both trainers on the same network, weights and batch. */
function tensorFlowTable(rows: readonly TrainerComparison[]): string {
  return table(
    [
      'network',
      'batch',
      'threads',
      'TensorFlow.js',
      'ONNX ms',
      'TensorFlow.js ms',
      'ratio (rounds)',
      'other load, cores',
    ],
    ...rows.map(({ network, batchSize, threads, onnx, tensorflow, speedup, load }) => [
      network,
      String(batchSize),
      String(threads),
      tensorflow.runtime,
      time(onnx),
      time(tensorflow),
      `**${times(speedup.ratio)}** (${speedup.range.map((value) => value.toFixed(1)).join('–')})`,
      load ? load.others.toFixed(2) : '–',
    ]),
  );
}

/** A step by kind of work; `GB/s` counts every input and output once, as if nothing stayed in a cache. */
export function profileTables({ byTrainingOperator, byOnnxOperator, stepMs, attainable }: Profile): string {
  const shown = (rows: readonly ProfileRow[], what: string) =>
    table(
      [what, 'nodes', 'ms', 'share', 'GB/s', 'GFLOP/s'],
      ...rows
        .filter((row) => row.ms >= stepMs / 200)
        .map((row) => [
          row.kind,
          row.nodes.toFixed(0),
          ms(row.ms),
          `${((100 * row.ms) / stepMs).toFixed(1)} %`,
          (row.bytes / row.ms / 1e6).toFixed(1),
          row.flops === undefined ? '–' : (row.flops / row.ms / 1e6).toFixed(0),
        ]),
    );
  return [
    `A step of ${ms(stepMs)} ms, every node at its fastest; rows under .5 % left out. Attainable here: ` +
      `${(attainable.flopsPerS / 1e9).toFixed(0)} GFLOP/s (a large matrix product), ` +
      `${(attainable.bytesPerS / 1e9).toFixed(1)} GB/s (sums of large tensors).`,
    shown(byTrainingOperator, 'operator of the training graph'),
    shown(byOnnxOperator, 'operator of the runtime'),
  ].join('\n\n');
}
