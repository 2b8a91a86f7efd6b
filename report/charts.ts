import { quantile } from '../core/quantile.ts';
import type { Choices } from '../core/trial.ts';
import { phaseNames } from '../study/journal/events.ts';
import type {
  FamilySummary,
  MemberSummary,
  StudySummary,
  TargetSummary,
  TrialSummary,
} from '../study/deliver/summary.ts';
import { duration, grouped, milliseconds, percent, plural, significant } from './format.ts';
import { limitText, p50Interval } from './headline.ts';
import type { Content, Markup } from './markup.ts';
import { isPerExample, p50Title, targetSettingText, timedText } from './settings.ts';
import {
  axes,
  bar,
  boxAround,
  boxesAlong,
  chart,
  clampedShare,
  errorBar,
  group,
  label,
  legend,
  linearScale,
  logScale,
  marker,
  percentScale,
  placeLabels,
  plainNumber,
  polyline,
  segment,
  seriesStyle,
  seriesStyles,
  textWidth,
  type Box,
  type PointLabel,
  type Scale,
  type SeriesStyle,
} from './svg.ts';

// The report's figures. Each returns null when there is nothing to draw.

const [blue, vermillion, green, purple] = seriesStyles as readonly [SeriesStyle, SeriesStyle, SeriesStyle, SeriesStyle];

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
  // A limit is of a run.
  const limit =
    target.limit && !isPerExample(target) ? drawLimit(limitText(target.limit), target.limit.ms, x, plot) : null;
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

/** What the search's chart needs of a trial. */
export type ChartedTrial = Pick<
  TrialSummary,
  'id' | 'phase' | 'seed' | 'choices' | 'status' | 'reason' | 'fidelityExamples' | 'accuracy' | 'latencyMs' | 'onFront'
>;

/**
 * Hold-out accuracy against latency of the search's trials on one target, its Pareto front, and what was refused. Of a search over
 * rungs, those of the highest: accuracies of other rungs are others (report/rungs.ts). Finalists trained again with other seeds are the same
 * networks, and left out.
 */
export function searchChart(
  summary: Pick<StudySummary, 'targets' | 'seed'> & {
    readonly trials: readonly ChartedTrial[];
    readonly base: { readonly trial: string } | null;
  },
  target: TargetSummary,
  width = 600,
  height = 380,
): Markup | null {
  const search = summary.trials.filter(({ phase, seed }) => phase === 'search' && seed === summary.seed);
  const latencyOf = (trial: ChartedTrial): number | undefined => trial.latencyMs[target.name];
  const measured = search.filter((trial) => trial.accuracy !== undefined && latencyOf(trial) !== undefined);
  const refused = search.filter((trial) => trial.status === 'infeasible' && latencyOf(trial) !== undefined);
  if (measured.length === 0) return null;
  const full = Math.max(...measured.map((trial) => trial.fidelityExamples));
  const scored = measured.filter((trial) => trial.fidelityExamples === full);
  const front = scored.filter((trial) => trial.onFront).toSorted((a, b) => (latencyOf(a) ?? 0) - (latencyOf(b) ?? 0));
  const dominated = scored.filter((trial) => !trial.onFront);
  const base = scored.find((trial) => trial.id === summary.base?.trial);
  const grey: SeriesStyle = { color: 'var(--soft)', shape: 'circle' };
  const ring: SeriesStyle = { color: 'var(--ink)', shape: 'circle' };
  const key = legend(
    [
      { name: 'Pareto front', style: blue, swatch: summary.targets.length === 1 ? 'line' : 'point' },
      ...(dominated.length > 0 ? [{ name: 'other trials', style: grey, swatch: 'point' as const }] : []),
      ...(base ? [{ name: 'base', style: ring, swatch: 'hollow' as const }] : []),
      ...(refused.length > 0 ? [{ name: 'infeasible', style: vermillion, swatch: 'tick' as const }] : []),
    ],
    8,
    2,
    width - 16,
  );
  const plot: Box = { left: 44, top: key.height + 28, right: width - 14, bottom: height - 44 };
  const times = [...scored, ...refused].map((trial) => latencyOf(trial) ?? 0);
  const x = logScale([...times, ...limitMs(target)], [plot.left, plot.right]);
  const y = percentScale(
    scored.map((trial) => trial.accuracy ?? 0),
    // A band below the lowest trial belongs to the ticks of the infeasible.
    [plot.bottom - (refused.length > 0 ? 16 : 0), plot.top],
  );
  const at = (trial: ChartedTrial): readonly [number, number] => [
    x.at(latencyOf(trial) ?? 0),
    y.at(trial.accuracy ?? 0),
  ];
  const mark =
    (style: SeriesStyle, options: Parameters<typeof marker>[4]) =>
    (trial: ChartedTrial): Markup =>
      marker(...at(trial), style, trialTitle(trial, target.name), options);
  // A limit is of a run.
  const limit =
    target.limit && !isPerExample(target) ? drawLimit(limitText(target.limit), target.limit.ms, x, plot) : null;
  return chart(
    width,
    height,
    `Hold-out accuracy against latency of the search trials on ${target.name}`,
    key.drawing,
    axes(
      plot,
      { scale: x, title: `${p50Title(target)} on ${target.name} (ms, log scale)` },
      {
        scale: y,
        title: `hold-out top-1${scored.length < measured.length ? ` after ${grouped(full)} examples` : ''} (%)`,
      },
    ),
    limit?.drawing,
    refused.map((trial) =>
      group(
        { stroke: 'var(--vermillion)', 'stroke-width': 1.5 },
        bar(
          { ...boxAround(x.at(latencyOf(trial) ?? 0), plot.bottom - 6, 6), ...thin(x.at(latencyOf(trial) ?? 0)) },
          'var(--vermillion)',
          trialTitle(trial, target.name),
        ),
      ),
    ),
    // With several targets the front is joint, so it is no staircase on any one of them.
    summary.targets.length === 1 && front.length > 1 && polyline(staircase(front.map(at)), { ...blue, dash: '' }, 1.5),
    base && marker(...at(base), ring, 'base', { radius: 9, hollow: true }),
    dominated.map(mark(grey, { radius: 3.5, opacity: 0.7 })),
    front.map(mark(blue, { radius: 5 })),
  );
}

