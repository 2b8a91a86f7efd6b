import { ConfigError, UnreachableLimitError } from '../core/errors.ts';
import {
  affordableData,
  allocate,
  type AllocationIntervals,
  allocationIntervals,
  type AllocationMapping,
  predictedLoss,
} from './allocate.ts';
import { type AllocationTuple, type Confirmed, type ParamsCount, trainingFlops } from './laws/law.ts';
import { stepTimeS, type StepTimeModel } from './step-time.ts';
import {
  type ShapeStyle,
  shapesNear,
  snapShape,
  trainingMemory,
  type TransformerShape,
  transformerParams,
} from './transformer-shape.ts';

/** The devices a training runs on, all alike. */
export interface Cluster {
  readonly device: string;
  readonly count: number;
  /** Dense peak of one device at the training's precision, FLOP/s. */
  readonly peakFlopsPerS: number;
  /** Memory of one device; undefined where not known. */
  readonly memoryBytes?: number;
  /** Share of the peak that training reaches. */
  readonly mfu: number;
  /** Rates of a step; null to go by `mfu` alone. */
  readonly stepTime: StepTimeModel | null;
}

/** What a plan is asked. */
export interface PlanRequest {
  readonly budget: { readonly flops: number } | { readonly timeS: number };
  readonly mappings: readonly AllocationMapping[];
  /** Needed for a time budget. */
  readonly cluster?: Cluster;
  readonly uniqueData?: number;
  readonly inferenceData?: number;
  readonly style: ShapeStyle;
  /** Tokens of one optimizer step over all devices. */
  readonly batchTokens: number;
}

/** What one law would train with the budget. */
export interface Allocation {
  readonly law: string;
  readonly source: string;
  readonly confirmed: Confirmed;
  /** Which parameters `params` counts. */
  readonly paramsCount: ParamsCount;
  /** The allocation tuple before it was snapped to a shape. */
  readonly target: AllocationTuple;
  readonly shape: TransformerShape;
  /** Of the shape, counted as the law counts. */
  readonly params: number;
  /** Recomputed for the shape, so that the budget is used up. */
  readonly data: number;
  /** 6·N·D of training. */
  readonly flops: number;
  readonly tokensPerParam: number;
  /** Passes over the distinct data; null where its amount is not known. */
  readonly epochs: number | null;
  /** Predicted loss in nats; null for a mapping that knows none. */
  readonly loss: number | null;
  readonly interval: AllocationIntervals | null;
  /** Time of the training; null without devices. */
  readonly timeS: number | null;
  /** The same by other people's rules: 6·N·D ÷ (MFU·peak·n), and 8·N·D ÷ (n·MFU·peak), where activations are recomputed, in days. */
  readonly baselines: { readonly flopsS: number; readonly megatronDays: number } | null;
  readonly memory: {
    readonly needsBytes: number;
    readonly deviceBytes: number | null;
    readonly fits: boolean | null;
  } | null;
}

/** The allocation tuples of all laws side by side. */
export interface Plan {
  readonly schema: 1;
  readonly convention: string;
  readonly budget: PlanRequest['budget'];
  readonly allocations: readonly Allocation[];
  /** Largest ÷ smallest over the laws. */
  readonly spread: { readonly params: number; readonly data: number };
  readonly warnings: readonly string[];
}

/** A budget this many times outside a law's runs is far. */
const farFactor = 30;
/** Tokens that a device takes at once; more are accumulated. */
const microBatchTokens = 16_384;

/**
 * Allocates a budget by every law. Sizes are snapped to transformers that can be built and the data recomputed. A time budget goes
 * through the cluster's step time, and each law chooses among shapes: with equal parameters the faster shape, wider rather
 * than deeper, sees more data.
 * @throws {ConfigError} for a time budget without devices; {UnreachableLimitError} when no transformer is that small.
 */
export function plan(request: PlanRequest): Plan {
  const warnings: string[] = [];
  const mappings = request.mappings.filter(({ name, rule }) => {
    const blind = request.inferenceData !== undefined && rule.kind === 'power-law';
    if (blind) warnings.push(`${name}: left out, a power law of training compute knows nothing of inference`);
    return !blind;
  });
  if (request.mappings.length === 0) throw new ConfigError('expected a law to plan by, got none');
  if (mappings.length === 0)
    throw new ConfigError('expected a law of the loss to count inference with, got power laws only');
  const allocations = mappings.map((mapping) => allocation(mapping, request, warnings));
  if (allocations.some(({ memory }) => memory?.fits === false))
    warnings.push(
      'some of these models do not fit the devices’ memory, even fully sharded and with activations recomputed',
    );
  return {
    schema: 1,
    convention:
      'FLOPs of training are 6·N·D (2 a multiply-add, forward and backward; attention scores and recomputation not counted), of inference 2·N a token; N as the law counts it',
    budget: request.budget,
    allocations,
    spread: {
      params: ratioOf(allocations.map(({ target }) => target.params)),
      data: ratioOf(allocations.map(({ target }) => target.data)),
    },
    warnings,
  };
}

