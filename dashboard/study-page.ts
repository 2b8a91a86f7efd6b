import { p50Title } from '../report/settings.ts';
import { hoursText } from '../study/budget.ts';
import type { StudyView } from './study-view.ts';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { familyChart } from '../report/family-chart.ts';
import { searchChart } from '../report/search-chart.ts';
import {
  amount,
  byteSize,
  duration,
  grouped,
  percent,
  percentNumber,
  plural,
  significant,
  utcMinute,
} from '../report/format.ts';
import { headline } from '../report/headline.ts';
import { element, type Content, type Markup } from '../report/markup.ts';
import { xyChart } from '../report/xy-chart.ts';
import { phaseNames } from '../study/journal/events.ts';
import { rungsOf } from '../study/study-file.ts';
import { resultNames } from '../study/deliver/result-files.ts';
import type { StudySummary, TargetSummary } from '../study/deliver/summary.ts';
import { facts, livePart, note, type Page, scrolling, stateMark, studyPath, timeOfDay } from './layout.ts';
import type { FollowedStudy } from './runs.ts';
import { type Standing, standingOf } from './studies-page.ts';
import { queryText, selectTrials, statusWords, type TrialQuery, type TrialRow } from './trial-row.ts';

/** Rows of a page of the table. */
const rowsOfPage = 50;
/** Points of a chart besides the front; more of them are thinned evenly. */
const mostPoints = 800;

/** One study: where it stands, its front, its family so far, and its trials. */
export function studyPage(study: FollowedStudy, query: TrialQuery, nowMs: number): Page {
  const { view, name } = study;
  const rows = view.trials;
  const { front, results } = view;
  return {
    title: name,
    live: { events: studyPath(name, 'events'), version: study.version },
    body: [
      progressPart(study, standingOf(study, nowMs), rows),
      results && resultPart(results),
      results && chartPart(results, rows, front, baseOf(study)),
      trialPart(study, rows, query, front),
      results && warningPart(results),
      filePart(study),
    ],
  };
}

function progressPart(study: FollowedStudy, standing: Standing, rows: readonly TrialRow[]): Markup {
  const { view, name, state, problem, behindBytes } = study;
  const { counts, best, remainingS } = standing;
  return livePart(
    'progress',
    {},
    element('h1', {}, name, stateMark(state)),
    problem !== undefined && element('p', { class: 'problem', role: 'alert' }, problem),
    state === 'reading' && note(`Reading the journal: ${byteSize(behindBytes)} to go.`),
    state === 'stopped' && note('No process runs this study. The command that began it goes on where it stopped.'),
    element(
      'ol',
      { class: 'steps', 'aria-label': 'Phases' },
      phaseNames.map((phase) => {
        const at = view.phase(phase);
        const [sign, word] =
          at === 'finished' ? ['✓', 'done'] : at === 'started' ? ['●', 'under way'] : ['○', 'to come'];
        return element(
          'li',
          { class: at ?? null, 'aria-current': at === 'started' ? 'step' : null },
          element('span', { 'aria-hidden': 'true' }, `${sign} `),
          phase,
          element('span', { class: 'soft' }, ` ${word}`),
        );
      }),
    ),
    searchProgress(study, rows),
    facts([
      ['trained', String(counts.ok)],
      ['open', String(counts.issued)],
      ['infeasible', String(counts.infeasible)],
      ['failed', counts.failed > 0 ? element('span', { class: 'bad' }, `! ${counts.failed}`) : '0'],
      [
        'best on hold-out',
        best?.accuracy === undefined
          ? '–'
          : [percent(best.accuracy), element('small', {}, ` ${best.id}, ${grouped(best.examples)} examples`)],
      ],
      ['time left', remainingS === undefined ? '–' : `about ${duration(remainingS)}`],
      ['worked', duration(view.activeS)],
      ['device hours', deviceHoursText(view)],
      ['last event', view.count === 0 ? '–' : timeOfDay(view.lastMs)],
    ]),
  );
}

