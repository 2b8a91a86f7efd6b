import { ConfigError, UnreachableLimitError } from '../core/errors.ts';
import { buildNetwork } from '../models/build.ts';
import { countGraph, type NetworkCount } from '../models/counts.ts';
import type { NetworkSpec } from '../models/spec.ts';
import {
  type AllocationIntervals,
  allocationIntervals,
  type AllocationMapping,
  mappingNames,
  predictedLoss,
} from './allocate.ts';
import { applyMultipliers, realisedKey } from './apply.ts';
import type { Confirmed } from './laws/law.ts';
import { macsRatio, type Multipliers } from './multipliers.ts';
import { type Cluster, mappingWarnings } from './plan.ts';
import type { ScalingRule } from './rules.ts';

/** What is asked for a family of convolution networks. */
export interface FamilyPlanRequest {
  readonly budget: { readonly flops: number } | { readonly timeS: number };
  /** Laws of the loss, N in all parameters and D in examples; power laws are left out. */
  readonly mappings: readonly AllocationMapping[];
  readonly base: NetworkSpec;
  /** Grows and shrinks the base. */
  readonly rule: ScalingRule;
  /** No input side above this, in pixels: the data's native one. */
  readonly maxResolution?: number;
  /** Needed for a time budget; times go by its `mfu`. */
  readonly cluster?: Omit<Cluster, 'stepTime'>;
  /** Distinct training examples there are. */
  readonly uniqueData?: number;
  /** Examples of an optimizer step over all devices. */
  readonly batch: number;
}

/** What one law would train with the budget. */
export interface FamilyPlanAllocation {
  readonly law: string;
  readonly source: string;
  readonly confirmed: Confirmed;
  /** Realised against the base. */
  readonly multipliers: Multipliers;
  readonly network: NetworkSpec;
  /** Of the realised network: parameters, and multiply-adds of one example. */
  readonly params: number;
  readonly macs: number;
  /** Examples, repeats counted, so that the budget is used up. */
  readonly data: number;
  /** Of training: 6·MACs·D. */
  readonly flops: number;
  /** Passes over the distinct examples; null where their number is not known. */
  readonly epochs: number | null;
  /** Predicted, nats. */
  readonly loss: number;
  /** 95 % over a fit's resamples, each choosing its own network; null for laws without any. */
  readonly interval: AllocationIntervals | null;
  /** Null without devices. */
  readonly timeS: number | null;
  readonly memory: {
    readonly needsBytes: number;
    readonly deviceBytes: number | null;
    readonly fits: boolean | null;
  } | null;
}

/** The networks of a family that all laws would train, side by side. */
export interface FamilyPlan {
  readonly schema: 1;
  readonly kind: 'family';
  readonly convention: string;
  readonly base: string;
  readonly rule: string;
  readonly budget: FamilyPlanRequest['budget'];
  readonly allocations: readonly FamilyPlanAllocation[];
  readonly warnings: readonly string[];
}

/** A network of the family. */
interface Member {
  readonly spec: NetworkSpec;
  readonly multipliers: Multipliers;
  readonly count: NetworkCount;
}

/** Multiply-adds of the family's ends against the base's, nominally. */
const leastRatio = 1 / 64;
const mostRatio = 4096;
/** Steps of φ, finer than most roundings. */
const phiStep = 0.1;

/**
 * Allocates a budget over the networks that a scaling rule makes of a base: of those that can be built, and fit the devices' memory, the
 * one of least predicted loss when the budget is used up. What a network costs is counted, 3 × 2 × its multiply-adds an example, not taken
 * for 6·N: a convolution uses a weight at every pixel.
 * @throws {ConfigError} for a time budget without devices, or without a law of the loss; {UnreachableLimitError} when no network fits.
 */
export function planFamily(request: FamilyPlanRequest): FamilyPlan {
  const { base, rule, mappings } = request;
  const flops = flopsOf(request);
  const warnings: string[] = [];
  const laws = mappings.filter(({ name, rule: { kind } }) => {
    if (kind === 'power-law')
      warnings.push(`${name}: left out, a power law of 6·N·D knows neither the loss nor what convolutions cost`);
    return kind === 'law';
  });
  if (laws.length === 0)
    throw new ConfigError('expected a law of the loss for a convolutional base, got power laws only');
  const members = membersOf(request).filter((member) => memoryOf(member, request)?.fits !== false);
  const [smallest, largest] = [members[0], members.at(-1)];
  if (!smallest || !largest)
    throw new UnreachableLimitError(
      `${base.name ?? 'base'}: expected a network of the family that fits the devices' memory with ${request.batch} examples a step, found none`,
    );
  const allocations = laws.map((mapping) => {
    const best = bestMember(members, (member) => lossOf(mapping, member, flops, request));
    if (best === smallest || best === largest)
      warnings.push(
        `${mapping.name}: chose the ${best === smallest ? 'smallest' : 'largest'} network that was looked at; the best may lie beyond`,
      );
    const allocated = allocation(mapping, best, members, flops, request);
    // A law knows its runs' 6·N·D; convolutions do more.
    const ownFlops = 6 * allocated.params * allocated.data;
    warnings.push(...mappingWarnings(mapping, allocated.data, ownFlops, request.uniqueData));
    if (mappingNames.includes(mapping.name))
      warnings.push(
        `${mapping.name}: its constants are not of convolution networks; fit a law to trainings of this family`,
      );
    return allocated;
  });
  return {
    schema: 1,
    kind: 'family',
    convention:
      'FLOPs of training are 6 × the network’s multiply-adds × examples (2 a multiply-add, forward and backward); N counts all parameters of the realised network',
    base: base.name ?? 'base',
    rule: rule.name,
    budget: request.budget,
    allocations,
    warnings: [...new Set(warnings)],
  };
}

