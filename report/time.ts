import type { StudySummary } from '../study/deliver/summary.ts';
import { phaseNames } from '../study/journal/events.ts';
import { duration } from './format.ts';
import { type Content, element, type Markup } from './markup.ts';
import { note, section } from './page-parts.ts';
import {
  axes,
  bar,
  type Box,
  chart,
  label,
  linearScale,
  type Scale,
  seriesStyle,
  seriesStyles,
  textWidth,
} from './svg.ts';

const [blue, vermillion] = seriesStyles;

/** Where a study’s time went. */
export function timeSection(summary: StudySummary): Content {
  const figure = timeChart(summary);
  if (!figure) return null;
  const work = summary.trainS + summary.measureS;
  return section(
    'Where the time went',
    element('figure', {}, figure),
    work > summary.activeS * 1.02 &&
      note('The trials’ seconds add up to more than the wall time because several ran at once.'),
  );
}

/** Where the wall time went by phase, and the trials' own seconds of training and measuring. */
function timeChart(summary: StudySummary, width = 1160): Markup | null {
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

function timeUnit(seconds: number): { readonly seconds: number; readonly name: string } {
  if (seconds >= 7200) return { seconds: 3600, name: 'hours' };
  return seconds >= 300 ? { seconds: 60, name: 'minutes' } : { seconds: 1, name: 'seconds' };
}
