import type { Choices } from '../core/trial.ts';
import type { StudySummary, TargetSummary, TrialSummary } from '../study/deliver/summary.ts';
import { grouped, milliseconds, percent } from './format.ts';
import { limitLine, limitMs } from './limit-line.ts';
import type { Markup } from './markup.ts';
import { p50Title } from './settings.ts';
import {
  axes,
  bar,
  type Box,
  boxAround,
  chart,
  group,
  legend,
  logScale,
  marker,
  percentScale,
  plainNumber,
  polyline,
  type SeriesStyle,
  seriesStyles,
} from './svg.ts';

const [blue, vermillion] = seriesStyles;

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
  const limit = limitLine(target, x, plot);
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

/** A trial's choices as brief text for tooltips and tables. */
function choicesText(choices: Choices): string {
  return Object.entries(choices)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? plainNumber(value) : String(value)}`)
    .join(', ');
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
