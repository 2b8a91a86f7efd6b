import { phaseNames } from '../study/journal/events.ts';
import type {
  ElasticitySummary,
  FamilySummary,
  MemberSummary,
  StudySummary,
  TargetSummary,
} from '../study/deliver/summary.ts';
import type { Latency } from '../latency/latency.ts';
import { limitDoubt } from '../latency/setting.ts';
import type { NetworkCount } from '../models/counts.ts';
import type { NetworkSpec, Stage } from '../models/spec.ts';
import { allocationSection } from './allocation.ts';
import { acrossTargetsSection } from './across-targets.ts';
import {
  curvesChart,
  familyChart,
  latencyChart,
  linesLegend,
  multiplierChart,
  searchChart,
  timeChart,
} from './charts.ts';
import { amount, duration, grouped, percent, percentNumber, plural, signed, significant, utcMinute } from './format.ts';
import { comparisons, familyOf, headline, lineName, limitText, p50Interval, type Comparison } from './headline.ts';
import { element, type Content, type Markup } from './markup.ts';
import { page } from './page.ts';
import {
  accuracyText,
  cell,
  definitions,
  fileLink,
  note,
  seedsTitle,
  section,
  table,
  tableHead,
  warningSection,
} from './page-parts.ts';
import { proxySection } from './proxy-audit.ts';
import { rungChart, rungText } from './rungs.ts';
import { isPerExample, memberSettingText, p50Title, settingsSection, targetSettingText } from './settings.ts';
import { limitMetText, sourcesOf, sourceText, verdictText } from './source.ts';
import { deviceHoursText } from './terminal.ts';
import { memberRows, variantList } from './variants.ts';

/**
 * The study's report: one HTML file that needs no network and no script. The first screen holds
 * the result in a sentence, a table and a plot for each target; below it what led there. Links
 * to delivered files are relative to the study's folder, where the report lies. A study that is
 * not finished renders with what exists.
 */
export function renderReport(summary: StudySummary): string {
  return page(
    `${summary.name}: Ridgepoint report`,
    pageHeader(summary),
    summary.targets.map((target) => targetResult(summary, target)),
    resultNotes(summary),
    acrossTargetsSection(summary),
    settingsSection(summary),
    searchSection(summary),
    multiplierSection(summary),
    allocationSection(summary),
    curvesSection(summary),
    latencySection(summary),
    predictionSection(summary),
    proxySection(summary.proxyAudit),
    timeSection(summary),
    warningSection(summary.warnings),
    provenanceSection(summary),
    trialSection(summary),
  );
}

function pageHeader(summary: StudySummary): Markup {
  const sentences = headline(summary);
  const facts = [
    `study ${summary.name}`,
    utcMinute(summary.createdMs),
    `seed ${summary.seed}`,
    ...(summary.schedule === null ? [] : [`trained by the schedule ${summary.schedule}`]),
    plural(summary.trials.length, 'trial'),
    `${duration(summary.activeS)}${deviceHoursText(summary)}`,
  ];
  const warnings = summary.warnings.length;
  return element(
    'header',
    {},
    element(
      'p',
      { class: 'facts' },
      facts.join(' · '),
      warnings > 0 && [' · ', element('a', { href: '#warnings', class: 'warn' }, plural(warnings, 'warning'))],
      !summary.finished && [' · ', element('span', { class: 'warn' }, 'not finished')],
    ),
    // One target: its sentence is the title. Several: a line each.
    element(
      'h1',
      { class: sentences.length > 1 ? 'several' : null },
      (sentences.length > 0 ? sentences : ['Nothing was delivered.']).map((sentence) => element('span', {}, sentence)),
    ),
  );
}

/** A target's result: what it was asked for, its networks in a table, and where they lie. */
export function targetResult({ targets }: Pick<StudySummary, 'targets'>, target: TargetSummary): Content {
  const several = targets.length > 1;
  const networks = target.lines.flatMap((line) => line.members).length;
  const plot = familyChart(target, 560, several ? 300 : networks > 3 ? 400 : 280);
  const setting = [
    target.device === target.name ? null : `device ${target.device}`,
    targetSettingText(target),
    plural(target.threads, 'thread'),
    target.limit && `limit ${limitText(target.limit)}`,
    ...sourcesOf(target).map((source) => `latency ${source}`),
  ];
  const title = element(
    'h2',
    {},
    target.name,
    element('small', {}, ` ${setting.filter((part) => part !== null).join(' · ')}`),
  );
  if (!plot) return element('section', {}, title, note('No network yet.'));
  const lines = target.lines.filter((line) => line.members.length > 0);
  const compared = lines.filter((line) => line.kind !== 'family');
  // The first screen has room for every line of one target; with several the baselines fold away.
  const folded = several && compared.length > 0;
  return element(
    'section',
    { class: 'result' },
    element(
      'div',
      {},
      title,
      resultTable(target, folded ? lines.filter((line) => line.kind === 'family') : lines),
      variantList(target),
      comparisonList(target),
      folded && element('details', {}, element('summary', {}, 'Baselines in numbers'), resultTable(target, compared)),
    ),
    element('figure', {}, plot),
  );
}

