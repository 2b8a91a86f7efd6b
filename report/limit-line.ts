import type { TargetSummary } from '../study/deliver/summary.ts';
import { limitText } from './headline.ts';
import type { Markup } from './markup.ts';
import { isPerExample } from './settings.ts';
import { type Box, group, label, type Scale, segment, textWidth } from './svg.ts';

/** A target's limit on latency as a line across a chart, and where its name stands; null where latencies are an example's: a limit is of a run. */
export function limitLine(
  target: TargetSummary,
  x: Scale,
  plot: Box,
): { readonly drawing: Markup; readonly box: Box } | null {
  if (!target.limit || isPerExample(target)) return null;
  const text = limitText(target.limit);
  const px = x.at(target.limit.ms);
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

/** What an axis of latency has to reach for a target's limit. */
export function limitMs(target: TargetSummary): readonly number[] {
  return target.limit ? [target.limit.ms] : [];
}
