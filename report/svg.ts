import { element, type Attributes, type Content, type Markup } from './markup.ts';

// Chart primitives: scales, axes, marks, labels, legend. Colours are CSS variables, so that one
// chart serves light and dark pages; `chartStyle` defines them.

/** A labelled position on an axis. */
interface Tick {
  readonly value: number;
  readonly label: string;
}

/** Maps values to pixels. */
export interface Scale {
  readonly kind: 'linear' | 'log';
  readonly domain: readonly [number, number];
  /** Pixels of the domain's ends; descending for y. */
  readonly range: readonly [number, number];
  readonly ticks: readonly Tick[];
  at(value: number): number;
}

/** Pixels of a rectangle, of a plot or of something labels should not cover. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

type Shape = 'circle' | 'square' | 'triangle' | 'diamond';

/** How a series looks: told apart by colour, shape and dash, never by colour alone. */
export interface SeriesStyle {
  readonly color: string;
  readonly shape: Shape;
  readonly dash?: string;
}

/**
 * Styles in order of use. Colours are Okabe & Ito (2008), "Color Universal Design", without its
 * yellow, which is too pale on white.
 */
export const seriesStyles: readonly [SeriesStyle, SeriesStyle, SeriesStyle, SeriesStyle, SeriesStyle, SeriesStyle] = [
  { color: 'var(--blue)', shape: 'circle' },
  { color: 'var(--vermillion)', shape: 'square', dash: '7 4' },
  { color: 'var(--green)', shape: 'triangle', dash: '2 4' },
  { color: 'var(--purple)', shape: 'diamond', dash: '9 3 2 3' },
  { color: 'var(--orange)', shape: 'square', dash: '4 3' },
  { color: 'var(--sky)', shape: 'triangle', dash: '12 4' },
];

/** Style number `index`, starting over when there are more series than styles. */
export function seriesStyle(index: number): SeriesStyle {
  return seriesStyles[index % seriesStyles.length] as SeriesStyle;
}

/** Rules the charts need from their page; dark colours are lighter steps of the same hues. */
export const chartStyle = `
:root { --ink: #1c1f24; --soft: #5b626d; --line: #d9dce1; --paper: #ffffff; --panel: #f6f7f9;
  --blue: #0072b2; --vermillion: #d55e00; --green: #008f6b; --purple: #b3588f; --orange: #c98500; --sky: #3a9bd1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3abb8; --line: #3a404a; --paper: #14171b;
  --panel: #1c2026; --blue: #56b4e9; --vermillion: #ff8a3d; --green: #2fcf9f; --purple: #e39ac6; --orange: #f0b83c;
  --sky: #9ad4f5; } }
@media print { :root { --ink: #000; --soft: #444; --line: #ccc; --paper: #fff; --panel: #fff; --blue: #0072b2;
  --vermillion: #d55e00; --green: #008f6b; --purple: #b3588f; --orange: #c98500; --sky: #3a9bd1; } }
svg.chart { display: block; width: 100%; height: auto; font: 12px/1.2 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; }
svg.chart text { fill: var(--ink); }
svg.chart text.soft { fill: var(--soft); }
svg.chart text.halo { paint-order: stroke; stroke: var(--paper); stroke-width: 3.5px; stroke-linejoin: round; }
svg.chart .grid { stroke: var(--line); stroke-width: 1; }
svg.chart .axis { stroke: var(--soft); stroke-width: 1; fill: none; }
`;

/** Width of a text in pixels, estimated at the charts' 12 px font. */
export function textWidth(text: string): number {
  return text.length * 6.6;
}

/** Distance between round ticks: 1, 2 or 5 times a power of ten, giving about `count` of them. */
export function niceStep(span: number, count: number): number {
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const mantissa = rough / power;
  return power * (mantissa >= 7.07 ? 10 : mantissa >= 3.16 ? 5 : mantissa >= 1.41 ? 2 : 1);
}

