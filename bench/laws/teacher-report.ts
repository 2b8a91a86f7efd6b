import { polynomialFit } from '../../core/least-squares.ts';
import { quantile } from '../../core/quantile.ts';
import { Random } from '../../core/random.ts';
import { informationBound } from '../../scaling/laws/information-bound.ts';
import { fitIsoFlop, type IsoFlopOptimum } from '../../scaling/laws/iso-flop.ts';
import { thetaOf } from '../../scaling/laws/law.ts';
import { type PowerLaw, powerLawThrough } from '../../scaling/laws/power-law.ts';
import { learnerParams } from './learner.ts';
import type { LearnerRow } from './teacher-runs.ts';

/** One width on one amount of data: the excess by learning rate and seed, in nats. */
interface Cell {
  readonly width: number;
  readonly examples: number;
  readonly byRate: readonly (readonly number[])[];
}

/** What was trained on one kind of teacher, of the seeds that were trained in full. */
export interface Trained {
  readonly dimension: number;
  readonly complexity: number;
  readonly seeds: number;
  readonly cells: readonly Cell[];
}

/** Where the excess is least for each budget, and the power law through these points. Compute is N·T, a sixth of the FLOPs. */
export interface Allocation {
  readonly law: PowerLaw;
  readonly optima: readonly IsoFlopOptimum[];
  readonly warnings: readonly string[];
}

/** Rows by the teacher's complexity and dimension, ascending; a seed that was interrupted is left out. */
export function byTeacher(rows: readonly LearnerRow[]): readonly Trained[] {
  return groupedBy(rows, ({ dimension, complexity }) => `${dimension}/${complexity}`)
    .map((ofTeacher) => {
      const bySeed = groupedBy(ofTeacher, ({ seed }) => seed);
      const most = Math.max(...bySeed.map((runs) => runs.length));
      const whole = bySeed.filter((runs) => runs.length === most);
      const cells = groupedBy(whole.flat(), ({ width, examples }) => `${width}/${examples}`).map(cellOf);
      const { dimension, complexity } = ofTeacher[0] as LearnerRow;
      return { dimension, complexity, seeds: whole.length, cells };
    })
    .toSorted((a, b) => a.complexity - b.complexity || a.dimension - b.dimension);
}

function groupedBy<T>(items: readonly T[], keyOf: (item: T) => string | number): readonly (readonly T[])[] {
  const groups = new Map<string | number, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return [...groups.values()];
}

function cellOf(runs: readonly LearnerRow[]): Cell {
  const { width, examples } = runs[0] as LearnerRow;
  const byRate = groupedBy(runs, ({ learningRate }) => learningRate).map((ofRate) =>
    ofRate.toSorted((a, b) => a.seed - b.seed).map(({ excess }) => excess),
  );
  return { width, examples, byRate };
}

/** Expected excess at the best learning rate. @param seeds places among a cell's seeds, repeated when resampled. */
function expectedExcess({ byRate }: Cell, seeds: readonly number[]): number {
  const means = byRate.map((values) => seeds.reduce((sum, seed) => sum + (values[seed] as number), 0) / seeds.length);
  return Math.min(...means);
}

/** A parabola is drawn through widths this many times smaller or larger than the best one trained, and not farther. */
const window = 4;

/**
 * The best allocation for every budget and what it scales like: approach 2 of Hoffmann et al. (2022) on the logarithm of the expected excess.
 * @throws {RangeError} when fewer than two budgets have their least excess among the widths trained.
 */
export function allocationOf({ dimension, seeds, cells }: Trained, sample?: readonly number[]): Allocation {
  const places = sample ?? Array.from({ length: seeds }, (_, place) => place);
  const runs = cells.map((cell) => {
    const params = learnerParams(dimension, cell.width);
    const loss = Math.log(expectedExcess(cell, places));
    return { ...cell, params, data: cell.examples, flops: params * cell.examples, loss };
  });
  const near = groupedBy(runs, ({ flops }) => flops).flatMap((budget) => {
    const best = budget.reduce((least, run) => (run.loss < least.loss ? run : least));
    return budget.filter(({ width }) => width <= window * best.width && width * window >= best.width);
  });
  return fitIsoFlop(near);
}

/** The bound's own allocation at the compute of each optimum. */
function boundAllocation({ dimension, complexity }: Trained, { optima }: Allocation): PowerLaw {
  const values = { modelConstant: 3, dataConstant: 1, complexity, inputDimension: dimension };
  const theta = thetaOf(informationBound, values);
  return powerLawThrough(optima.map(({ flops }) => ({ flops, ...informationBound.optimum(theta, 6 * flops) })));
}

/** Examples per parameter at the best allocation. */
function ratioAt(
  { paramsCoefficient, paramsExponent, dataCoefficient, dataExponent }: PowerLaw,
  compute: number,
): number {
  return (dataCoefficient / paramsCoefficient) * compute ** (dataExponent - paramsExponent);
}

/** Amid the compute that all have been trained with. */
function sharedCompute(allocations: readonly Allocation[]): number {
  const ends = allocations.map(({ optima }) => [optima[0]?.flops ?? 0, optima.at(-1)?.flops ?? 0] as const);
  return Math.sqrt(Math.max(...ends.map(([low]) => low)) * Math.min(...ends.map(([, high]) => high)));
}

