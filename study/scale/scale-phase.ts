import { parseRule } from '../../scaling/rules.ts';
import type { StudyContext } from '../context.ts';
import { scaleByRule } from './fixed-rule-scaling.ts';
import { scalePerSize } from './per-size-scaling.ts';
import { familyLine, type SizedScalings, type SizeTarget } from './scalings.ts';
import type { Base } from '../search/search-phase.ts';
import { scaleByOneTriple } from './single-triple-scaling.ts';
import { type ScalingTrainings, TargetScalings } from './target-scalings.ts';

/** Latency-aware compound scaling of one base for every target, and the fixed rules it is compared with. */
export async function scaleBase(context: StudyContext, base: Base): Promise<SizedScalings[]> {
  const trainings: ScalingTrainings = new Map();
  const results: SizedScalings[] = [];
  for (const [target, config] of Object.entries(context.config.targets)) {
    const scalings = new TargetScalings(context, base, { target, config, trainings });
    const sizes = await scalings.sizes();
    await scalings.begin(sizes);
    results.push(...(await scaleFamily(scalings, sizes)));
    for (const baseline of context.config.final.baselines)
      if ('rule' in baseline) {
        const rule = parseRule(baseline.rule);
        results.push(...(await scaleByRule(scalings, sizes, { rule, line: rule.name })));
      }
  }
  return results;
}

/** The family itself, by the study's scaling rule. */
function scaleFamily(scalings: TargetScalings, sizes: readonly SizeTarget[]): Promise<SizedScalings[]> {
  const { rule } = scalings.context.config.scale;
  if (rule === 'per-size') return scalePerSize(scalings, sizes);
  if (rule === 'single-triple') return scaleByOneTriple(scalings, sizes);
  return scaleByRule(scalings, sizes, { rule: parseRule(rule), line: familyLine });
}
