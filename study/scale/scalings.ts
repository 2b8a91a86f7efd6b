import type { NetworkSpec } from '../../models/spec.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import type { Size } from '../sizes.ts';

/** Name of the line that is delivered; the others are compared with it. */
export const familyLine = 'family';

/** Beginning of the memo keys of the base's thorough latency, which sizes are multiples of. */
export function baseLatencyId(target: string): string {
  return `base ${target}`;
}

/** Id of the decision that says how latency grows on a target. */
export function elasticityId(target: string): string {
  return `elasticity ${target}`;
}

/** A scaled base with its measured latency. */
export interface Scaling {
  /** Realised multipliers. */
  readonly multipliers: Multipliers;
  readonly spec: NetworkSpec;
  readonly digest: string;
  readonly latencyMs: number;
}

/** A size in milliseconds on one target. */
export interface SizeTarget {
  readonly size: Size;
  /** What no network of the size may exceed. */
  readonly targetMs: number;
}

/** The scalings of one size that go on to full training. */
export interface SizedScalings extends SizeTarget {
  readonly target: string;
  /** `family`, or the fixed rule it is compared with. */
  readonly line: string;
  readonly finalists: readonly Scaling[];
}

/** Scalings of a size that are trained with other seeds, beyond the finalists to be. */
export const spareFinalists = 1;

/** Trainings that scaling one size takes, those with other seeds included; none of these where every scaling goes on anyway. */
export function trainingsOfSize({
  trials,
  finalists,
  seeds,
}: {
  readonly trials: number;
  readonly finalists: number;
  readonly seeds: number;
}): number {
  const again = trials > finalists ? finalists + spareFinalists : 0;
  return trials + again * (seeds - 1);
}

/** Whether a size is the base and nothing else. */
export function isBase({ size }: Pick<SizeTarget, 'size'>): boolean {
  return size.multiple === 1 && size.among === undefined;
}