/** What is spent, and left where there is a budget. */
function deviceHoursText({ deviceHours: { spent, budget } }: StudyView): string {
  if (budget === null) return hoursText(spent);
  return `${hoursText(spent)} of ${hoursText(budget)}, ${hoursText(Math.max(0, budget - spent))} left`;
}

function searchProgress({ view }: FollowedStudy, rows: readonly TrialRow[]): Content {
  const { config } = view;
  if (config === undefined || config.base !== undefined || view.phase('search') !== 'started') return null;
  const planned = config.search.trials;
  // A network that was promoted is a trial at each rung, and one candidate.
  const [lowest] = rungsOf(config.search);
  const tried = rows.filter(
    ({ phase, seed, examples, status }) =>
      phase === 'search' && seed === config.seed && examples === lowest && status !== 'issued',
  ).length;
  const text = `${tried} of at most ${planned} candidates`;
  return element(
    'p',
    {},
    element('progress', { value: Math.min(tried, planned), max: planned, 'aria-label': 'Search' }),
    ` ${text}`,
  );
}

function resultPart(results: StudySummary): Content {
  // What is still to come is told above.
  const sentences = headline({ ...results, finished: true });
  if (sentences.length === 0) return null;
  return livePart(
    'result',
    {},
    element('h2', {}, 'Result'),
    sentences.map((sentence) => element('p', {}, sentence)),
  );
}

function baseOf({ view }: FollowedStudy): { readonly trial: string } | null {
  const decided = view.kept.find((event) => event.type === 'decision' && event.id === 'base');
  return decided?.type === 'decision' ? (decided.value as { readonly trial: string }) : null;
}

function chartPart(
  results: StudySummary,
  rows: readonly TrialRow[],
  front: ReadonlySet<string>,
  base: { readonly trial: string } | null,
): Markup {
  const search = rows.filter(({ phase }) => phase === 'search');
  const step = Math.ceil(search.length / mostPoints);
  const drawn = search.filter(({ id }, index) => index % step === 0 || front.has(id) || id === base?.trial);
  const trials = drawn.map((row) => ({
    ...row,
    choices: {},
    fidelityExamples: row.examples,
    onFront: front.has(row.id),
  }));
  const charts = [
    ...results.targets.map((target) =>
      searchChart({ targets: results.targets, seed: results.seed, trials, base }, target),
    ),
    ...results.targets.map((target) => familyChart(target, 600) ?? growthChart(target, rows)),
  ].filter((figure) => figure !== null);
  return livePart(
    'charts',
    {},
    element('h2', {}, 'Search and family'),
    charts.length === 0 && note('Nothing is trained yet.'),
    element(
      'div',
      { class: 'figures' },
      charts.map((figure) => element('figure', { tabindex: 0 }, figure)),
    ),
    drawn.length < search.length &&
      note(`${grouped(drawn.length)} of ${grouped(search.length)} search trials drawn: the front and an even sample.`),
  );
}

/** Accuracies compare within one fidelity only. */
function fidelityName({ by, examples }: TrialRow): string {
  return `${by}, ${grouped(examples)} examples`;
}

/** Scalings and final trainings for a target while its family is not delivered yet: hold-out accuracy against latency. */
function growthChart(on: TargetSummary, rows: readonly TrialRow[]): Markup | null {
  const { name: target } = on;
  const grown = rows.filter((row) => row.target === target && row.phase !== 'search' && row.accuracy !== undefined);
  const series = [...new Set(grown.map(fidelityName))].map((name) => {
    const own = grown.filter((row) => fidelityName(row) === name && row.latencyMs[target] !== undefined);
    return {
      name,
      kind: 'points' as const,
      points: own.map(({ latencyMs, accuracy = 0 }) => [latencyMs[target] ?? 0, 100 * accuracy] as const),
      titles: own.map(
        ({ id, phase, size = '', accuracy = 0, examples }) =>
          `${id}: ${phase} ${size}, ${percent(accuracy)} after ${grouped(examples)} examples`,
      ),
    };
  });
  return xyChart(
    `Hold-out accuracy against latency of scalings for ${target}`,
    { title: `${p50Title(on)} on ${target} (ms, log scale)`, log: true },
    { title: 'hold-out top-1 (%), not delivered yet', log: false, within: [0, 100] },
    series,
  );
}

