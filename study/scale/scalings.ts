import type { NetworkSpec } from '../../models/spec.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import type { Size } from '../sizes.ts';
import type { StudyConfig } from '../study-file.ts';

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

/**
 * What scaling takes of one size that grows, at most: trainings at the scaling fidelity, those with other seeds included (none of
 * these where every scaling goes on anyway), and finalists that are trained fully. A fixed rule's scalings are not trained first.
 */
export function scalingWork({
  rule,
  trials,
  finalists,
  seeds,
}: Pick<StudyConfig['scale'], 'rule' | 'trials' | 'finalists' | 'seeds'>): {
  readonly trainings: number;
  readonly finalists: number;
} {
  if (rule === 'per-size') {
    const again = trials > finalists ? finalists + spareFinalists : 0;
    return { trainings: trials + again * (seeds - 1), finalists };
  }
  if (rule !== 'single-triple') return { trainings: 0, finalists: 1 };
  const shortlist = Math.min(trials, finalists);
  return { trainings: trials + (shortlist > 1 ? shortlist : 0) * (seeds - 1), finalists: 1 };
}

/** Whether a size is the base and nothing else. */
export function isBase({ size }: Pick<SizeTarget, 'size'>): boolean {
  return size.multiple === 1 && size.among === undefined;
}