function resultTable(target: TargetSummary, lines: readonly FamilySummary[]): Markup {
  // Networks of a program of the user's own are known by their files alone.
  const isCounted = lines.some((line) => line.members.some(({ count }) => count !== null));
  const columns = [
    'size',
    'test top-1 %',
    isPerExample(target) ? 'p50 ms / example' : 'p50 ms',
    'verdict',
    'limit',
    ...(isCounted ? ['params', 'MACs'] : []),
    'd · w · r',
    'file',
  ];
  return element(
    'div',
    { class: 'scroll' },
    element(
      'table',
      {},
      tableHead(columns),
      lines.map((line) =>
        element(
          'tbody',
          { class: line.kind },
          line.kind === 'rule' &&
            element('tr', {}, element('th', { colspan: columns.length, scope: 'rowgroup' }, lineName(line))),
          line.kind === 'user-model' &&
            element('tr', {}, element('th', { colspan: columns.length, scope: 'rowgroup' }, 'your own models')),
          memberRows(line).map(({ member }) => resultRow(target, line, member, isCounted)),
        ),
      ),
    ),
  );
}

function resultRow(target: TargetSummary, line: FamilySummary, member: MemberSummary, isCounted: boolean): Markup {
  const { latency, multipliers, count, limitMet } = member;
  const setting = memberSettingText(target, member);
  const name = line.kind === 'user-model' && line.members.length === 1 ? line.name : member.size;
  return element(
    'tr',
    {},
    element('th', { scope: 'row', title: name }, name),
    cell(accuracyText(member.testAccuracy), seedsTitle(member.testAccuracy)),
    element(
      'td',
      {},
      significant(latency.p50Ms),
      element('small', {}, intervalText(member)),
      setting && element('small', {}, ` ${setting}`),
    ),
    element('td', { class: verdictClass(latency), title: sourceText(latency) }, verdictText(latency)),
    element(
      'td',
      {
        class: limitMet === null ? null : limitMet === true ? 'good' : 'bad',
        title: limitMet === 'unknown' ? limitDoubt(latency) : null,
      },
      (limitMet === true ? '✓ ' : limitMet === false ? '✗ ' : '') + limitMetText(limitMet),
    ),
    isCounted && [cell(count ? amount(count.params) : '–'), cell(count ? amount(count.macs) : '–')],
    cell(
      multipliers ? [multipliers.depth, multipliers.width, multipliers.resolution].map(twoDecimals).join(' · ') : '–',
      multipliers ? 'depth × width × resolution, as realised against the base' : undefined,
    ),
    element('td', {}, member.file ? fileLink(member.file) : '–'),
  );
}

function comparisonList(target: TargetSummary): Content {
  const found = comparisons(target);
  if (found.length === 0) return null;
  return [
    element('p', { class: 'note' }, 'The family at equal latency, against'),
    element(
      'ul',
      { class: 'comparisons' },
      found.map((one) => element('li', {}, comparisonText(one))),
    ),
  ];
}

const verdictWords = {
  above: 'beyond seed noise',
  below: 'beyond seed noise',
  'within-noise': 'within seed noise',
  'noise-unknown': 'one seed each, noise unknown',
  'same-networks': 'the same networks',
  'no-overlap': 'not compared, no common range of latency',
} as const satisfies Record<Comparison['verdict'], string>;

function comparisonText({ line, differencePoints, noisePoints, points, shared, verdict }: Comparison): Content {
  const noise = noisePoints === null ? '' : ` ± ${noisePoints.toFixed(1)}`;
  const difference = differencePoints === null ? '' : `${signed(differencePoints)}${noise} points, `;
  const details = [
    points.length > 1 ? points.map((point) => `${point.size} ${signed(point.differencePoints)}`).join(', ') : null,
    points.length === 1 && line.kind === 'rule' ? `at ${points[0]?.size}` : null,
    shared.length > 0 && verdict !== 'same-networks' ? `same network at ${shared.join(', ')}` : null,
  ].filter((part) => part !== null);
  const inBrackets = details.length > 0 ? ` (${details.join('; ')})` : '';
  return [element('b', {}, line.name), `: ${difference}${verdictWords[verdict]}${inBrackets}`];
}

