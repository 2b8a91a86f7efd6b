import { proposeGlobalScalings } from '../../scaling/global-scaling.ts';
import type { ScalingRule } from '../../scaling/rules.ts';
import { solveRuleMeasured } from '../../scaling/solve-rule.ts';
import { familyLine, isBase, type Scaling, type SizedScalings, type SizeTarget } from './scalings.ts';
import type { TargetScalings } from './target-scalings.ts';

/** What one triple gives at each size that grows; null where it has none within the limits. */
type Members = readonly (Scaling | null)[];

/**
 * One triple for all sizes, the special case of the EfficientNet papers: each triple tried is carried to every size and
 * trained there; the likely best ones once more with other seeds; the best mean accuracy over the sizes wins.
 */
export async function scaleByOneTriple(
  scalings: TargetScalings,
  sizes: readonly SizeTarget[],
): Promise<SizedScalings[]> {
  const { finalists } = scalings.context.config.scale;
  const grown = sizes.filter((size) => !isBase(size));
  const triples = await triedTriples(scalings, grown);
  const mean = ([, members]: readonly [string, Members]) =>
    members.reduce((sum, member) => sum + ((member && scalings.accuracy(member.digest)) ?? 0), 0);
  const ranked = () => [...triples].toSorted((a, b) => mean(b) - mean(a));
  const shortlist = ranked().slice(0, finalists);
  if (shortlist.length > 1) await scalings.trainAgain(shortlist.flatMap(([, members]) => members.flatMap(present)));
  const [best] = shortlist.toSorted((a, b) => mean(b) - mean(a));
  const results: SizedScalings[] = [];
  for (const size of sizes) {
    const member = best?.[1][grown.indexOf(size)];
    const confirmed = member ? await scalings.confirmed([member], 1) : [];
    const because = confirmed.length > 0 ? `(α, β, γ) = ${best?.[0]}` : 'the base';
    results.push(scalings.sized(size, familyLine, confirmed, because));
  }
  return results;
}

function present(member: Scaling | null): readonly Scaling[] {
  return member === null ? [] : [member];
}

/** Triples proposed one after the other, each trained at every size. */
async function triedTriples(
  scalings: TargetScalings,
  grown: readonly SizeTarget[],
): Promise<ReadonlyMap<string, Members>> {
  const { scale, seed } = scalings.context.config;
  const triples = new Map<string, Members>();
  for (let round = 0; triples.size < scale.trials && round < 3 * scale.trials; round++) {
    if (grown.length === 0 || !(await scalings.timeLeft(round))) break;
    const proposals = proposeGlobalScalings({ ...scalings.problem(grown), count: scale.trials, seed });
    const fresh = proposals.find(({ rule }) => !triples.has(rule.name));
    if (!fresh) break;
    const members: (Scaling | null)[] = [];
    for (const { targetMs } of grown) members.push(await carried(scalings, fresh.rule, targetMs));
    triples.set(fresh.rule.name, members);
    await scalings.train(members.flatMap(present));
  }
  return triples;
}

async function carried(scalings: TargetScalings, rule: ScalingRule, targetMs: number): Promise<Scaling | null> {
  const { multipliers } = await solveRuleMeasured(
    rule,
    async (nominal) => (await scalings.measure(scalings.apply(nominal))).latencyMs,
    targetMs,
    { maxEvaluations: 6, tolerance: 0.08 },
  );
  const scaling = await scalings.measure(scalings.apply(multipliers));
  return scalings.fits(scaling, targetMs) ? scaling : null;
}