/** Round values inside [low, high], ends included. */
export function linearTicks(low: number, high: number, count: number): readonly number[] {
  const step = niceStep(high - low, count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => clean((first + index) * step));
}

/**
 * Round values inside [low, high] for a logarithmic axis: powers of ten, with as few steps
 * between them as give three ticks; below that, ticks of equal distance.
 */
export function logTicks(low: number, high: number, most = 7): readonly number[] {
  const from = Math.floor(Math.log10(low));
  const to = Math.ceil(Math.log10(high));
  for (const mantissas of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
    const ticks = Array.from({ length: to - from + 1 }, (_, index) =>
      mantissas.map((mantissa) => clean(mantissa * 10 ** (from + index))),
    )
      .flat()
      .filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
    if (ticks.length > most) return everyNth(ticks, Math.ceil(ticks.length / most));
    if (ticks.length >= 3) return ticks;
  }
  return linearTicks(low, high, 4);
}

/**
 * Linear scale over the values' extent, widened to round ticks.
 * @param options.within what the quantity itself is between: the axis ends there at the latest. Its ends are round, as ticks are.
 * @throws {RangeError} without values.
 */
export function linearScale(
  values: readonly number[],
  range: readonly [number, number],
  options: {
    readonly count?: number;
    readonly format?: (value: number) => string;
    readonly within?: readonly [number, number];
  } = {},
): Scale {
  const { count = 5, format = plainNumber, within = [-Infinity, Infinity] } = options;
  const [low, high] = widened(extent(values)).map((end) => clamped(end, within)) as [number, number];
  const step = niceStep(high - low, count);
  const domain = [clean(Math.floor(low / step + 1e-9) * step), clean(Math.ceil(high / step - 1e-9) * step)] as const;
  const ticks = linearTicks(...domain, (domain[1] - domain[0]) / step);
  return scale('linear', domain, range, ticks, format, (value) => value);
}

/** What a share is between. */
const shares = [0, 1] as const;

/** {@link linearScale} of shares such as accuracies, with ticks in per cent. */
export function percentScale(values: readonly number[], range: readonly [number, number]): Scale {
  return linearScale(values, range, { within: shares, format: (share) => plainNumber(share * 100) });
}

/** A share as far as there can be one: the end of an error bar about an accuracy of 99 % is at most 100 %. */
export function clampedShare(value: number): number {
  return clamped(value, shares);
}

/** Logarithmic scale over positive values, with a margin. @throws {RangeError} without values or at 0 and below. */
export function logScale(
  values: readonly number[],
  range: readonly [number, number],
  options: { readonly margin?: number; readonly format?: (value: number) => string; readonly most?: number } = {},
): Scale {
  const { margin = 0.07, format = plainNumber, most = 7 } = options;
  const [low, high] = extent(values);
  if (low <= 0) throw new RangeError(`logarithmic scale: expected positive values, got ${low}`);
  const pad = Math.max((high / low) ** margin, 1.04);
  const domain = [low / pad, high * pad] as const;
  return scale('log', domain, range, logTicks(...domain, most), format, Math.log);
}

