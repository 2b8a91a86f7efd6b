import { Random } from '../../core/random.ts';
import type { Latency } from '../../latency/latency.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { StudyContext } from '../context.ts';
import { predictSpec } from './profiles.ts';
import type { Limit } from '../sizes.ts';

/**
 * Share of the networks refused by prediction that is measured all the same: how often prediction refuses wrongly is
 * then known in every study, at the price of a few measurements of slow networks.
 */
export const auditShare = 0.2;

/** Memo key of what a measured target's profile predicts of a network. */
export function predictionId(target: string, specDigest: string): string {
  return `predicted ${target} ${specDigest}`;
}

/** Id of the decision on a network that is predicted above the limit beyond doubt. */
export function screeningId(target: string, specDigest: string): string {
  return `screened ${target} ${specDigest}`;
}

/** Value of that decision. */
export interface Screening {
  readonly verdict: 'refused' | 'measured anyway';
  readonly percentile: number;
  readonly limitMs: number;
}

/** A network by its spec and the digest of that. */
export interface Screened {
  readonly spec: NetworkSpec;
  readonly specDigest: string;
}

/**
 * What the profile of a measured target predicts of a network, journalled so that it can be held against the
 * measurement; undefined where the target has no profile.
 */
export async function predictionOf(
  { config, profiles, record }: StudyContext,
  { spec, specDigest }: Screened,
  targetName: string,
): Promise<Latency | undefined> {
  const target = config.targets[targetName];
  const profile = target?.profile === undefined ? undefined : profiles.get(target.profile);
  if (!target || !profile) return undefined;
  return record.measureOnce(predictionId(targetName, specDigest), targetName, () =>
    Promise.resolve(predictSpec(spec, profile, target).latency),
  );
}

/**
 * The prediction that refuses a network before it is measured: the lower end of its interval is above the
 * limit. Undefined where nothing refuses it, and for a seeded sample that is measured anyway.
 */
export async function refusedBy(
  context: StudyContext,
  network: Screened,
  targetName: string,
  limit: Limit,
): Promise<Latency | undefined> {
  const prediction = await predictionOf(context, network, targetName);
  if (!prediction || prediction.intervalMs.lo <= limit.ms) return undefined;
  const { config, record } = context;
  const draw = new Random(config.seed).child('screening', targetName, network.specDigest).uniform();
  const verdict = draw < auditShare ? ('measured anyway' as const) : ('refused' as const);
  const { lo, hi } = prediction.intervalMs;
  record.decideAgain(
    screeningId(targetName, network.specDigest),
    { verdict, percentile: limit.percentile, limitMs: limit.ms },
    `predicted ${prediction.p50Ms.toPrecision(3)} ms (${lo.toPrecision(3)} to ${hi.toPrecision(3)}) on ${targetName}, above ${limit.ms.toPrecision(3)} ms` +
      (verdict === 'refused' ? '' : '; in the sample that shows how often prediction is wrong'),
  );
  return verdict === 'refused' ? prediction : undefined;
}