function ratioOf(values: readonly number[]): number {
  return Math.max(...values) / Math.min(...values);
}

/** Parameters as a law counts them. */
export function paramsOf(shape: TransformerShape, paramsCount: ParamsCount): number {
  return transformerParams(shape)[paramsCount === 'total' ? 'total' : 'nonEmbedding'];
}

function allocation(mapping: AllocationMapping, request: PlanRequest, warnings: string[]): Allocation {
  const { name, source, confirmed, paramsCount } = mapping;
  const { cluster, batchTokens, uniqueData } = request;
  const found =
    'timeS' in request.budget
      ? withinTime(mapping, request, request.budget.timeS)
      : withinFlops(mapping, request, request.budget.flops);
  const { target, shape, data, flops: budgetFlops, choose } = found;
  const params = paramsOf(shape, paramsCount);
  const tuple = { params, data };
  const flops = 6 * params * data;
  warnings.push(...mappingWarnings(mapping, data, budgetFlops, uniqueData));
  const memory = cluster && memoryOf(shape, cluster);
  return {
    law: name,
    source,
    confirmed,
    paramsCount,
    target,
    shape,
    params,
    data,
    flops,
    tokensPerParam: data / params,
    epochs: uniqueData === undefined ? null : data / uniqueData,
    loss: predictedLoss(mapping, { ...tuple, uniqueData }),
    interval: allocationIntervals(mapping, { ...tuple, uniqueData }, choose),
    timeS: cluster ? data / tokensPerS(shape, cluster, batchTokens, params) : null,
    baselines: cluster
      ? {
          flopsS: flops / (cluster.mfu * cluster.peakFlopsPerS * cluster.count),
          megatronDays: (8 * params * data) / (cluster.count * cluster.mfu * cluster.peakFlopsPerS) / 86_400,
        }
      : null,
    memory: memory ?? null,
  };
}

interface Found {
  readonly target: AllocationTuple;
  readonly shape: TransformerShape;
  readonly data: number;
  /** Of the budget that the tuple is of. */
  readonly flops: number;
  /** The target tuple of the same budget by another mapping. */
  readonly choose: (mapping: AllocationMapping) => AllocationTuple;
}

function withinFlops(mapping: AllocationMapping, request: PlanRequest, flops: number): Found {
  const { uniqueData, inferenceData, style } = request;
  const budget = { flops, uniqueData, inferenceData };
  const choose = (by: AllocationMapping): AllocationTuple => allocate(by, budget);
  const target = choose(mapping);
  const shape = snap(target.params, mapping, style);
  const params = paramsOf(shape, mapping.paramsCount);
  const data = affordableData(budget, params);
  if (!(data > 0))
    throw new UnreachableLimitError(
      `${mapping.name}: expected a budget beyond what ${inferenceData} tokens of inference cost, got ${flops.toPrecision(3)} FLOPs`,
    );
  return { target, shape, data, flops, choose };
}

/** Sizes tried around the one that FLOPs alone would choose, as factors. */
const timeFactors = Array.from({ length: 41 }, (_, i) => 2 ** ((i - 20) / 4));

function withinTime(mapping: AllocationMapping, request: PlanRequest, timeS: number): Found {
  const { cluster, uniqueData, style, batchTokens } = request;
  if (!cluster) throw new ConfigError('time: expected devices to spend it on (--on, --count), got none');
  const flops = cluster.mfu * cluster.peakFlopsPerS * cluster.count * timeS;
  if (!cluster.stepTime) return withinFlops(mapping, request, flops);
  const sizeOf = (shape: TransformerShape): number => paramsOf(shape, mapping.paramsCount);
  const around = allocate(mapping, { flops, uniqueData });
  const affordable = timeFactors
    .flatMap((factor) => shapesNear(around.params * factor, style, sizeOf))
    .filter((shape) => memoryOf(shape, cluster).fits !== false)
    .map((shape) => {
      const params = sizeOf(shape);
      return { shape, params, data: timeS * tokensPerS(shape, cluster, batchTokens, params) };
    });
  const best = leastLoss(mapping, affordable, uniqueData);
  if (!best)
    throw new UnreachableLimitError(
      `${mapping.name}: expected a transformer that fits the memory of ${cluster.count} × ${cluster.device} and the time, found none near ${around.params.toPrecision(3)} parameters`,
    );
  const { shape, ...target } = best;
  return {
    target,
    shape,
    data: target.data,
    flops: trainingFlops(target),
    choose: (by) => leastLoss(by, affordable, uniqueData) ?? target,
  };
}

