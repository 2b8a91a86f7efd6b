import type { ElasticitySummary, MemberSummary, StudySummary, TargetSummary } from '../study/deliver/summary.ts';
import { percent, plural, significant } from './format.ts';
import { byLatency, lineTitle, styledLines } from './line-styles.ts';
import { type Content, element, type Markup } from './markup.ts';
import { note, section } from './page-parts.ts';
import { p50Title } from './settings.ts';
import { axes, type Box, chart, legend, linearScale, logScale, marker, polyline, segment } from './svg.ts';

/** How depth, width and resolution grow with latency. */
export function multiplierSection(summary: Pick<StudySummary, 'targets' | 'data'>): Content {
  const rows = summary.targets.flatMap((target) => {
    const charts = (['depth', 'width', 'resolution'] as const).flatMap(
      (factor) => multiplierChart(target, factor) ?? [],
    );
    const title = summary.targets.length > 1 && element('h3', {}, target.name);
    return charts.length > 0
      ? [
          title,
          target.elasticity && elasticityNote(target.elasticity),
          linesLegend(target),
          element(
            'div',
            { class: 'thirds' },
            charts.map((one) => element('figure', {}, one)),
          ),
        ]
      : [];
  });
  if (rows.length === 0) return null;
  return section(
    'Multipliers',
    note(
      `As realised after rounding, against the base. The data’s native size is ${summary.data.native}; no network asks for more.`,
    ),
    rows,
  );
}

function elasticityNote({ exponents, observations, residualSd, determined }: ElasticitySummary): Markup {
  const parts = (['depth', 'width', 'resolution'] as const).map((axis) => {
    const { value, lo, hi } = exponents[axis];
    return `${axis}^${value.toFixed(2)} (${lo.toFixed(2)} to ${hi.toFixed(2)})`;
  });
  return note(
    `Latency grows as ${parts.join(' · ')}, from ${plural(observations, 'scaling')} with 95 % intervals, ± ${percent(residualSd)} about that` +
      `${determined ? '.' : '; too few or too alike to tell without assumptions.'}`,
  );
}

/** One multiplier against latency, over the family and the rules; 1 is the base. */
function multiplierChart(
  target: TargetSummary,
  factor: 'depth' | 'width' | 'resolution',
  width = 380,
  height = 230,
): Markup | null {
  const lines = styledLines(target)
    .map(({ line, style }) => ({ style, members: byLatency(line.members).filter((member) => member.multipliers) }))
    .filter(({ members }) => members.length > 0);
  const all = lines.flatMap(({ members }) => members);
  if (all.length === 0) return null;
  const value = (member: MemberSummary): number => member.multipliers?.[factor] ?? 1;
  const plot: Box = { left: 40, top: 28, right: width - 12, bottom: height - 42 };
  const x = logScale(
    all.map((member) => member.latency.p50Ms),
    [plot.left, plot.right],
    { most: 5 },
  );
  const y = linearScale([...all.map(value), 1], [plot.bottom, plot.top], { count: 4 });
  return chart(
    width,
    height,
    `${factor} multiplier against latency on ${target.name}`,
    axes(plot, { scale: x, title: `${p50Title(target)} (ms, log scale)` }, { scale: y, title: `${factor} ×` }),
    segment(plot.left, y.at(1), plot.right, y.at(1), { class: 'axis' }),
    // The family last, on top.
    lines.toReversed().map(({ members, style }) => {
      const points = members.map((member) => [x.at(member.latency.p50Ms), y.at(value(member))] as const);
      return [
        polyline(points, style),
        members.map((member, index) =>
          marker(
            ...(points[index] as readonly [number, number]),
            style,
            `${member.size}: ${factor} × ${significant(value(member))}`,
            {
              radius: 4.5,
            },
          ),
        ),
      ];
    }),
  );
}

/** Legend of a target's family and rules, for figures that share it. */
function linesLegend(target: TargetSummary, width = 1160): Markup {
  const entries = styledLines(target)
    .filter(({ line }) => line.kind !== 'user-model')
    .map(({ line, style }) => ({ name: lineTitle(line), style }));
  const { drawing, height } = legend(entries, 8, 2, width - 16);
  return chart(width, height + 6, 'Legend', drawing);
}
