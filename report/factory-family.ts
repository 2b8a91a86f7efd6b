import type { FactoryFamily, FactoryMember } from '../study/scale-factory.ts';
import { percent, percentNumber, plural, significant } from './format.ts';

const header = ['size', 'test %', 'p50 ms', 'verdict', 'limit', 'd · w · r', 'px', 'trained', 'file'];

/** What the command line prints of a family that a user's own programs wrote. Plain text. */
export function factoryFamilyText({ name, target, baseMs, members, unserved }: FactoryFamily, folder: string): string {
  const rows = [header, ...members.map(row)];
  const widths = header.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const aligned = rows.map((cells) =>
    `  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
  );
  return [
    `${name} on ${target}: ${plural(members.length, 'network')} from a base of ${significant(baseMs)} ms`,
    ...aligned,
    ...members.flatMap(caveats).map((text) => `  warning: ${text}`),
    ...unserved.map((size) => `  warning: no network was found for ${size}`),
    `family  ${folder}/family/, ${folder}/family.json`,
  ]
    .join('\n')
    .replaceAll(/[\u00a0\u202f]/g, ' ');
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
    latency.stable ? 'stable' : 'unstable',
    limitMet === null ? '–' : limitMet ? 'met' : 'missed',
    [depth, width, side].map((value) => value.toFixed(2)).join(' · '),
    String(resolution),
    String(trained),
    file,
  ];
}

function caveats(
  { size, targetMs, latency, limitMet, testAccuracy }: FactoryMember,
  index: number,
  all: readonly FactoryMember[],
): string[] {
  const over = latency.p50Ms / targetMs - 1;
  const faster = all[index - 1];
  return [
    ...(latency.stable ? [] : [`the latency of ${size} is unstable`]),
    ...(limitMet === false ? [`${size} does not meet the limit in its final measurement`] : []),
    ...(over > 0.05 ? [`${size} took ${percent(over, 0)} longer than its size in its final measurement`] : []),
    ...(faster && testAccuracy.mean < faster.testAccuracy.mean
      ? [`${size} is slower than ${faster.size} and less accurate`]
      : []),
  ];
}
