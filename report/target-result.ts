import type { Latency } from '../latency/latency.ts';
import { limitDoubt } from '../latency/setting.ts';
import type { FamilySummary, MemberSummary, StudySummary, TargetSummary } from '../study/deliver/summary.ts';
import { familyChart } from './family-chart.ts';
import { amount, grouped, percent, percentNumber, plural, signed, significant } from './format.ts';
import { type Comparison, comparisons, limitText, lineName, p50Interval } from './headline.ts';
import { type Content, element, type Markup } from './markup.ts';
import { accuracyText, cell, fileLink, note, seedsTitle, tableHead } from './page-parts.ts';
import { isPerExample, memberSettingText, targetSettingText } from './settings.ts';
import { limitMetText, sourcesOf, sourceText, verdictText } from './source.ts';
import { memberRows, variantList } from './variants.ts';

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

function intervalText(member: MemberSummary): string {
  const [lo, hi] = p50Interval(member);
  return hi > lo ? ` ${significant(lo)}–${significant(hi)}` : '';
}

/** Only what was measured can be good or bad. */
function verdictClass({ source, reported, stable }: Latency): string | null {
  if (source === 'predicted' || reported) return null;
  return stable ? 'good' : 'bad';
}

function twoDecimals(value: number): string {
  return value.toFixed(2);
}