/** Smallest and largest value. @throws {RangeError} without values. */
export function extent(values: readonly number[]): readonly [number, number] {
  if (values.length === 0) throw new RangeError('chart: expected at least one value, got none');
  return [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
}

/** A number as briefly as it can be written, e.g. 0.5, 2, 1500. */
export function plainNumber(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** A whole drawing; `label` says in words what it shows. */
export function chart(width: number, height: number, label: string, ...body: readonly Content[]): Markup {
  const attributes = { class: 'chart', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label };
  return element('svg', attributes, ...body);
}

/** Grid, tick labels and titles around a plot. The y title stands level above the axis, where it is read. */
export function axes(
  plot: Box,
  x: { readonly scale: Scale; readonly title: string },
  y: { readonly scale: Scale; readonly title: string } | null,
): Markup {
  const { left, top, right, bottom } = plot;
  return group(
    {},
    y &&
      y.scale.ticks.map(({ value, label: name }) => [
        segment(left, y.scale.at(value), right, y.scale.at(value), { class: 'grid' }),
        label(left - 8, y.scale.at(value) + 4, name, { anchor: 'end', soft: true }),
      ]),
    y && label(left - 8, top - 12, y.title, { soft: true, anchor: 'start', dx: -26 }),
    x.scale.ticks.map(({ value }) =>
      segment(x.scale.at(value), bottom, x.scale.at(value), bottom + 5, { class: 'axis' }),
    ),
    roomyTicks(x.scale).map(({ value, label: name }) =>
      label(x.scale.at(value), bottom + 19, name, { anchor: 'middle', soft: true }),
    ),
    segment(left, bottom, right, bottom, { class: 'axis' }),
    label((left + right) / 2, bottom + 37, x.title, { anchor: 'middle', soft: true }),
  );
}

/** Elements with shared attributes. */
export function group(attributes: Attributes, ...body: readonly Content[]): Markup {
  return element('g', attributes, ...body);
}

/** Text with its baseline at (x, y). `halo` outlines it in the paper's colour, to be read over marks. */
export function label(
  x: number,
  y: number,
  text: string,
  options: {
    readonly anchor?: 'start' | 'middle' | 'end';
    readonly soft?: boolean;
    readonly halo?: boolean;
    readonly color?: string;
    readonly bold?: boolean;
    readonly dx?: number;
  } = {},
): Markup {
  const { anchor = 'start', soft, halo, color, bold, dx = 0 } = options;
  const classes = [soft && 'soft', halo && 'halo'].filter(Boolean).join(' ');
  const attributes = {
    x: pixel(x + dx),
    y: pixel(y),
    'text-anchor': anchor === 'start' ? null : anchor,
    class: classes || null,
    style: color ? `fill:${color}` : null,
    'font-weight': bold ? 600 : null,
  };
  return element('text', attributes, text);
}

/** A straight line. */
export function segment(x1: number, y1: number, x2: number, y2: number, attributes: Attributes): Markup {
  return element('line', { x1: pixel(x1), y1: pixel(y1), x2: pixel(x2), y2: pixel(y2), ...attributes });
}

/** A line through points, in a series' colour and dash. */
export function polyline(points: readonly (readonly [number, number])[], style: SeriesStyle, width = 2): Markup {
  return element('polyline', {
    points: points.map(([x, y]) => `${pixel(x)},${pixel(y)}`).join(' '),
    fill: 'none',
    stroke: style.color,
    'stroke-width': width,
    'stroke-dasharray': style.dash,
    'stroke-linejoin': 'round',
  });
}

/** A mark at (x, y) whose tooltip is `title`. Hollow marks say less: a lower fidelity, a dominated point. */
export function marker(
  x: number,
  y: number,
  style: SeriesStyle,
  title: string,
  options: { readonly radius?: number; readonly hollow?: boolean; readonly opacity?: number } = {},
): Markup {
  const { radius = 5, hollow = false, opacity } = options;
  const attributes = {
    d: outline(style.shape, x, y, radius),
    fill: hollow ? 'var(--paper)' : style.color,
    stroke: hollow ? style.color : 'var(--paper)',
    'stroke-width': hollow ? 1.5 : 1,
    opacity,
  };
  return element('path', attributes, element('title', {}, title));
}

/** Error bar with caps from (x1, y1) to (x2, y2), which must be level or upright. */
export function errorBar(x1: number, y1: number, x2: number, y2: number, color: string): Markup {
  const upright = x1 === x2;
  const cap = (x: number, y: number): Markup =>
    upright ? segment(x - 3, y, x + 3, y, {}) : segment(x, y - 3, x, y + 3, {});
  const attributes = { stroke: color, 'stroke-width': 1.25, opacity: 0.85 };
  return group(attributes, segment(x1, y1, x2, y2, {}), cap(x1, y1), cap(x2, y2));
}

/** A filled rectangle with a tooltip. */
export function bar(box: Box, color: string, title: string): Markup {
  const attributes = {
    x: pixel(box.left),
    y: pixel(box.top),
    width: pixel(Math.max(0, box.right - box.left)),
    height: pixel(box.bottom - box.top),
    fill: color,
  };
  return element('rect', attributes, element('title', {}, title));
}

/** An entry of a legend: a swatch of the series and its name. */
export interface LegendEntry {
  readonly name: string;
  readonly style: SeriesStyle;
  /** `bar` for filled areas, `point` for marks without a line, `tick` for marks on an axis. */
  readonly swatch?: 'line' | 'bar' | 'point' | 'hollow' | 'tick';
}

/** Legend in rows from (left, top), wrapped at `width`; its height is 18 px a row. */
export function legend(
  entries: readonly LegendEntry[],
  left: number,
  top: number,
  width: number,
): { readonly drawing: Markup; readonly height: number } {
  let [x, row] = [0, 0];
  const drawn = entries.map((entry) => {
    const size = 28 + textWidth(entry.name) + 18;
    if (x > 0 && x + size > width) [x, row] = [0, row + 1];
    const item = [swatch(entry, left + x, top + row * 18 + 8), label(left + x + 28, top + row * 18 + 12, entry.name)];
    x += size;
    return item;
  });
  return { drawing: group({}, drawn), height: entries.length === 0 ? 0 : (row + 1) * 18 };
}

/** A label that wants to stand beside a point. */
export interface PointLabel {
  readonly x: number;
  readonly y: number;
  readonly text: string;
  readonly color: string;
}

/**
 * Places labels around their points so that they cover neither each other nor `obstacles`, as far
 * as eight positions allow; the one with the least overlap wins.
 */
export function placeLabels(labels: readonly PointLabel[], obstacles: readonly Box[], within: Box): Markup {
  const taken = [...obstacles];
  return group(
    {},
    labels.map(({ x, y, text, color }) => {
      const boxes = labelPositions(x, y, textWidth(text));
      const costs = boxes.map((box) => taken.reduce((sum, other) => sum + overlap(box, other), outside(box, within)));
      const best = boxes[costs.indexOf(Math.min(...costs))] as Box;
      taken.push(best);
      return label((best.left + best.right) / 2, best.bottom - 3, text, { anchor: 'middle', color, halo: true });
    }),
  );
}

/** Boxes along a line, for labels to keep clear of. */
export function boxesAlong(points: readonly (readonly [number, number])[]): readonly Box[] {
  return points.slice(1).flatMap(([x2, y2], index) => {
    const [x1, y1] = points[index] as readonly [number, number];
    const steps = Math.max(1, Math.ceil(Math.hypot(x2 - x1, y2 - y1) / 6));
    return Array.from({ length: steps + 1 }, (_, step) =>
      boxAround(x1 + ((x2 - x1) * step) / steps, y1 + ((y2 - y1) * step) / steps, 3),
    );
  });
}

/** Square of half width `radius`. */
export function boxAround(x: number, y: number, radius: number): Box {
  return { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius };
}

function scale(
  kind: Scale['kind'],
  domain: readonly [number, number],
  range: readonly [number, number],
  ticks: readonly number[],
  format: (value: number) => string,
  warp: (value: number) => number,
): Scale {
  const [from, to] = [warp(domain[0]), warp(domain[1])];
  return {
    kind,
    domain,
    range,
    ticks: ticks.map((value) => ({ value, label: format(value) })),
    at: (value) => range[0] + ((warp(value) - from) / (to - from)) * (range[1] - range[0]),
  };
}

/** Removes what binary fractions add: 0.30000000000000004 → 0.3. */
function clean(value: number): number {
  return Number(value.toPrecision(12));
}

function clamped(value: number, [low, high]: readonly [number, number]): number {
  return Math.min(high, Math.max(low, value));
}

function widened([low, high]: readonly [number, number]): readonly [number, number] {
  // Values that differ by rounding only are one value: no ticks fit between them.
  if (high - low > Math.abs(high) * 1e-9) return [low, high];
  const half = Math.abs(low) > 0 ? Math.abs(low) * 0.05 : 0.5;
  return [low - half, high + half];
}

function everyNth<T>(items: readonly T[], n: number): readonly T[] {
  return items.filter((_, index) => index % n === 0);
}

/** Ticks whose labels do not run into one another. */
function roomyTicks(x: Scale): readonly Tick[] {
  let free = -Infinity;
  return x.ticks.filter(({ value, label: name }) => {
    const half = textWidth(name) / 2;
    if (x.at(value) - half < free) return false;
    free = x.at(value) + half + 8;
    return true;
  });
}

function outline(shape: Shape, x: number, y: number, radius: number): string {
  const path = (points: readonly (readonly [number, number])[]): string =>
    `M${points.map(([dx, dy]) => `${pixel(x + dx * radius)} ${pixel(y + dy * radius)}`).join('L')}Z`;
  switch (shape) {
    case 'circle': {
      const [r, d] = [pixel(radius), pixel(2 * radius)];
      return `M${pixel(x - radius)} ${pixel(y)}a${r} ${r} 0 1 0 ${d} 0a${r} ${r} 0 1 0 -${d} 0Z`;
    }
    case 'square':
      return path([
        [-0.9, -0.9],
        [0.9, -0.9],
        [0.9, 0.9],
        [-0.9, 0.9],
      ]);
    case 'triangle':
      return path([
        [0, -1.15],
        [1.1, 0.85],
        [-1.1, 0.85],
      ]);
    case 'diamond':
      return path([
        [0, -1.3],
        [1.3, 0],
        [0, 1.3],
        [-1.3, 0],
      ]);
    default:
      return shape satisfies never;
  }
}

function swatch({ style, swatch: kind = 'line', name }: LegendEntry, x: number, y: number): Content {
  switch (kind) {
    case 'line':
      return [
        polyline(
          [
            [x, y],
            [x + 22, y],
          ],
          style,
        ),
        marker(x + 11, y, style, name, { radius: 4 }),
      ];
    case 'bar':
      return bar({ left: x + 8, top: y - 6, right: x + 22, bottom: y + 6 }, style.color, name);
    case 'point':
      return marker(x + 16, y, style, name, { radius: 4.5 });
    case 'hollow':
      return marker(x + 16, y, style, name, { radius: 4.5, hollow: true });
    case 'tick':
      return segment(x + 16, y - 6, x + 16, y + 6, { stroke: style.color, 'stroke-width': 1.5 });
    default:
      return kind satisfies never;
  }
}

function labelPositions(x: number, y: number, width: number): readonly Box[] {
  const at = (centre: number, bottom: number): Box => ({
    left: centre - width / 2,
    right: centre + width / 2,
    top: bottom - 15,
    bottom,
  });
  const [near, level, side] = [9, 8, width / 2 + 10];
  return [
    at(x, y - near),
    at(x - side, y - near + 4),
    at(x + side, y - near + 4),
    at(x - side, y + level),
    at(x + side, y + level),
    at(x, y + near + 15),
    at(x - side, y + near + 11),
    at(x + side, y + near + 11),
  ];
}

function overlap(a: Box, b: Box): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}

/** Leaving the plot is far worse than covering something. */
function outside(box: Box, within: Box): number {
  const excesses = [within.left - box.left, box.right - within.right, within.top - box.top, box.bottom - within.bottom];
  return excesses.reduce((sum, excess) => sum + Math.max(0, excess) * 1000, 0);
}

/** Two decimals are plenty for a screen. */
function pixel(value: number): string {
  return String(Number(value.toFixed(2)));
}
