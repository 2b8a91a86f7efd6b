import type { FamilySummary, MemberSummary, TargetSummary } from '../study/deliver/summary.ts';
import { percent, plural, shortened } from './format.ts';
import { p50Interval } from './headline.ts';
import { intervalTitle } from './latencies.ts';
import { limitLine, limitMs } from './limit-line.ts';
import { byLatency, lineTitle, styledLines } from './line-styles.ts';
import type { Markup } from './markup.ts';
import { targetSettingText, timedText } from './settings.ts';
import {
  axes,
  type Box,
  boxAround,
  boxesAlong,
  chart,
  clampedShare,
  errorBar,
  group,
  legend,
  logScale,
  marker,
  percentScale,
  placeLabels,
  type PointLabel,
  polyline,
  type Scale,
  type SeriesStyle,
} from './svg.ts';

/** Test accuracy against latency: the family, each rule on the same base, the user's own models, the limit. */
export function familyChart(target: TargetSummary, width = 560, height = 380): Markup | null {
  const members = target.lines.flatMap((line) => line.members);
  if (members.length === 0) return null;
  const key = legend(
    styledLines(target).map(({ line, style }) => ({
      name: lineTitle(line),
      style,
      swatch: line.members.length > 1 && line.kind !== 'user-model' ? ('line' as const) : ('point' as const),
    })),
    8,
    2,
    width - 16,
  );
  const plot: Box = { left: 44, top: key.height + 28, right: width - 14, bottom: height - 44 };
  const x = logScale(
    [...members.flatMap((member) => [member.latency.p50Ms, ...p50Interval(member)]), ...limitMs(target)],
    [plot.left, plot.right],
  );
  const y = percentScale(members.flatMap(accuracyRange), [plot.bottom, plot.top]);
  const drawn = styledLines(target).map(({ line, style }) => drawLine(line, style, x, y));
  const limit = limitLine(target, x, plot);
  const labels = drawn.flatMap((line) => line.labels);
  const obstacles = [...drawn.flatMap((line) => line.obstacles), ...(limit ? [limit.box] : [])];
  return chart(
    width,
    height,
    `Test accuracy against latency of ${timedText(target)} on ${target.name}`,
    key.drawing,
    axes(
      plot,
      {
        scale: x,
        title: `${latencyWord(members)} of ${timedText(target)}, ${targetSettingText(target)} (ms, log scale)`,
      },
      { scale: y, title: 'test top-1 (%)' },
    ),
    limit?.drawing,
    drawn.map((line) => line.drawing),
    placeLabels(labels, obstacles, { ...plot, top: plot.top - 10 }),
  );
}

function drawLine(line: FamilySummary, style: SeriesStyle, x: Scale, y: Scale) {
  const members = byLatency(line.members);
  const points = members.map((member) => [x.at(member.latency.p50Ms), y.at(member.testAccuracy.mean)] as const);
  const bars = members.map((member, index) => {
    const [px, py] = points[index] as readonly [number, number];
    const [lo, hi] = p50Interval(member);
    const [low, high] = accuracyRange(member);
    return [
      hi > lo && errorBar(x.at(lo), py, x.at(hi), py, style.color),
      high > low && errorBar(px, y.at(low), px, y.at(high), style.color),
    ];
  });
  const marks = members.map((member, index) =>
    marker(...(points[index] as readonly [number, number]), style, memberTitle(line, member)),
  );
  const whiskers = members.flatMap((member, index) => {
    const [px] = points[index] as readonly [number, number];
    const [low, high] = accuracyRange(member);
    return boxesAlong([
      [px, y.at(low)],
      [px, y.at(high)],
    ]);
  });
  return {
    drawing: group({}, line.kind !== 'user-model' && points.length > 1 && polyline(points, style), bars, marks),
    labels: members.flatMap((member, index): readonly PointLabel[] => {
      // The legend names rules and a single model; a label at each point would crowd the family's.
      if (line.kind === 'rule' || (line.kind === 'user-model' && members.length === 1)) return [];
      const [px, py] = points[index] as readonly [number, number];
      return [{ x: px, y: py, text: shortened(member.size, 24), color: style.color }];
    }),
    obstacles: [
      ...points.map(([px, py]) => boxAround(px, py, 6)),
      ...(line.kind === 'user-model' ? [] : boxesAlong(points)),
      ...whiskers,
    ],
  };
}

/** A standard deviation either side of the mean, as far as there are accuracies. */
function accuracyRange({ testAccuracy: { mean, sd } }: MemberSummary): readonly [low: number, high: number] {
  return [clampedShare(mean - (sd ?? 0)), clampedShare(mean + (sd ?? 0))];
}

function latencyWord(members: readonly MemberSummary[]): string {
  return members.some((member) => member.latency.source === 'predicted') ? 'predicted p50 latency' : 'p50 latency';
}

function memberTitle(line: FamilySummary, member: MemberSummary): string {
  const { mean, sd, values } = member.testAccuracy;
  const spread = sd === null ? '' : ` ± ${(sd * 100).toFixed(1)} over ${plural(values.length, 'seed')}`;
  return `${lineTitle(line)} ${member.size}: ${percent(mean)}${spread}, ${intervalTitle(member)}`;
}
