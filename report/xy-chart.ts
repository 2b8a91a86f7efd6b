import type { Markup } from './markup.ts';
import {
  axes,
  type Box,
  chart,
  group,
  legend,
  linearScale,
  logScale,
  marker,
  plainNumber,
  polyline,
  type Scale,
  seriesStyle,
} from './svg.ts';

/** Points of a chart, a line through them, or both. */
export interface XySeries {
  readonly name: string;
  readonly kind: 'line' | 'points' | 'joined';
  readonly points: readonly (readonly [number, number])[];
  /** What a point's tooltip says; the series' name by default. */
  readonly titles?: readonly string[];
}

/** An axis: what it shows, and whether logarithmically. */
export interface XyAxis {
  readonly title: string;
  readonly log: boolean;
  /** What the quantity itself is between, e.g. 0 and 100 per cent: a linear axis ends there at the latest. */
  readonly within?: readonly [number, number];
}

/** Powers of ten beyond a million are written as such. */
function tick(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential().replace('e+', 'e');
  return plainNumber(value);
}

/** Series over two axes, with a legend. Points that a logarithmic axis cannot show are left out. @returns null without points. */
export function xyChart(
  label: string,
  x: XyAxis,
  y: XyAxis,
  series: readonly XySeries[],
  width = 600,
  height = 380,
): Markup | null {
  const shown = series
    .map((one) => ({
      ...one,
      points: one.points.filter(
        ([px, py]) => Number.isFinite(px) && Number.isFinite(py) && (!x.log || px > 0) && (!y.log || py > 0),
      ),
    }))
    .filter(({ points }) => points.length > 0);
  if (shown.length === 0) return null;
  const key = legend(
    shown.map(({ name, kind }, index) => ({
      name,
      style: seriesStyle(index),
      swatch: kind === 'points' ? ('point' as const) : ('line' as const),
    })),
    8,
    2,
    width - 16,
  );
  const plot: Box = { left: 56, top: key.height + 28, right: width - 14, bottom: height - 44 };
  const scaleOf = (axis: XyAxis, which: 0 | 1, range: readonly [number, number]): Scale => {
    const values = shown.flatMap(({ points }) => points.map((point) => point[which]));
    return axis.log
      ? logScale(values, range, { format: tick })
      : linearScale(values, range, { format: tick, ...(axis.within && { within: axis.within }) });
  };
  const xs = scaleOf(x, 0, [plot.left, plot.right]);
  const ys = scaleOf(y, 1, [plot.bottom, plot.top]);
  const drawn = shown.map(({ name, kind, points, titles }, index) => {
    const style = seriesStyle(index);
    const at = points.map(([px, py]) => [xs.at(px), ys.at(py)] as const);
    const markers = at.map(([px, py], i) => marker(px, py, style, titles?.[i] ?? name, { radius: 3.5, opacity: 0.8 }));
    return {
      line: kind === 'points' ? [] : [polyline(at, style)],
      points: kind === 'line' ? [] : [group({}, markers)],
    };
  });
  return chart(
    width,
    height,
    label,
    key.drawing,
    axes(plot, { scale: xs, title: x.title }, { scale: ys, title: y.title }),
    // Points last, over the lines.
    drawn.flatMap(({ line }) => line),
    drawn.flatMap(({ points }) => points),
  );
}
