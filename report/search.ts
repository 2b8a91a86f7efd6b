import type { StudySummary } from '../study/deliver/summary.ts';
import { amount, optional, percentNumber, plural, significant } from './format.ts';
import { type Content, element, type Markup } from './markup.ts';
import { networkTable } from './network-table.ts';
import { note, section, table } from './page-parts.ts';
import { rungChart, rungText } from './rungs.ts';
import { searchChart } from './search-chart.ts';
import { p50Title } from './settings.ts';

/** What the search tried, its front and its base. */
export function searchSection(summary: StudySummary): Content {
  const figures = summary.targets.flatMap((target) => {
    const figure = searchChart(summary, target);
    return figure ? [element('figure', {}, figure)] : [];
  });
  if (figures.length === 0) return null;
  const untimed = summary.trials.filter(
    (trial) => trial.phase === 'search' && trial.status === 'infeasible' && Object.keys(trial.latencyMs).length === 0,
  ).length;
  return section(
    'Search',
    summary.base && note(`The base is trial ${summary.base.trial}: ${summary.base.because}`),
    element('div', { class: 'figures' }, figures, frontTable(summary)),
    rungsPart(summary),
    untimed > 0 && note(`${plural(untimed, 'infeasible trial')} that nothing was measured of: not drawn.`),
    summary.base && baseNetwork(summary.base),
  );
}

/** What became of the networks below the highest rung; each rung has its own axis. */
function rungsPart(summary: StudySummary): Content {
  if (summary.rungs.length === 0) return null;
  return element(
    'div',
    {},
    element('h3', {}, 'Rungs'),
    element(
      'ul',
      {},
      summary.rungs.map((rung) => element('li', {}, rungText(rung))),
    ),
    element(
      'div',
      { class: 'figures' },
      summary.targets.flatMap((target) =>
        summary.rungs.slice(0, -1).flatMap((rung) => {
          const figure = rungChart(summary, target, rung);
          return figure ? [element('figure', {}, figure)] : [];
        }),
      ),
    ),
    note('Accuracies of different rungs are of different schedules and are not compared.'),
  );
}

function frontTable(summary: StudySummary): Content {
  const front = summary.trials
    .filter((trial) => trial.onFront)
    .toSorted((a, b) => (b.accuracy ?? 0) - (a.accuracy ?? 0));
  if (front.length === 0) return null;
  const targets = summary.targets.map((target) => target.name);
  const shown = front.slice(0, 12);
  return element(
    'div',
    {},
    element('h3', {}, `Pareto front: ${plural(front.length, 'trial')}`),
    table(
      [
        'trial',
        'hold-out top-1 %',
        ...summary.targets.map((target) => `${p50Title(target)} ms, ${target.name}`),
        'params',
        'MACs',
      ],
      shown.map((trial) => [
        trial.id,
        optional(trial.accuracy, (share) => percentNumber(share)),
        ...targets.map((name) => optional(trial.latencyMs[name], (ms) => significant(ms))),
        amount(trial.count.params),
        amount(trial.count.macs),
      ]),
    ),
    shown.length < front.length && note(`The ${shown.length} most accurate; all are in pareto.csv.`),
  );
}

function baseNetwork({ spec, count, trial }: NonNullable<StudySummary['base']>): Markup {
  return element(
    'details',
    {},
    element('summary', {}, `Base network ${trial}: ${amount(count.params)} params, ${amount(count.macs)} MACs`),
    networkTable(spec, count),
  );
}