function trialPart(
  study: FollowedStudy,
  rows: readonly TrialRow[],
  query: TrialQuery,
  front: ReadonlySet<string>,
): Markup {
  const targets = study.view.results?.targets ?? [];
  const found = selectTrials(rows, query, front);
  const pages = Math.max(1, Math.ceil(found.length / rowsOfPage));
  const page = Math.min(query.page, pages);
  const shown = found.slice((page - 1) * rowsOfPage, page * rowsOfPage);
  const count =
    found.length === rows.length
      ? plural(rows.length, 'trial')
      : `${grouped(found.length)} of ${plural(rows.length, 'trial')}`;
  return element(
    'section',
    { id: 'trials' },
    element('h2', {}, 'Trials'),
    filterForm(study, query),
    livePart(
      'trial-rows',
      { class: 'head' },
      element('p', { class: 'note', role: 'status' }, count),
      shown.length > 0 && trialTable(study.name, shown, targets, query, front),
      pages > 1 && pager(study.name, query, page, pages),
    ),
  );
}

function filterForm({ name }: FollowedStudy, query: TrialQuery): Markup {
  return element(
    'form',
    {
      class: 'filter',
      method: 'get',
      action: `${studyPath(name)}#trials`,
      role: 'search',
      'aria-label': 'Filter trials',
    },
    choice(
      'phase',
      'phase',
      query.phase,
      phaseNames.map((phase) => [phase, phase] as const),
    ),
    choice('status', 'status', query.status, Object.entries(statusWords)),
    element(
      'label',
      {},
      'id, reason or proposer',
      element('input', { type: 'search', name: 'q', id: 'filter-q', value: query.text, autocomplete: 'off', size: 18 }),
    ),
    element(
      'label',
      { class: 'check' },
      element('input', { type: 'checkbox', name: 'front', id: 'filter-front', value: '1', checked: query.front }),
      'Pareto front only',
    ),
    query.sort !== '-id' && element('input', { type: 'hidden', name: 'sort', value: query.sort }),
    element('button', { type: 'submit' }, 'Filter'),
  );
}

function choice(
  label: string,
  key: string,
  chosen: string | undefined,
  options: readonly (readonly [string, string])[],
): Markup {
  return element(
    'label',
    {},
    label,
    element(
      'select',
      { name: key, id: `filter-${key}` },
      [['', 'all'] as const, ...options].map(([value, text]) =>
        element('option', { value, selected: value === (chosen ?? '') }, text),
      ),
    ),
  );
}

function trialTable(
  study: string,
  rows: readonly TrialRow[],
  targets: readonly TargetSummary[],
  query: TrialQuery,
  front: ReadonlySet<string>,
): Markup {
  const columns: readonly (readonly [string, string])[] = [
    ['id', 'trial'],
    ['phase', 'phase'],
    ['status', 'status'],
    ['accuracy', 'top-1 %'],
    ...targets.map((target) => [`latency:${target.name}`, `${p50Title(target)} ms, ${target.name}`] as const),
    ['params', 'params'],
    ['macs', 'MACs'],
    ['examples', 'examples'],
    ['train', 'trained s'],
  ];
  return scrolling(
    'Trials',
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          columns.map(([key, title]) => sortableHead(study, query, key, title)),
          element('th', { scope: 'col', class: 'text' }, 'why'),
        ),
      ),
      element(
        'tbody',
        {},
        rows.map((row) => trialLine(study, row, targets, front)),
      ),
    ),
  );
}

