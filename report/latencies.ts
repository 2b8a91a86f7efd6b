import { quantile } from '../core/quantile.ts';
import type { MemberSummary, StudySummary } from '../study/deliver/summary.ts';
import { grouped, milliseconds, percent, shortened, significant } from './format.ts';
import { p50Interval } from './headline.ts';
import { type Content, element, type Markup } from './markup.ts';
import { section, table } from './page-parts.ts';
import { sourceText, verdictText } from './source.ts';
import {
  axes,
  bar,
  type Box,
  chart,
  group,
  label,
  legend,
  linearScale,
  marker,
  plainNumber,
  type Scale,
  segment,
  seriesStyles,
} from './svg.ts';

const [blue, vermillion] = seriesStyles;

/** How the final latencies were measured, and what they were. */
export function latencySection(summary: Pick<StudySummary, 'targets'>): Content {
  const blocks = summary.targets.flatMap((target) => {
    const members = target.lines.filter((line) => line.kind !== 'rule').flatMap((line) => line.members);
    const figure = latencyChart(members);
    if (!figure) return [];
    const rows = members.map((member) => {
      const { latency } = member;
      return [
        member.size,
        significant(latency.p50Ms),
        significant(latency.p90Ms),
        latency.p99Ms === null
          ? latency.reported
            ? '– (not reported)'
            : '– (under 300 runs)'
          : significant(latency.p99Ms),
        String(latency.sessions),
        grouped(latency.samples),
        String(latency.rejectedBlocks),
        percent(latency.drift),
        sourceText(latency),
        verdictText(latency),
      ];
    });
    return [
      element('h3', {}, target.name),
      element('figure', {}, figure),
      table(
        ['size', 'p50 ms', 'p90 ms', 'p99 ms', 'sessions', 'runs', 'blocks rejected', 'drift', 'source', 'verdict'],
        rows,
      ),
    ];
  });
  return blocks.length > 0 && section('Latency distributions', blocks);
}

/** A network's latency under a name. */
type TimedNetwork = Pick<MemberSummary, 'size' | 'latency'>;

/**
 * Single runs against each network's own p50, a row each: a strip of runs, a box of their
 * quartiles, the medians of the sessions (diamonds) and the p50's interval (bar under the strip).
 */
export function latencyChart(members: readonly TimedNetwork[], width = 1160): Markup | null {
  const rows = members.filter((member) => sessionsAndSamples(member).length > 0);
  if (rows.length === 0) return null;
  const rowHeight = 56;
  const plot: Box = { left: 190, top: 30, right: width - 92, bottom: 30 + rows.length * rowHeight };
  const central = rows.flatMap((member) => {
    const sorted = (member.latency.samplesMs ?? []).toSorted((a, b) => a - b);
    const bulk = sorted.length > 0 ? [quantile(sorted, 0.01), quantile(sorted, 0.9)] : [];
    return [...bulk, ...(member.latency.sessionP50Ms ?? []), ...p50Interval(member)].map(
      (ms) => ms / member.latency.p50Ms - 1,
    );
  });
  const x = linearScale([...central, -0.01, 0.01], [plot.left, plot.right], { count: 8, format: signedPercentTick });
  const key = legend(
    [
      { name: 'single runs, box of quartiles', style: { ...blue, shape: 'circle' }, swatch: 'point' },
      { name: 'median of one session', style: { ...vermillion, shape: 'diamond' }, swatch: 'point' },
      { name: 'interval of the p50', style: { color: 'var(--ink)', shape: 'square' }, swatch: 'bar' },
    ],
    plot.left - 8,
    2,
    width,
  );
  return chart(
    width,
    plot.bottom + 46,
    'Distribution of single runs and session medians about each network’s p50',
    key.drawing,
    axes(plot, { scale: x, title: 'time of one run, against the network’s own p50' }, null),
    x.ticks.map(({ value }) => segment(x.at(value), plot.top, x.at(value), plot.bottom, { class: 'grid' })),
    rows.map((member, row) => latencyRow(member, plot.top + row * rowHeight, x, plot)),
  );
}

function latencyRow(member: TimedNetwork, top: number, x: Scale, plot: Box): Markup {
  const { latency } = member;
  const middle = top + 24;
  const inside = (ms: number): boolean => {
    const position = at(ms);
    return position >= plot.left && position <= plot.right;
  };
  const at = (ms: number): number => x.at(ms / latency.p50Ms - 1);
  const samples = latency.samplesMs ?? [];
  const sorted = samples.toSorted((a, b) => a - b);
  const shown = samples.filter(inside);
  const beyond = samples.length - shown.length;
  const [lo, hi] = p50Interval(member);
  const box: Content = sorted.length >= 4 && [
    group(
      { fill: 'none', stroke: 'var(--blue)', 'stroke-width': 1.5 },
      bar(
        { left: at(quantile(sorted, 0.25)), right: at(quantile(sorted, 0.75)), top: middle - 11, bottom: middle + 11 },
        'none',
        `quartiles ${milliseconds(quantile(sorted, 0.25))} to ${milliseconds(quantile(sorted, 0.75))}`,
      ),
    ),
  ];
  return group(
    {},
    label(plot.left - 12, middle - 2, shortened(member.size, 22), { anchor: 'end', bold: true }),
    label(plot.left - 12, middle + 14, milliseconds(latency.p50Ms), { anchor: 'end', soft: true }),
    group(
      { fill: 'var(--blue)', opacity: 0.35 },
      shown.map((ms, index) => dot(at(ms), middle + spread(index) * 9)),
    ),
    box,
    hi > lo &&
      bar({ left: at(lo), right: at(hi), top: middle + 15, bottom: middle + 19 }, 'var(--ink)', intervalTitle(member)),
    (latency.sessionP50Ms ?? []).filter(inside).map((ms) =>
      marker(at(ms), middle, { color: 'var(--vermillion)', shape: 'diamond' }, `session median ${milliseconds(ms)}`, {
        radius: 4,
      }),
    ),
    beyond > 0 && label(plot.right + 8, middle + 4, `+${beyond} beyond`, { soft: true }),
    segment(plot.left, top + 50, plot.right, top + 50, { class: 'grid' }),
  );
}

function dot(x: number, y: number): Markup {
  return segment(x, y, x + 0.01, y, { stroke: 'var(--blue)', 'stroke-width': 3, 'stroke-linecap': 'round' });
}

/** Even, repeatable spread in [−1, 1): multiples of the golden ratio. */
function spread(index: number): number {
  return ((index * 0.618_033_988_75) % 1) * 2 - 1;
}

function sessionsAndSamples({ latency }: TimedNetwork): readonly number[] {
  return [...(latency.samplesMs ?? []), ...(latency.sessionP50Ms ?? [])];
}

/** A network’s p50 with its interval, in words. */
export function intervalTitle(member: TimedNetwork): string {
  const { level } = member.latency.intervalMs;
  const [lo, hi] = p50Interval(member);
  const interval = hi > lo ? ` (${percent(level, 0)} interval ${significant(lo)}–${milliseconds(hi)})` : '';
  return `p50 ${milliseconds(member.latency.p50Ms)}${interval}`;
}

function signedPercentTick(share: number): string {
  return `${share > 0 ? '+' : ''}${plainNumber(share * 100)} %`.replace('-', '−');
}