/** Of what is affordable the tuple of least loss, or nearest to a power law; undefined where nothing is. */
function leastLoss<Tuple extends AllocationTuple>(
  mapping: AllocationMapping,
  affordable: readonly Tuple[],
  uniqueData: number | undefined,
): Tuple | undefined {
  const score = ({ params, data }: Tuple): number => {
    const loss = predictedLoss(mapping, { params, data, uniqueData });
    if (loss !== null) return loss;
    // A power law knows the size for a compute budget: of the shapes whose own budget asks for their size the fastest.
    const flops = trainingFlops({ params, data });
    const off = Math.abs(Math.log(allocate(mapping, { flops }).params / params));
    return off > 0.03 ? off : -flops;
  };
  return affordable.map((tuple) => ({ tuple, score: score(tuple) })).toSorted((a, b) => a.score - b.score)[0]?.tuple;
}

function snap(params: number, { name, paramsCount }: AllocationMapping, style: ShapeStyle): TransformerShape {
  try {
    return snapShape(params, style, (shape) => paramsOf(shape, paramsCount));
  } catch (cause) {
    throw new UnreachableLimitError(`${name}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Tokens a second of all devices. By the step time where its rates are known, which counts the time of all parameters; by MFU otherwise.
 * @param params as the law counts them, for the rule of MFU.
 */
export function tokensPerS(shape: TransformerShape, cluster: Cluster, batchTokens: number, params: number): number {
  const { stepTime, count } = cluster;
  if (!stepTime) return (cluster.mfu * cluster.peakFlopsPerS * count) / (6 * params);
  const tokens = Math.max(shape.context, batchTokens / count);
  const microBatches = Math.max(1, tokens / Math.max(shape.context, microBatchTokens));
  const step = { shape, tokens, microBatches, recomputes: mustRecompute(shape, cluster) };
  return (count * tokens) / stepTimeS(stepTime, step);
}

/** Whether the activations of one sequence, kept for the backward pass, would not fit beside the states. */
function mustRecompute(shape: TransformerShape, { count, memoryBytes }: Cluster): boolean {
  const { layers, width, context } = shape;
  const kept = 34 * layers * context * width + 8 * context * shape.vocabulary;
  return memoryBytes !== undefined && trainingMemory(shape, count).stateBytes + kept > memoryBytes;
}

function memoryOf(shape: TransformerShape, { count, memoryBytes }: Cluster): NonNullable<Allocation['memory']> {
  const needsBytes = trainingMemory(shape, count).totalBytes;
  return {
    needsBytes,
    deviceBytes: memoryBytes ?? null,
    fits: memoryBytes === undefined ? null : needsBytes <= memoryBytes,
  };
}

/** What to distrust of a law at a budget. @param data that it would train on. @param flops of 6·N·D. */
export function mappingWarnings(
  { name, confirmed, fittedFlops, rule }: AllocationMapping,
  data: number,
  flops: number,
  uniqueData: number | undefined,
): readonly string[] {
  const warnings: string[] = [];
  if (confirmed === 'reconstruction')
    warnings.push(
      `${name}: a reconstruction of ours, not the paper’s formula; its loss is an excess error, not comparable`,
    );
  if (fittedFlops && (flops > fittedFlops[1] * farFactor || flops < fittedFlops[0] / farFactor))
    warnings.push(
      `${name}: ${flops.toPrecision(3)} FLOPs are far outside the runs it was fitted to (${fittedFlops[0].toPrecision(2)} to ${fittedFlops[1].toPrecision(2)})`,
    );
  const countsRepeats = rule.kind === 'law' && rule.law.repeats;
  if (uniqueData !== undefined && data > uniqueData && !countsRepeats)
    warnings.push(
      `${name}: takes ${(data / uniqueData).toPrecision(2)} passes over the data for as much new data; --law data-constrained counts repeats for less`,
    );
  return warnings;
}