/** A figure and what a resample of the seeds made of it. */
interface Resampled {
  readonly value: number;
  readonly draws: readonly number[];
}

/** Rise per doubling of what teachers differ in. */
function perDoubling(of: readonly number[], figures: readonly Resampled[]): Resampled {
  const octaves = of.map(Math.log2);
  const slope = (values: readonly number[]): number => polynomialFit(octaves, values, 1)[1] as number;
  const count = Math.min(...figures.map(({ draws }) => draws.length));
  const draws = Array.from({ length: count }, (_, draw) =>
    slope(figures.map((figure) => figure.draws[draw] as number)),
  );
  return { value: slope(figures.map(({ value }) => value)), draws };
}

/** With its 95 % interval. */
function shown({ value, draws }: Resampled, write: (value: number) => string): string {
  const sorted = draws.toSorted((a, b) => a - b);
  if (sorted.length === 0) return write(value);
  return `${write(value)} (${write(quantile(sorted, 0.025))} to ${write(quantile(sorted, 0.975))})`;
}

/** A kind of teacher and what is read off its learners. */
interface Reading {
  readonly trained: Trained;
  readonly allocation: Allocation;
  /** Of N by compute. */
  readonly exponent: Resampled;
  /** Logarithm of examples per parameter at the compute that all share. */
  readonly logRatio: Resampled;
}

const plain = (value: number): string => value.toFixed(3);
const exponential = (value: number): string => Math.exp(value).toPrecision(3);

/** What the runs say, as Markdown: a row for each kind of teacher beside the bound, and how both figures move with dimension and complexity. */
export function describeAllocations(rows: readonly LearnerRow[], draws: number): string {
  const allocated = byTeacher(rows).map((trained) => ({ trained, allocation: allocationOf(trained) }));
  const compute = sharedCompute(allocated.map(({ allocation }) => allocation));
  const readings = allocated.map(({ trained, allocation }): Reading => {
    const random = new Random('teacher-report').child(trained.dimension, trained.complexity);
    const laws = resampledLaws(trained, draws, random);
    const figure = (of: (law: PowerLaw) => number): Resampled => ({ value: of(allocation.law), draws: laws.map(of) });
    const exponent = figure(({ paramsExponent }) => paramsExponent);
    return { trained, allocation, exponent, logRatio: figure((law) => Math.log(ratioAt(law, compute))) };
  });
  return [
    `| d | K | seeds | best widths | N ∝ C^ | bound | T/N at ${compute.toExponential(1)} | bound |\n|---|---|---|---|---|---|---|---|`,
    ...readings.map((reading) => `| ${cellsOf(reading, compute).join(' | ')} |`),
    '',
    ...trendsOf(readings, 'dimension', 'complexity'),
    ...trendsOf(readings, 'complexity', 'dimension'),
    ...readings.flatMap(({ trained: { dimension, complexity }, allocation: { warnings } }) =>
      warnings.map((text) => `warning: d ${dimension}, K ${complexity}: ${text}`),
    ),
  ].join('\n');
}

function cellsOf({ trained, allocation, exponent, logRatio }: Reading, compute: number): readonly (string | number)[] {
  const { dimension, complexity, seeds } = trained;
  const bound = boundAllocation(trained, allocation);
  const widths = allocation.optima.map(({ params }) => (params / learnerParams(dimension, 1)).toPrecision(2));
  return [
    dimension,
    complexity,
    seeds,
    widths.join(', '),
    shown(exponent, plain),
    plain(bound.paramsExponent),
    shown(logRatio, exponential),
    ratioAt(bound, compute).toPrecision(3),
  ];
}

/** Among teachers that are alike in the one and differ in the other, where there are such. */
function trendsOf(
  readings: readonly Reading[],
  by: 'dimension' | 'complexity',
  alike: 'dimension' | 'complexity',
): readonly string[] {
  return groupedBy(readings, ({ trained }) => trained[alike])
    .filter((group) => group.length > 1)
    .flatMap((group) => {
      const of = group.map(({ trained }) => trained[by]);
      const [exponent, ratio] = [group.map((one) => one.exponent), group.map((one) => one.logRatio)];
      const where = `${alike} ${group[0]?.trained[alike]}, with each doubling of the ${by}`;
      return [
        `${where}: the exponent of N rises by ${shown(perDoubling(of, exponent), plain)}, T/N is multiplied by ${shown(perDoubling(of, ratio), exponential)}`,
      ];
    });
}

/** Of seeds drawn with replacement; a draw whose profiles have no minimum is drawn again, at most as often as draws were asked for. */
function resampledLaws(trained: Trained, draws: number, random: Random): readonly PowerLaw[] {
  const laws: PowerLaw[] = [];
  for (let attempt = 0; laws.length < draws && attempt < 2 * draws; attempt++) {
    const sample = Array.from({ length: trained.seeds }, () => random.integer(trained.seeds));
    try {
      laws.push(allocationOf(trained, sample).law);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return laws;
}
