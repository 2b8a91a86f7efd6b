import { p50Title } from './settings.ts';
import type { RungSummary, StudySummary, TargetSummary, TrialSummary } from '../study/deliver/summary.ts';
import { duration, grouped, milliseconds, percent, plural } from './format.ts';
import type { Markup } from './markup.ts';
import {
  axes,
  chart,
  legend,
  logScale,
  marker,
  percentScale,
  seriesStyles,
  type Box,
  type SeriesStyle,
} from './svg.ts';

// What the rungs of a search did. Accuracies of different rungs never share an axis.

/** A rung in words: how many networks, how many went on, what it cost and how far it foretold the next. */
export function rungText({ examples, trained, trials, promoted, trainS, rankCorrelation }: RungSummary): string {
  const went = promoted.length === 0 ? '' : `, ${promoted.length} went on`;
  const foretold =
    rankCorrelation === null
      ? ''
      : `; among these, its ranks correlate ${rankCorrelation.toFixed(2)} with the next rung's`;
  return `${grouped(examples)} examples: ${trained} of ${plural(trials.length, 'network')} trained in ${duration(trainS)}${went}${foretold}`;
}

/** Hold-out accuracy against latency at one rung, those that went on apart from the others; null when there is nothing to draw. */
export function rungChart(
  summary: StudySummary,
  target: TargetSummary,
  rung: RungSummary,
  width = 380,
  height = 260,
): Markup | null {
  const own = new Set(rung.trials);
  const latencyOf = ({ latencyMs }: TrialSummary): number | undefined => latencyMs[target.name];
  const scored = summary.trials.filter(
    (trial) => own.has(trial.id) && trial.accuracy !== undefined && latencyOf(trial) !== undefined,
  );
  if (scored.length === 0) return null;
  const [wentOn] = seriesStyles;
  const stayed: SeriesStyle = { color: 'var(--soft)', shape: 'circle' };
  const key = legend(
    [
      { name: 'went on', style: wentOn, swatch: 'point' },
      { name: 'stayed', style: stayed, swatch: 'point' },
    ],
    8,
    2,
    width - 16,
  );
  const plot: Box = { left: 44, top: key.height + 28, right: width - 14, bottom: height - 44 };
  const x = logScale(
    scored.map((trial) => latencyOf(trial) ?? 0),
    [plot.left, plot.right],
    { most: 5 },
  );
  const y = percentScale(
    scored.map(({ accuracy = 0 }) => accuracy),
    [plot.bottom, plot.top],
  );
  const isPromoted = ({ id }: TrialSummary): boolean => rung.promoted.includes(id);
  // Those that went on last, on top.
  return chart(
    width,
    height,
    `Hold-out accuracy after ${grouped(rung.examples)} examples against latency on ${target.name}`,
    key.drawing,
    axes(
      plot,
      { scale: x, title: `${p50Title(target)} on ${target.name} (ms, log scale)` },
      { scale: y, title: `top-1 after ${grouped(rung.examples)} examples (%)` },
    ),
    scored
      .toSorted((a, b) => Number(isPromoted(a)) - Number(isPromoted(b)))
      .map((trial) => {
        const [style, radius] = isPromoted(trial) ? [wentOn, 4.5] : [stayed, 3.5];
        const { accuracy = 0 } = trial;
        const title = `${trial.id}: ${percent(accuracy)}, ${milliseconds(latencyOf(trial) ?? 0)}`;
        return marker(x.at(latencyOf(trial) ?? 0), y.at(accuracy), style, title, { radius });
      }),
  );
}
