import { parseNetworkSpec, type NetworkSpec } from '../models/spec.ts';
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
 * `maxResolution`.
 * @throws {ConfigError} when the result leaves what a spec allows (e.g. 200 repeats).
 */
export function applyMultipliers(base: NetworkSpec, multipliers: Multipliers, options: ApplyOptions): ScaledNetwork {
  const { depth, width, resolution } = multipliers;
  const scaled: NetworkSpec = {
    ...base,
    name: undefined,
    input: {
      ...base.input,
      resolution: roundResolution(base.input.resolution, resolution, {
        max: options.maxResolution,
        multiple: options.resolutionMultiple,
      }),
    },
    stem: { ...base.stem, width: roundFilters(base.stem.width, width) },
    stages: base.stages.map((stage) => ({
      ...stage,
      width: roundFilters(stage.width, width),
      repeats: roundRepeats(stage.repeats, depth),
    })),
    head: { ...base.head, width: base.head.width === 0 ? 0 : roundFilters(base.head.width, width) },
  };
  const where = `base × depth ${depth}, width ${width}, resolution ${resolution}`;
  return { spec: parseNetworkSpec(scaled, where), realised: realisedMultipliers(base, scaled) };
}

/**
 * Ratios of a scaled network to its base: of all repeats, of all widths (each stage counted once per base
 * block, the head an eighth, so that it does not drown the rest), of input sides. Both have the same number of
 * stages. For a
 * base whose widths are multiples of 8, equal ratios mean equal networks: every rounding is monotone.
 */
export function realisedMultipliers(base: NetworkSpec, scaled: NetworkSpec): Multipliers {
  const widths = (spec: NetworkSpec): number =>
    spec.stages.reduce((sum, stage, index) => sum + stage.width * (base.stages[index]?.repeats ?? 1), 0) +
    spec.stem.width +
    spec.head.width / 8;
  return {
    depth: totalRepeats(scaled) / totalRepeats(base),
    width: widths(scaled) / widths(base),
    resolution: scaled.input.resolution / base.input.resolution,
  };
}

function totalRepeats(spec: NetworkSpec): number {
  return spec.stages.reduce((sum, stage) => sum + stage.repeats, 0);
}

/** Names what two scalings of one base must share to be the same network. */
export function realisedKey({ depth, width, resolution }: Multipliers): string {
  return [depth, width, resolution].map((value) => value.toPrecision(9)).join(' ');
}