/** One multiplier against latency, over the family and the rules; 1 is the base. */
export function multiplierChart(
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
export function linesLegend(target: TargetSummary, width = 1160): Markup {
  const entries = styledLines(target)
    .filter(({ line }) => line.kind !== 'user-model')
    .map(({ line, style }) => ({ name: lineTitle(line), style }));
  const { drawing, height } = legend(entries, 8, 2, width - 16);
  return chart(width, height + 6, 'Legend', drawing);
}

/** Training curves of networks, one colour each. */
export function curvesChart(
  members: readonly Pick<MemberSummary, 'size' | 'curve'>[],
  quantity: 'loss' | 'accuracy',
  width = 580,
  height = 300,
): Markup | null {
  const curves = members
    .map((member, index) => ({
      name: member.size,
      style: { ...seriesStyle(index) },
      points: (member.curve ?? []).flatMap((point) => {
        const value = point[quantity];
        return value === undefined || !Number.isFinite(value) ? [] : [{ examples: point.examples, value }];
      }),
    }))
    .filter(({ points }) => points.length > 1);
  if (curves.length === 0) return null;
  const key = legend(
    curves.map(({ name, style }) => ({ name, style })),
    8,
    2,
    width - 16,
  );
  // Half of a tick's label stands right of the plot where the last tick is at its end.
  const plot: Box = { left: 44, top: key.height + 28, right: width - 30, bottom: height - 44 };
  const points = curves.flatMap((curve) => curve.points);
  const x = linearScale([0, ...points.map((point) => point.examples)], [plot.left, plot.right], {
    format: shortCount(points),
  });
  const y = (quantity === 'accuracy' ? percentScale : linearScale)(
    points.map((point) => point.value),
    [plot.bottom, plot.top],
  );
  return chart(
    width,
    height,
    quantity === 'loss' ? 'Training loss of each size' : 'Accuracy during training of each size',
    key.drawing,
    axes(
      plot,
      { scale: x, title: 'training examples seen' },
      { scale: y, title: quantity === 'loss' ? 'training loss (nats, as trained)' : 'accuracy while training (%)' },
    ),
    curves.map(({ points, style, name }) => {
      const pixels = points.map((point) => [x.at(point.examples), y.at(point.value)] as const);
      const every = Math.max(1, Math.round(points.length / 6));
      return [
        polyline(pixels, { ...style, dash: '' }, 1.75),
        points.map((point, index) => {
          if (index % every !== 0 && index !== points.length - 1) return null;
          const value = quantity === 'loss' ? significant(point.value) : percent(point.value);
          const title = `${name}: ${value} after ${grouped(point.examples)} examples`;
          return marker(...(pixels[index] as readonly [number, number]), style, title, { radius: 3.5 });
        }),
      ];
    }),
  );
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

/** Where the wall time went by phase, and the trials' own seconds of training and measuring. */
export function timeChart(summary: StudySummary, width = 1160): Markup | null {
  const phases = phaseNames.flatMap((phase, index) => {
    const seconds = summary.phaseS[phase] ?? 0;
    return seconds > 0 ? [{ name: phase as string, seconds, color: seriesStyle(index).color }] : [];
  });
  const phaseTotal = phases.reduce((sum, { seconds }) => sum + seconds, 0);
  const rest = summary.activeS - phaseTotal;
  if (rest > 0.02 * summary.activeS) phases.push({ name: 'other', seconds: rest, color: 'var(--line)' });
  const work = [
    { name: 'training', seconds: summary.trainS, color: blue.color },
    { name: 'measuring', seconds: summary.measureS, color: vermillion.color },
  ].filter(({ seconds }) => seconds > 0);
  const rows = [
    { title: 'wall time', parts: phases },
    { title: 'work of the trials', parts: work },
  ].filter(({ parts }) => parts.length > 0);
  if (rows.length === 0) return null;
  const rowHeight = 64;
  const plot: Box = { left: 130, top: 8, right: width - 110, bottom: 8 + rows.length * rowHeight };
  const totals = rows.map(({ parts }) => parts.reduce((sum, { seconds }) => sum + seconds, 0));
  const unit = timeUnit(Math.max(...totals));
  const x = linearScale([0, ...totals.map((total) => total / unit.seconds)], [plot.left, plot.right], { count: 8 });
  return chart(
    width,
    plot.bottom + 44,
    'Where the time went',
    axes(plot, { scale: x, title: unit.name }, null),
    rows.map(({ title, parts }, row) => {
      const top = plot.top + row * rowHeight;
      const total = totals[row] ?? 0;
      return [
        label(plot.left - 12, top + 26, title, { anchor: 'end' }),
        stackedBar(parts, x, unit.seconds, top + 8),
        label(x.at(total / unit.seconds) + 8, top + 26, duration(total), { bold: true }),
      ];
    }),
  );
}

/** A trial's choices as brief text for tooltips and tables. */
function choicesText(choices: Choices): string {
  return Object.entries(choices)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? plainNumber(value) : String(value)}`)
    .join(', ');
}

/** Lines with the style they keep in every figure: the family blue circles, the user's models purple diamonds. */
function styledLines(target: TargetSummary): readonly { readonly line: FamilySummary; readonly style: SeriesStyle }[] {
  const ruleStyles = [vermillion, green, ...seriesStyles.slice(4)];
  let rules = 0;
  return target.lines
    .filter((line) => line.members.length > 0)
    .map((line) => {
      if (line.kind === 'family') return { line, style: blue };
      if (line.kind === 'user-model') return { line, style: purple };
      return { line, style: ruleStyles[rules++ % ruleStyles.length] as SeriesStyle };
    });
}

function lineTitle(line: FamilySummary): string {
  if (line.kind === 'family') return 'this family';
  return line.kind === 'rule' ? `rule ${line.name}` : shortened(line.name, 44);
}

/** Model names are file names: their end tells them apart. */
function shortened(text: string, most: number): string {
  return text.length <= most ? text : `…${text.slice(1 - most)}`;
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

function drawLimit(text: string, ms: number, x: Scale, plot: Box) {
  const px = x.at(ms);
  const width = textWidth(text);
  const fitsLeft = px - width - 6 > plot.left;
  const left = fitsLeft ? px - width - 6 : px + 6;
  return {
    drawing: group(
      {},
      segment(px, plot.top - 8, px, plot.bottom, {
        stroke: 'var(--ink)',
        'stroke-width': 1.25,
        'stroke-dasharray': '3 3',
      }),
      label(fitsLeft ? px - 6 : px + 6, plot.top - 1, text, { anchor: fitsLeft ? 'end' : 'start', halo: true }),
    ),
    box: { left, right: left + width, top: plot.top - 14, bottom: plot.top + 2 },
  };
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

function stackedBar(
  parts: readonly { readonly name: string; readonly seconds: number; readonly color: string }[],
  x: Scale,
  unitSeconds: number,
  top: number,
): Content {
  let from = 0;
  let freeLeft = -Infinity;
  return parts.map(({ name, seconds, color }) => {
    const [left, right] = [x.at(from / unitSeconds), x.at((from + seconds) / unitSeconds)];
    from += seconds;
    const text = `${name} ${duration(seconds)}`;
    // Names stand below their part, unless the one before needs the place; tooltips name every part.
    const fits = left >= freeLeft && textWidth(text) < Math.max(right - left, 70) + 20;
    if (fits) freeLeft = left + textWidth(text) + 8;
    return [
      bar({ left, right: Math.max(left + 0.5, right - 1.5), top, bottom: top + 26 }, color, text),
      fits && label(left, top + 42, text, { soft: true }),
    ];
  });
}

function sessionsAndSamples({ latency }: TimedNetwork): readonly number[] {
  return [...(latency.samplesMs ?? []), ...(latency.sessionP50Ms ?? [])];
}

function timeUnit(seconds: number): { readonly seconds: number; readonly name: string } {
  if (seconds >= 7200) return { seconds: 3600, name: 'hours' };
  return seconds >= 300 ? { seconds: 60, name: 'minutes' } : { seconds: 1, name: 'seconds' };
}

function staircase(points: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  return points.flatMap(([px, py], index) => {
    const before = points[index - 1];
    return before ? [[px, before[1]] as const, [px, py] as const] : [[px, py] as const];
  });
}

function thin(x: number): { readonly left: number; readonly right: number } {
  return { left: x - 0.25, right: x + 0.25 };
}

function byLatency(members: readonly MemberSummary[]): readonly MemberSummary[] {
  return members.toSorted((a, b) => a.latency.p50Ms - b.latency.p50Ms);
}

/** A standard deviation either side of the mean, as far as there are accuracies. */
function accuracyRange({ testAccuracy: { mean, sd } }: MemberSummary): readonly [low: number, high: number] {
  return [clampedShare(mean - (sd ?? 0)), clampedShare(mean + (sd ?? 0))];
}

function limitMs(target: TargetSummary): readonly number[] {
  return target.limit ? [target.limit.ms] : [];
}

function latencyWord(members: readonly MemberSummary[]): string {
  return members.some((member) => member.latency.source === 'predicted') ? 'predicted p50 latency' : 'p50 latency';
}

function memberTitle(line: FamilySummary, member: MemberSummary): string {
  const { mean, sd, values } = member.testAccuracy;
  const spread = sd === null ? '' : ` ± ${(sd * 100).toFixed(1)} over ${plural(values.length, 'seed')}`;
  return `${lineTitle(line)} ${member.size}: ${percent(mean)}${spread}, ${intervalTitle(member)}`;
}

function intervalTitle(member: TimedNetwork): string {
  const { level } = member.latency.intervalMs;
  const [lo, hi] = p50Interval(member);
  const interval = hi > lo ? ` (${percent(level, 0)} interval ${significant(lo)}–${milliseconds(hi)})` : '';
  return `p50 ${milliseconds(member.latency.p50Ms)}${interval}`;
}

function trialTitle(trial: ChartedTrial, target: string): string {
  const ms = trial.latencyMs[target];
  const parts = [
    trial.accuracy === undefined
      ? `${trial.status}${trial.reason ? ` (${trial.reason})` : ''}`
      : percent(trial.accuracy),
    ms === undefined ? null : milliseconds(ms),
    `${grouped(trial.fidelityExamples)} examples`,
    choicesText(trial.choices),
  ];
  return `${trial.id}: ${parts.filter((part) => part !== null && part !== '').join(', ')}`;
}

function signedPercentTick(share: number): string {
  return `${share > 0 ? '+' : ''}${plainNumber(share * 100)} %`.replace('-', '−');
}

/** One unit for a whole axis. */
function shortCount(points: readonly { readonly examples: number }[]): (value: number) => string {
  const most = Math.max(...points.map(({ examples }) => examples));
  const [size, unit] = most >= 2e6 ? [1e6, ' M'] : most >= 1e4 ? [1e3, ' k'] : [1, ''];
  return (value) => (value === 0 ? '0' : `${plainNumber(value / size)}${unit}`);
}
