import type { FactoryMember, FactorySummary, FactoryTargetFamily } from '../study/factory-summary.ts';
import { percentNumber, plural, significant } from './format.ts';
import { limitMetText, verdictText } from './source.ts';

const header = ['size', 'test %', 'p50 ms', 'verdict', 'limit', 'd · w · r', 'px', 'trained', 'file'];

/** What the command line prints of a family that a user's own programs wrote. Plain text. */
export function factoryFamilyText({ name, families, warnings }: FactorySummary, folder: string): string {
  return [
    ...families.flatMap((family) => familyLines(name, family)),
    ...warnings.map((text) => `  warning: ${text}`),
    `report  ${folder}/report.html`,
    `family  ${folder}/family/, ${folder}/family.json`,
  ]
    .join('\n')
    .replaceAll(/[\u00a0\u202f]/g, ' ');
}

function familyLines(name: string, { target, baseMs, members }: FactoryTargetFamily): readonly string[] {
  const rows = [header, ...members.map(row)];
  const widths = header.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const aligned = rows.map((cells) =>
    `  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
  );
  return [
    `${name} on ${target}: ${plural(members.length, 'network')} from a base of ${significant(baseMs)} ms`,
    ...aligned,
  ];
}

function row({
  size,
  testAccuracy,
  latency,
  limitMet,
  multipliers,
  resolution,
  trained,
  file,
}: FactoryMember): readonly string[] {
  const { mean, sd } = testAccuracy;
  const { depth, width, resolution: side } = multipliers;
  return [
    size,
    sd === null ? percentNumber(mean) : `${percentNumber(mean)} ± ${percentNumber(sd)}`,
    significant(latency.p50Ms),
    verdictText(latency),
    limitMetText(limitMet),
    [depth, width, side].map((value) => value.toFixed(2)).join(' · '),
    String(resolution),
    String(trained),
    file,
  ];
}
