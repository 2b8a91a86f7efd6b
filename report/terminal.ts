import type { FamilySummary, MemberSummary, StudySummary, TargetSummary } from '../study/deliver/summary.ts';
import { allocationLines } from './allocation.ts';
import { amount, duration, percentNumber, plural, significant } from './format.ts';
import { headline, limitText, p50Interval } from './headline.ts';
import { rungText } from './rungs.ts';
import { isPerExample, memberSettingText, targetSettingText } from './settings.ts';
import { limitMetText, predictionText, sourcesOf, verdictText } from './source.ts';
import { memberRows, variantLines } from './variants.ts';

const columns = 90;

/**
 * What the command line prints at the end, at most 90 columns wide: the result in a sentence, a
 * table for each target, warnings and where the files are. Plain text without colour codes.
 * @param folder the study's folder as the user would write it.
 */
export function summaryTable(summary: StudySummary, folder = `runs/${summary.name}`): string {
  const warnings = summary.warnings.flatMap((warning) => wrapped(`warning: ${warning}`, '  '));
  const blocks = [
    headline(summary).flatMap((sentence) => wrapped(sentence, '')),
    ...summary.targets.map(targetTable),
    summary.rungs.flatMap((rung) => wrapped(`rung of ${rungText(rung)}`, '  ')),
    sharedLines(summary),
    allocationLines(summary).flatMap((line) => (line.startsWith(' ') ? [line] : wrapped(line, '  '))),
    warnings,
    [
      `${plural(summary.trials.length, 'trial')} in ${duration(summary.activeS)}${deviceHoursText(summary)}`,
      `report  ${folder}/report.html`,
      ...(summary.targets.some((target) => delivered(target)) ? [`family  ${folder}/family/`] : []),
    ],
  ].filter((lines) => lines.length > 0);
  return blocks
    .map((lines) => lines.join('\n'))
    .join('\n\n')
    .replaceAll(/[\u00a0\u202f]/g, ' ');
}

/** The family that all targets share, a line each. */
function sharedLines({ acrossTargets }: StudySummary): readonly string[] {
  if (!acrossTargets) return [];
  const lines = acrossTargets.shared.flatMap(({ name, testAccuracy, targets }) => {
    const costs = targets.map(
      ({ target, latency, regret }) => `${target} ${significant(latency.p50Ms)} ms, regret ${percentNumber(regret)}`,
    );
    return wrapped(`  ${name}  ${percentNumber(testAccuracy.mean)} % on test; ${costs.join('; ')}`, '      ');
  });
  const none = acrossTargets.unshared.map(
    (name) => `  ${name}  none of the trained networks is within it on every target`,
  );
  if (lines.length + none.length === 0) return [];
  return ['one family for all targets (regret: hold-out points below the best within the size):', ...lines, ...none];
}

/** What a study with a budget of device hours used of it. */
export function deviceHoursText({ deviceHours: { spent, budget, byPhase } }: StudySummary): string {
  if (budget === null) return '';
  const phases = Object.entries(byPhase).map(([phase, hours]) => `${phase} ${significant(hours)}`);
  return `, ${significant(spent)} of ${significant(budget)} device hours (${phases.join(', ')})`;
}

const header = ['size', 'test %', 'p50 ms', '(interval)', 'verdict', 'limit', 'params', 'MACs'];

function targetTable(target: TargetSummary): readonly string[] {
  const lines = target.lines.filter((line) => line.members.length > 0);
  if (lines.length === 0) return [];
  const unit = isPerExample(target) ? ', times of one example' : '';
  const limit = target.limit ? `, limit ${limitText(target.limit)}` : '';
  const sources = sourcesOf(target).map((source) => `, latency ${source}`);
  const title = `${target.name}: ${targetSettingText(target)}, ${plural(target.threads, 'thread')}${limit}${unit}${sources.join('')}`;
  const rows = lines.flatMap((line) => memberRows(line).map(({ member }) => row(target, line, member)));
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map((cells) => (cells[column] ?? '').length)),
  );
  const aligned = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  const prediction = target.prediction ? wrapped(`  ${predictionText(target.prediction)}`, '  ') : [];
  const variants = variantLines(target).flatMap((line) => wrapped(line, '  '));
  return [
    ...wrapped(title, '  '),
    ...[header, ...rows].map((cells) => `  ${aligned(cells)}`),
    ...variants,
    ...prediction,
  ];
}

function row(target: TargetSummary, line: FamilySummary, member: MemberSummary): readonly string[] {
  const { latency, testAccuracy, limitMet, count } = member;
  const [lo, hi] = p50Interval(member);
  const setting = line.kind === 'family' ? memberSettingText(target, member) : null;
  const spread = testAccuracy.sd === null ? '' : ` ± ${percentNumber(testAccuracy.sd)}`;
  return [
    clipped([rowName(line, member), setting].filter(Boolean).join(' '), 20),
    `${percentNumber(testAccuracy.mean)}${spread}`,
    significant(latency.p50Ms),
    hi > lo ? `${significant(lo)}–${significant(hi)}` : '',
    verdictText(latency).split(',')[0] ?? '',
    limitMetText(limitMet),
    count ? amount(count.params) : '–',
    count ? amount(count.macs) : '–',
  ];
}

function rowName(line: FamilySummary, member: MemberSummary): string {
  if (line.kind === 'rule') return `${member.size} ${line.name}`;
  return line.kind === 'user-model' && line.members.length === 1 ? line.name : member.size;
}

function delivered(target: TargetSummary): boolean {
  return target.lines.some((line) => line.members.some((member) => member.file !== undefined));
}

/** Names of models differ at their end. */
function clipped(text: string, most: number): string {
  return text.length <= most ? text : `…${text.slice(1 - most)}`;
}

/** Lines of at most 90 columns, broken at spaces; later lines start with `indent`. */
function wrapped(text: string, indent: string): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/[ \n]+/)) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = indent + word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
