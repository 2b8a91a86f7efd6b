import type { FamilySummary, MemberSummary, TargetSummary } from '../study/deliver/summary.ts';
import { shortened } from './format.ts';
import { type SeriesStyle, seriesStyles } from './svg.ts';

// How the lines that a report compares look in its figures, and what they are called there.

const [blue, vermillion, green, purple, ...others] = seriesStyles;

/** Lines with the style they keep in every figure: the family blue circles, the user's models purple diamonds. */
export function styledLines(
  target: TargetSummary,
): readonly { readonly line: FamilySummary; readonly style: SeriesStyle }[] {
  const ruleStyles = [vermillion, green, ...others];
  let rules = 0;
  return target.lines
    .filter((line) => line.members.length > 0)
    .map((line) => {
      if (line.kind === 'family') return { line, style: blue };
      if (line.kind === 'user-model') return { line, style: purple };
      return { line, style: ruleStyles[rules++ % ruleStyles.length] as SeriesStyle };
    });
}

/** What a line is called in a legend. */
export function lineTitle(line: FamilySummary): string {
  if (line.kind === 'family') return 'this family';
  return line.kind === 'rule' ? `rule ${line.name}` : shortened(line.name, 44);
}

/** From the fastest. */
export function byLatency(members: readonly MemberSummary[]): readonly MemberSummary[] {
  return members.toSorted((a, b) => a.latency.p50Ms - b.latency.p50Ms);
}
