import type { Run } from '../../../scaling/fit-runs.ts';
import { publicTable } from '../../cases/public-tables.ts';

/** Rows of a public table; undefined, said aloud, where it is not. */
export function sharedTable(file: string): readonly Readonly<Record<string, string>>[] | undefined {
  const [head = '', ...lines] = publicTable(file)?.trim().split(/\r?\n/) ?? [];
  if (head === '') return undefined;
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
