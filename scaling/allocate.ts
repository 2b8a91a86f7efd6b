import { ConfigError } from '../core/errors.ts';
import { percentileInterval } from './fit-bootstrap.ts';
import type { FileLaw, FilePowerLaw } from './fit-file.ts';
import { bestForLifetime } from './laws/inference-aware.ts';
import { publishedLaws, publishedPowerLaws } from './laws/laws.ts';
import {
  type AllocationTuple,
  type Confirmed,
  lossAt,
  type LossLaw,
  type ParamsCount,
  type Point,
  type Theta,
  thetaOf,
} from './laws/law.ts';
import { allocateByPowerLaw, type PowerLaw } from './laws/power-law.ts';

/** An allocation mapping with its parameters: compute budget → allocation tuple. */
export interface AllocationMapping {
  /** What `--law` calls it. */
  readonly name: string;
  readonly source: string;
  readonly confirmed: Confirmed;
  readonly paramsCount: ParamsCount;
  /** Training FLOPs of the runs behind it, where known. */
  readonly fittedFlops?: readonly [number, number];
  readonly rule: LawRule | PowerRule;
}

/** A mapping through a law of the loss. */
export interface LawRule {
  readonly kind: 'law';
  readonly law: LossLaw;
  readonly theta: Theta;
  /** Refits to resamples. */
  readonly draws: readonly (readonly number[])[];
}

/** A mapping of two power laws; it knows no loss. */
interface PowerRule {
  readonly kind: 'power-law';
  readonly powerLaw: PowerLaw;
}

/** Names that `--law` knows beside files. */
export const mappingNames: readonly string[] = [...publishedLaws.keys(), ...publishedPowerLaws.keys()];

/** A published mapping by name. @throws {ConfigError} naming those there are. */
export function publishedMapping(name: string): AllocationMapping {
  const power = publishedPowerLaws.get(name);
  if (power) {
    const { source, confirmed, paramsCount } = power;
    return { name, source, confirmed, paramsCount, rule: { kind: 'power-law', powerLaw: power } };
  }
  const found = publishedLaws.get(name);
  if (!found) throw new ConfigError(`expected a law (${mappingNames.join(', ')}) or a .yaml file, got '${name}'`);
  const { law, constants } = found;
  const { source, confirmed, paramsCount, fittedFlops } = constants;
  const rule = { kind: 'law' as const, law, theta: thetaOf(law, constants.values), draws: [] };
  return { name, source, confirmed, paramsCount, fittedFlops, rule };
}

/** A mapping through a fitted law. @param file names where it came from. */
export function fittedMapping(fitted: FileLaw | FilePowerLaw, file: string): AllocationMapping {
  const { paramsCount, fittedFlops } = fitted;
  const name = `${file}#${fitted.law.name}`;
  const rule: AllocationMapping['rule'] =
    'theta' in fitted
      ? { kind: 'law', law: fitted.law, theta: fitted.theta, draws: fitted.draws }
      : { kind: 'power-law', powerLaw: fitted.law };
  return { name, source: file, confirmed: 'refit', paramsCount, fittedFlops, rule };
}

/** What a budget has to buy. */
export interface ComputeBudget {
  /** FLOPs of training (6·N·D), and of inference where that is counted in. */
  readonly flops: number;
  /** Distinct data there is. */
  readonly uniqueData?: number;
  /** Tokens to be served over the model's life, at 2·N FLOPs each, out of the same budget. */
  readonly inferenceData?: number;
}

/** Data that is left for a model of `params` parameters. May be zero or less. */
export function affordableData({ flops, inferenceData = 0 }: ComputeBudget, params: number): number {
  return (flops / params - 2 * inferenceData) / 6;
}

/**
 * The allocation tuple of a budget. Laws of the loss minimise it under the budget, inference and repeats included; a power law
 * knows neither and takes its sizes from the training FLOPs alone.
 */
export function allocate({ rule }: AllocationMapping, budget: ComputeBudget): AllocationTuple {
  if (rule.kind === 'power-law') return allocateByPowerLaw(rule.powerLaw, budget.flops);
  return allocateByLaw(rule.law, rule.theta, budget);
}

function allocateByLaw(
  law: LossLaw,
  theta: Theta,
  { flops, uniqueData, inferenceData }: ComputeBudget,
): AllocationTuple {
  if (inferenceData === undefined) return law.optimum(theta, flops, uniqueData);
  return bestForLifetime(law, theta, flops, inferenceData, uniqueData);
}

/** Loss that a mapping predicts, in nats; null where it has no law of the loss. */
export function predictedLoss({ rule }: AllocationMapping, point: Point): number | null {
  return rule.kind === 'power-law' ? null : lossAt(rule.law, rule.theta, point);
}

/** 95 % intervals over the resamples; null for mappings without any. */
export interface AllocationIntervals {
  readonly params: readonly [number, number];
  readonly data: readonly [number, number];
  /** Of the loss at the point given. */
  readonly loss: readonly [number, number];
}

/**
 * How far resampled runs move a mapping's tuple, and its loss at `point`.
 * @param choose the tuple of a mapping, asked of one for each resample.
 */
export function allocationIntervals(
  mapping: AllocationMapping,
  point: Point,
  choose: (mapping: AllocationMapping) => AllocationTuple,
): AllocationIntervals | null {
  const { rule } = mapping;
  if (rule.kind === 'power-law' || rule.draws.length === 0) return null;
  const tuples = rule.draws.map((theta) => choose({ ...mapping, rule: { ...rule, theta } }));
  const params = percentileInterval(tuples.map((tuple) => tuple.params));
  const data = percentileInterval(tuples.map((tuple) => tuple.data));
  const loss = percentileInterval(rule.draws.map((theta) => lossAt(rule.law, theta, point)));
  return params && data && loss ? { params, data, loss } : null;
}