/** A time budget buys what the devices reach. */
function flopsOf({ budget, cluster }: FamilyPlanRequest): number {
  if ('flops' in budget) return budget.flops;
  if (!cluster) throw new ConfigError('time: expected devices to spend it on (--on, --count), got none');
  return budget.timeS * flopsPerS(cluster);
}

function flopsPerS({ mfu, peakFlopsPerS, count }: Omit<Cluster, 'stepTime'>): number {
  return mfu * peakFlopsPerS * count;
}

/** The distinct networks that the rule makes of the base, smallest first; it ends where a spec does not allow more. */
function membersOf({ base, rule, maxResolution = Infinity }: FamilyPlanRequest): readonly Member[] {
  const members = new Map<string, Member>();
  for (const direction of [-1, 1])
    for (let step = direction === 1 ? 0 : 1; ; step++) {
      const nominal = rule.multipliers(direction * step * phiStep);
      const ratio = macsRatio(nominal);
      if (ratio < leastRatio || ratio > mostRatio) break;
      const member = memberOf(base, nominal, maxResolution);
      if (!member) break;
      const key = realisedKey(member.multipliers);
      if (!members.has(key)) members.set(key, member);
    }
  return [...members.values()].toSorted((a, b) => a.count.macs - b.count.macs);
}

/** Null where the scaled base leaves what a spec allows. */
function memberOf(base: NetworkSpec, nominal: Multipliers, maxResolution: number): Member | null {
  try {
    const { spec, realised } = applyMultipliers(base, nominal, { maxResolution });
    return { spec, multipliers: realised, count: countGraph(buildNetwork(spec, 1)) };
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

function dataOf({ count }: Member, flops: number): number {
  return flops / (6 * count.macs);
}

function lossOf(mapping: AllocationMapping, member: Member, flops: number, { uniqueData }: FamilyPlanRequest): number {
  const point = { params: member.count.params, data: dataOf(member, flops), uniqueData };
  return predictedLoss(mapping, point) ?? Number.NaN;
}

function bestMember(members: readonly Member[], lossOf: (member: Member) => number): Member {
  return members.map((member) => ({ member, loss: lossOf(member) })).reduce((a, b) => (b.loss < a.loss ? b : a)).member;
}

function allocation(
  mapping: AllocationMapping,
  member: Member,
  members: readonly Member[],
  flops: number,
  request: FamilyPlanRequest,
): FamilyPlanAllocation {
  const { uniqueData, cluster } = request;
  const { params, macs } = member.count;
  const data = dataOf(member, flops);
  return {
    law: mapping.name,
    source: mapping.source,
    confirmed: mapping.confirmed,
    multipliers: member.multipliers,
    network: member.spec,
    params,
    macs,
    data,
    flops,
    epochs: uniqueData === undefined ? null : data / uniqueData,
    loss: lossOf(mapping, member, flops, request),
    interval: allocationIntervals(mapping, { params, data, uniqueData }, (by) => {
      const chosen = bestMember(members, (each) => lossOf(by, each, flops, request));
      return { params: chosen.count.params, data: dataOf(chosen, flops) };
    }),
    timeS: cluster ? flops / flopsPerS(cluster) : null,
    memory: memoryOf(member, request),
  };
}

/** Tensors of a convolution's output size kept for the backward pass: its own, its norm's and its activation's. */
const keptPerOutput = 3;

/**
 * Memory of a device that holds the whole network and its share of the batch, fp32: weights, gradients and one moment of the
 * optimizer, and what is kept for the backward pass. An estimate, ours.
 */
function memoryOf({ count }: Member, { cluster, batch }: FamilyPlanRequest): FamilyPlanAllocation['memory'] {
  if (!cluster) return null;
  const examples = Math.max(1, Math.ceil(batch / cluster.count));
  const needsBytes = 4 * (3 * count.params + keptPerOutput * count.activations * examples);
  const { memoryBytes } = cluster;
  return {
    needsBytes,
    deviceBytes: memoryBytes ?? null,
    fits: memoryBytes === undefined ? null : needsBytes <= memoryBytes,
  };
}
