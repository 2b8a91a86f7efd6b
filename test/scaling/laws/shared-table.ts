import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Run } from '../../../scaling/fit-runs.ts';

const folder = fileURLToPath(new URL('../../../../shared/data/', import.meta.url));

/** Rows of a public table that lies beside the repository where it is developed; undefined, said aloud, elsewhere. */
export function sharedTable(file: string): readonly Readonly<Record<string, string>>[] | undefined {
  if (!existsSync(folder + file)) {
    console.warn(`skipped: ../shared/data/${file} is not here`);
    return undefined;
  }
  const [head = '', ...lines] = readFileSync(folder + file, 'utf8')
    .trim()
    .split(/\r?\n/);
  const names = head.split(',');
  return lines.map((line) => Object.fromEntries(line.split(',').map((cell, i) => [names[i] ?? '', cell])));
}

/** The points of Hoffmann et al.'s Fig. 4 as the replication read them off, all 245; D = FLOPs ÷ 6N. */
export function epochRuns(): readonly Run[] | undefined {
  return sharedTable('epoch-chinchilla.csv')?.map((row, i) => {
    const [params, flops] = [Number(row['Model Size']), Number(row['Training FLOP'])];
    return { params, flops, data: flops / (6 * params), loss: Number(row['loss']), line: i + 2 };
  });
}

/** Those without the five highest losses. */
export function epochRuns240(): readonly Run[] | undefined {
  return epochRuns()
    ?.toSorted((a, b) => a.loss - b.loss)
    .slice(0, 240);
}
