import type { MemberSummary, StudySummary } from '../study/deliver/summary.ts';
import { grouped, percent, significant } from './format.ts';
import { familyOf } from './headline.ts';
import { type Content, element, type Markup } from './markup.ts';
import { section } from './page-parts.ts';
import {
  axes,
  type Box,
  chart,
  legend,
  linearScale,
  marker,
  percentScale,
  plainNumber,
  polyline,
  seriesStyle,
} from './svg.ts';

/** How the delivered networks learned. */
export function curvesSection(summary: StudySummary): Content {
  const blocks = summary.targets.flatMap((target) => {
    const members = familyOf(target)?.members ?? [];
    const charts = (['loss', 'accuracy'] as const).flatMap((quantity) => curvesChart(members, quantity) ?? []);
    const title = summary.targets.length > 1 && element('h3', {}, target.name);
    return charts.length > 0
      ? [
          title,
          element(
            'div',
            { class: 'figures' },
            charts.map((one) => element('figure', {}, one)),
          ),
        ]
      : [];
  });
  return blocks.length > 0 && section('Training curves of the delivered networks', blocks);
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

/** One unit for a whole axis. */
function shortCount(points: readonly { readonly examples: number }[]): (value: number) => string {
  const most = Math.max(...points.map(({ examples }) => examples));
  const [size, unit] = most >= 2e6 ? [1e6, ' M'] : most >= 1e4 ? [1e3, ' k'] : [1, ''];
  return (value) => (value === 0 ? '0' : `${plainNumber(value / size)}${unit}`);
}
