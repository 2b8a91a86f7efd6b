import { blockCount, parseNetworkSpec, type NetworkSpec, type Stage } from '../models/spec.ts';
import type { Multipliers } from './multipliers.ts';
import { roundFilters, roundRepeats, roundResolution } from './rounding.ts';

/** Limits of {@link applyMultipliers}. */
export interface ApplyOptions {
  /** No input side above this, in pixels: the data's native one. */
  readonly maxResolution: number;
  /** Input sides are multiples of this; default 1. */
  readonly resolutionMultiple?: number;
}

/** A base after scaling. */
export interface ScaledNetwork {
  readonly spec: NetworkSpec;
  /** What rounding and the resolution limit made of the multipliers; fit models on these. */
  readonly realised: Multipliers;
}

/**
 * The base scaled by the EfficientNet convention: widths of stem, stages and head rounded to multiples
 * of 8, repeats rounded up, resolution to the nearest allowed pixel count and never above
 * `maxResolution`. A grouped stage's width is such that its groups divide, a stem's pixel blocks divide the
 * resolution, and with `fixedEnds` the widths of stem and head and the depth of the outer stages stay.
 * @throws {ConfigError} when the result leaves what a spec allows (e.g. 200 repeats).
 */
export function applyMultipliers(base: NetworkSpec, multipliers: Multipliers, options: ApplyOptions): ScaledNetwork {
  const { depth, width, resolution } = multipliers;
  const { stem, head, stages, fixedEnds = false } = base;
  const endWidth = fixedEnds ? 1 : width;
  const scaled: NetworkSpec = {
    ...base,
    name: undefined,
    input: {
      ...base.input,
      resolution: roundResolution(base.input.resolution, resolution, {
        max: options.maxResolution,
        multiple: leastCommonMultiple(options.resolutionMultiple ?? 1, stem.spaceToDepth ?? 1),
      }),
    },
    stem: { ...stem, width: roundFilters(stem.width, endWidth) },
    stages: stages.map((stage, index) => {
      const isEnd = index === 0 || index === stages.length - 1;
      return {
        ...stage,
        width: roundFilters(stage.width, width, widthDivisor(stage)),
        repeats: fixedEnds && isEnd ? stage.repeats : roundRepeats(stage.repeats, depth),
      };
    }),
    head: {
      ...head,
      width: head.width === 0 ? 0 : roundFilters(head.width, endWidth),
      hidden: head.hidden && roundFilters(head.hidden, endWidth),
    },
  };
  const where = `base × depth ${depth}, width ${width}, resolution ${resolution}`;
  return { spec: parseNetworkSpec(scaled, where), realised: realisedMultipliers(base, scaled) };
}

/** Shares of a network, above 0 up to 1, as multipliers of its repeats and its channels. */
export type Shares = Pick<Multipliers, 'depth' | 'width'>;

/**
 * A part of a network, on the same input: scaled as by {@link applyMultipliers}, though rounding makes nothing larger than the
 * whole has it, and a stage of stride 1 changes the width where it does in the whole, so that both have the same
 * residual connections. Of larger shares no part is smaller.
 */
export function partOf(whole: NetworkSpec, { depth, width }: Shares): NetworkSpec {
  if (depth === 1 && width === 1) return whole;
  const { resolution } = whole.input;
  const { spec } = applyMultipliers(whole, { depth, width, resolution: 1 }, { maxResolution: resolution });
  const [stem, ...widths] = partWidths(spec, whole);
  const { head } = whole;
  return {
    ...spec,
    stem: { ...spec.stem, width: stem as number },
    stages: spec.stages.map((stage, index) => ({ ...stage, width: widths[index] as number })),
    head: {
      ...spec.head,
      width: Math.min(spec.head.width, head.width),
      hidden: head.hidden && Math.min(spec.head.hidden ?? head.hidden, head.hidden),
    },
  };
}

/** Widths of stem and stages; where the stride is 1, one is below, equal to or above the next as in the whole. */
function partWidths(scaled: NetworkSpec, whole: NetworkSpec): readonly number[] {
  const most = [whole.stem.width, ...whole.stages.map((stage) => stage.width)];
  const divisors = [8, ...whole.stages.map(widthDivisor)];
  const widths = [scaled.stem.width, ...scaled.stages.map((stage) => stage.width)].map((width, index) => {
    return Math.min(width, most[index] as number);
  });
  const raise = (index: number, least: number): boolean => {
    if ((widths[index] as number) >= least) return false;
    const divisor = divisors[index] as number;
    widths[index] = Math.min(divisor * Math.ceil(least / divisor), most[index] as number);
    return true;
  };
  const order = (lower: number, higher: number): boolean => {
    const isLower = (most[lower] as number) < (most[higher] as number);
    return raise(higher, (widths[lower] as number) + Number(isLower));
  };
  // Widths only rise, to those of the whole at most.
  for (let isRaised = true; isRaised;)
    isRaised = whole.stages.some(({ stride }, index) => {
      if (stride !== 1) return false;
      const [before, after] = [most[index] as number, most[index + 1] as number];
      return (before <= after && order(index, index + 1)) || (before >= after && order(index + 1, index));
    });
  return widths;
}

/** Multiples of 8 of which every multiple leaves the groups of a bottleneck whole. */
function widthDivisor(stage: Stage): number {
  if (stage.operator !== 'bottleneck' || stage.groupWidth === undefined) return 8;
  const { bottleneckRatio, groupWidth } = stage;
  let divisor = 8;
  while ((divisor * bottleneckRatio) % groupWidth !== 0 && divisor < 8 * groupWidth) divisor += 8;
  return divisor;
}

function leastCommonMultiple(a: number, b: number): number {
  let multiple = a;
  while (multiple % b !== 0) multiple += a;
  return multiple;
}

/**
 * Ratios of a scaled network to its base: of all repeats, of all widths (each stage counted once per base
 * block, the head an eighth, so that it does not drown the rest), of input sides. Both have the same number of
 * stages. For a base whose widths are multiples of 8, equal ratios mean equal networks: every rounding is monotone.
 */
export function realisedMultipliers(base: NetworkSpec, scaled: NetworkSpec): Multipliers {
  const widths = (spec: NetworkSpec): number =>
    spec.stages.reduce((sum, stage, index) => sum + stage.width * (base.stages[index]?.repeats ?? 1), 0) +
    spec.stem.width +
    (spec.head.width + (spec.head.hidden ?? 0)) / 8;
  return {
    depth: blockCount(scaled) / blockCount(base),
    width: widths(scaled) / widths(base),
    resolution: scaled.input.resolution / base.input.resolution,
  };
}

/** Names what two scalings of one base must share to be the same network. */
export function realisedKey({ depth, width, resolution }: Multipliers): string {
  return [depth, width, resolution].map((value) => value.toPrecision(9)).join(' ');
}