function sortableHead(study: string, query: TrialQuery, key: string, title: string): Markup {
  const isDescending = query.sort === `-${key}`;
  const isSorted = isDescending || query.sort === key;
  const href = `${studyPath(study)}${queryText({ ...query, page: 1, sort: isDescending ? key : `-${key}` })}#trials`;
  return element(
    'th',
    { scope: 'col', 'aria-sort': isSorted ? (isDescending ? 'descending' : 'ascending') : null },
    element(
      'a',
      { href, 'data-swap': true, id: `sort-${key}` },
      title,
      isSorted && element('span', { 'aria-hidden': 'true' }, isDescending ? ' ▼' : ' ▲'),
    ),
  );
}

const statusMarks = {
  ok: ['✓', 'good'],
  issued: ['◌', 'soft'],
  infeasible: ['✗', 'soft'],
  failed: ['!', 'bad'],
} as const;

/** The status of a trial: a sign, a colour and the word. */
export function statusMark(status: TrialRow['status']): Markup {
  const [sign, tone] = statusMarks[status];
  return element(
    'span',
    { class: `mark ${tone}` },
    element('span', { 'aria-hidden': 'true' }, sign),
    ` ${statusWords[status]}`,
  );
}

function trialLine(
  study: string,
  row: TrialRow,
  targets: readonly TargetSummary[],
  front: ReadonlySet<string>,
): Markup {
  const { id, phase, status, accuracy, latencyMs, params, macs, examples, trainS, reason, by, because } = row;
  const cells: readonly Content[] = [
    phase,
    statusMark(status),
    accuracy === undefined
      ? '–'
      : [front.has(id) && element('b', { title: 'on the Pareto front' }, '★ '), percentNumber(accuracy)],
    ...targets.map(({ name }) => (latencyMs[name] === undefined ? '–' : significant(latencyMs[name]))),
    params === undefined ? '–' : amount(params),
    macs === undefined ? '–' : amount(macs),
    grouped(examples),
    trainS === undefined ? '–' : trainS.toFixed(1),
  ];
  const why = reason ?? `${by}: ${because}`;
  return element(
    'tr',
    { id },
    element('th', { scope: 'row' }, element('a', { href: studyPath(study, 'trials', id) }, id)),
    cells.map((cell) => element('td', {}, cell)),
    element('td', { class: 'text', title: why }, why),
  );
}

function pager(study: string, query: TrialQuery, page: number, pages: number): Markup {
  const link = (to: number, text: string): Content =>
    to < 1 || to > pages
      ? element('span', { class: 'soft' }, text)
      : element(
          'a',
          {
            href: `${studyPath(study)}${queryText({ ...query, page: to })}#trials`,
            'data-swap': true,
            id: `page-${text}`,
          },
          text,
        );
  return element(
    'nav',
    { class: 'pager', 'aria-label': 'Pages of trials' },
    link(page - 1, 'previous'),
    `page ${page} of ${pages}`,
    link(page + 1, 'next'),
  );
}

function warningPart({ warnings }: StudySummary): Content {
  if (warnings.length === 0) return null;
  return livePart(
    'warnings',
    {},
    element('h2', {}, 'Warnings'),
    element(
      'ul',
      {},
      warnings.map((warning) => element('li', {}, warning)),
    ),
  );
}

function filePart({ name, folder, view }: FollowedStudy): Markup {
  const there = resultNames.filter((file) => existsSync(join(folder, file)));
  return livePart(
    'files',
    {},
    element('h2', {}, 'Files'),
    element(
      'ul',
      { class: 'links' },
      there.map((file) => element('li', {}, element('a', { href: studyPath(name, 'files', file) }, file))),
    ),
    note(`Created ${utcMinute(view.createdMs)}, ${grouped(view.count)} events.`),
  );
}
