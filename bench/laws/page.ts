// Writes what docs/laws.md shows: its tables of runs and its plots. `npx tsx bench/laws/page.ts`; with `--curves <file>` only
// the curves that approach 1 is shown with, recorded evenly in D with `--linear`.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { curveTable, oneRatio, repeats, sweep } from './page-data.ts';
import { figures } from './page-figures.ts';

const { values } = parseArgs({
  options: {
    curves: { type: 'string' },
    linear: { type: 'boolean', default: false },
    out: { type: 'string', default: '.' },
  },
});
if (values.curves === undefined) {
  const [tables, plots] = [join(values.out, 'examples/laws'), join(values.out, 'docs/laws')];
  for (const folder of [tables, plots]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(tables, 'runs.csv'), sweep());
  writeFileSync(join(tables, 'repeats.csv'), repeats());
  writeFileSync(join(tables, 'one-ratio.csv'), oneRatio());
  for (const [name, svg] of await figures()) writeFileSync(join(plots, name), svg);
} else writeFileSync(values.curves, curveTable(values.linear));