/** What the numbers of the results rest on. */
export function resultNotes(summary: Pick<StudySummary, 'targets' | 'data'>): Content {
  const members = summary.targets.flatMap((target) => target.lines.flatMap((line) => line.members));
  if (members.length === 0) return null;
  const seeds = Math.max(...members.map((member) => member.testAccuracy.values.length));
  const best = Math.max(...members.map((member) => member.testAccuracy.mean));
  const sampling = summary.data.test > 0 ? Math.sqrt((best * (1 - best)) / summary.data.test) : 0;
  const level = members[0]?.latency.intervalMs.level ?? 0.95;
  return note(
    `Test split (${grouped(summary.data.test)} images) read once, at delivery. ` +
      (seeds > 1
        ? `± is one standard deviation over ${plural(seeds, 'training seed')}; differences carry 95 % t intervals ` +
          'from the pooled deviation of the seeds. '
        : 'Trained with one seed: differences between networks carry no error bar. ') +
      `That the test split is a sample adds about ± ${percentNumber(sampling)} points, largely shared by all networks. ` +
      `Latency intervals (${percent(level, 0)}) come from the spread between fresh sessions; rules are interpolated in log latency.`,
  );
}

function searchSection(summary: StudySummary): Content {
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

/** A network part by part, with what each counts. */
export function networkTable(spec: NetworkSpec, count: NetworkCount): Markup {
  return table(
    ['part', 'what', 'params', 'MACs'],
    [
      ['stem', `${spec.stem.kernel}×${spec.stem.kernel}, stride ${spec.stem.stride}, width ${spec.stem.width}`],
      ...spec.stages.map((stage, index) => [`stage${index}`, stageText(stage)] as const),
      ['head', spec.head.width > 0 ? `1×1, width ${spec.head.width}` : 'none'],
      ['classifier', `${spec.classes} classes, input ${spec.input.resolution} px`],
    ].map(([part, what]) => [
      part as string,
      what as string,
      optional(count.groups[part as string]?.params, amount),
      optional(count.groups[part as string]?.macs, amount),
    ]),
  );
}

/** A stage with what is particular to its operator called as in the spec. */
function stageText({ operator, kernel, stride, width, repeats, activation, ...particular }: Stage): string {
  const told = Object.entries(particular).filter(
    ([key, value]) => value !== undefined && value !== 0 && !(key === 'skip' && value === true),
  );
  const parts = [
    `${repeats} × ${operator} ${kernel}×${kernel}`,
    `stride ${stride}`,
    `width ${width}`,
    ...told.map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`),
    activation,
  ];
  return parts.join(', ');
}

/** How depth, width and resolution grow with latency. */
export function multiplierSection(summary: Pick<StudySummary, 'targets' | 'data'>): Content {
  const rows = summary.targets.flatMap((target) => {
    const charts = (['depth', 'width', 'resolution'] as const).flatMap(
      (factor) => multiplierChart(target, factor) ?? [],
    );
    const title = summary.targets.length > 1 && element('h3', {}, target.name);
    return charts.length > 0
      ? [
          title,
          target.elasticity && elasticityNote(target.elasticity),
          linesLegend(target),
          element(
            'div',
            { class: 'thirds' },
            charts.map((one) => element('figure', {}, one)),
          ),
        ]
      : [];
  });
  if (rows.length === 0) return null;
  return section(
    'Multipliers',
    note(
      `As realised after rounding, against the base. The data’s native size is ${summary.data.native}; no network asks for more.`,
    ),
    rows,
  );
}

function elasticityNote({ exponents, observations, residualSd, determined }: ElasticitySummary): Markup {
  const parts = (['depth', 'width', 'resolution'] as const).map((axis) => {
    const { value, lo, hi } = exponents[axis];
    return `${axis}^${value.toFixed(2)} (${lo.toFixed(2)} to ${hi.toFixed(2)})`;
  });
  return note(
    `Latency grows as ${parts.join(' · ')}, from ${plural(observations, 'scaling')} with 95 % intervals, ± ${percent(residualSd)} about that` +
      `${determined ? '.' : '; too few or too alike to tell without assumptions.'}`,
  );
}

function curvesSection(summary: StudySummary): Content {
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

/** How the final latencies were measured, and what they were. */
export function latencySection(summary: Pick<StudySummary, 'targets'>): Content {
  const blocks = summary.targets.flatMap((target) => {
    const members = target.lines.filter((line) => line.kind !== 'rule').flatMap((line) => line.members);
    const figure = latencyChart(members);
    if (!figure) return [];
    const rows = members.map((member) => {
      const { latency } = member;
      return [
        member.size,
        significant(latency.p50Ms),
        significant(latency.p90Ms),
        latency.p99Ms === null
          ? latency.reported
            ? '– (not reported)'
            : '– (under 300 runs)'
          : significant(latency.p99Ms),
        String(latency.sessions),
        grouped(latency.samples),
        String(latency.rejectedBlocks),
        percent(latency.drift),
        sourceText(latency),
        verdictText(latency),
      ];
    });
    return [
      element('h3', {}, target.name),
      element('figure', {}, figure),
      table(
        ['size', 'p50 ms', 'p90 ms', 'p99 ms', 'sessions', 'runs', 'blocks rejected', 'drift', 'source', 'verdict'],
        rows,
      ),
    ];
  });
  return blocks.length > 0 && section('Latency distributions', blocks);
}

/** What a device's profile said of networks that were measured on it, too. */
function predictionSection(summary: StudySummary): Content {
  const rows = summary.targets.flatMap(({ name, prediction }) => {
    if (!prediction) return [];
    const { profile, calibrated, networks, medianError, medianRatio, within10, rankCorrelation } = prediction;
    const { refused, sampled, wronglyRefused, wronglyRefusedAtMost } = prediction;
    return [
      [
        name,
        `${profile}${calibrated ? '' : ', never calibrated'}`,
        String(networks),
        optional(medianRatio, (ratio) => ratio.toFixed(2)),
        optional(medianError, percent),
        optional(within10, (share) => percent(share, 0)),
        optional(rankCorrelation, (rank) => rank.toFixed(2)),
        String(refused),
        String(sampled),
        sampled === 0 ? '–' : `${wronglyRefused} (at most ${percent(wronglyRefusedAtMost, 0)})`,
      ],
    ];
  });
  if (rows.length === 0) return null;
  return section(
    'Prediction beside measurement',
    table(
      [
        'target',
        'profile',
        'networks with both',
        'median predicted ÷ measured',
        'median error',
        'within ± 10 %',
        'rank correlation',
        'refused by prediction',
        'measured as a sample',
        'of those within the limit',
      ],
      rows,
    ),
    note(
      'A candidate is refused by prediction when the lower end of its interval is above the limit; a seeded sample of those is ' +
        'measured all the same, which bounds how often prediction refuses wrongly (95 % confidence). Everything that was trained was measured.',
    ),
  );
}

function timeSection(summary: StudySummary): Content {
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

/** The data, and what the work was done on and with. */
export function provenanceSection({ data, environment }: Pick<StudySummary, 'data' | 'environment'>): Markup {
  const facts: readonly (readonly [string, string])[] = [
    ['name', data.name],
    ['classes', String(data.classes)],
    ['native size', data.native],
    ['train / hold-out / test', [data.train, data.holdout, data.test].map(grouped).join(' / ')],
    ['digest', data.digest],
  ];
  return section(
    'Data and environment',
    element(
      'div',
      { class: 'figures' },
      element('div', {}, element('h3', {}, 'Data set'), definitions(facts)),
      element('div', {}, element('h3', {}, 'Environment'), definitions(Object.entries(environment))),
    ),
  );
}

function trialSection(summary: StudySummary): Content {
  if (summary.trials.length === 0) return null;
  const statuses = ['ok', 'infeasible', 'failed', 'issued'] as const;
  const names = { ok: 'ok', infeasible: 'infeasible', failed: 'failed', issued: 'without an answer yet' };
  const used = statuses.filter((status) => summary.trials.some((trial) => trial.status === status));
  const rows = phaseNames.flatMap((phase) => {
    const trials = summary.trials.filter((trial) => trial.phase === phase);
    if (trials.length === 0) return [];
    const counts = used.map((status) => String(trials.filter((trial) => trial.status === status).length));
    return [[phase, ...counts, String(trials.length)]];
  });
  const reasons = new Map<string, string[]>();
  for (const { id, status, reason } of summary.trials)
    if (reason !== undefined) {
      const key = `${status}: ${reason}`;
      reasons.set(key, [...(reasons.get(key) ?? []), id]);
    }
  return section(
    'Trials',
    table(['phase', ...used.map((status) => names[status]), 'all'], rows),
    reasons.size > 0 &&
      table(
        ['reason', 'trials', 'which'],
        [...reasons]
          .toSorted(([, a], [, b]) => b.length - a.length)
          .map(([reason, ids]) => [reason, String(ids.length), listed(ids, 8)]),
      ),
    note('Every trial is a line of trials.csv.'),
  );
}

function intervalText(member: MemberSummary): string {
  const [lo, hi] = p50Interval(member);
  return hi > lo ? ` ${significant(lo)}–${significant(hi)}` : '';
}

/** Only what was measured can be good or bad. */
function verdictClass({ source, reported, stable }: Latency): string | null {
  if (source === 'predicted' || reported) return null;
  return stable ? 'good' : 'bad';
}

function optional(value: number | null | undefined, format: (value: number) => string): string {
  return value === undefined || value === null ? '–' : format(value);
}

function listed(ids: readonly string[], most: number): string {
  return ids.length <= most ? ids.join(', ') : `${ids.slice(0, most).join(', ')} and ${ids.length - most} more`;
}

function twoDecimals(value: number): string {
  return value.toFixed(2);
}
