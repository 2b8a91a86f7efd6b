import type { Multipliers } from '../../scaling/multipliers.ts';
import type { ScalingRule } from '../../scaling/rules.ts';
import { solveRule, solveRuleMeasured } from '../../scaling/solve-rule.ts';
import { familyLine, isBase, type Scaling, type SizedScalings, type SizeTarget } from './scalings.ts';
import type { TargetScalings } from './target-scalings.ts';

/**
 * A fixed rule, carried to each size by its own φ: solved on the fitted latency, then on measurements. As
 * the family it stays below the size's latency; to compare with, the φ whose latency is nearest is taken, above
 * or below: rounding makes a rule's sizes coarse (any φ > 0 doubles a stage of one block), and lines are
 * compared at equal latency anyway.
 */
export async function scaleByRule(
  scalings: TargetScalings,
  sizes: readonly SizeTarget[],
  { rule, line }: { readonly rule: ScalingRule; readonly line: string },
): Promise<SizedScalings[]> {
  const results: SizedScalings[] = [];
  for (const size of sizes) {
    const { targetMs } = size;
    if (isBase(size)) {
      results.push(scalings.sized(size, line, [], 'the base'));
      continue;
    }
    const byNearness = (await solved(scalings, rule, targetMs)).toSorted(
      (a, b) => distance(a, targetMs) - distance(b, targetMs),
    );
    const within = byNearness.filter((scaling) => scalings.fits(scaling, targetMs));
    const [nearest = scalings.base] = line === familyLine ? await scalings.confirmed(within, 1) : byNearness;
    const because = `${rule.name} at the φ nearest to the size: ${(nearest.latencyMs / targetMs).toFixed(2)} of its latency`;
    results.push(scalings.sized(size, line, [nearest], because));
  }
  return results;
}

function distance({ latencyMs }: Scaling, targetMs: number): number {
  return Math.abs(Math.log(latencyMs / targetMs));
}

/** Every scaling that bisection for a size's φ measured. */
async function solved(scalings: TargetScalings, rule: ScalingRule, targetMs: number): Promise<Scaling[]> {
  const { elasticity } = scalings;
  const predicted = (multipliers: Multipliers) => elasticity.predict(scalings.apply(multipliers).realised).latencyMs;
  const guess = solveRule(rule, predicted, targetMs).phi;
  const tried: Scaling[] = [];
  const measured = async (multipliers: Multipliers) => {
    const scaling = await scalings.measure(scalings.apply(multipliers));
    tried.push(scaling);
    return scaling.latencyMs;
  };
  await solveRuleMeasured(rule, measured, targetMs, { guess, tolerance: 0.05, maxEvaluations: 10 });
  return tried;
}
