import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../core/random.ts';
import { parseRuns, type Run } from '../../scaling/fit-runs.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { lossAt, thetaOf } from '../../scaling/laws/law.ts';

/** The 240 points of the reference procedure: those of Hoffmann et al.'s Fig. 4 without the five highest losses. */
export function referencePoints(folder: string): readonly Run[] {
  const columns = { n: 'Model Size', c: 'Training FLOP', loss: 'loss' };
  return read(join(folder, 'epoch-chinchilla.csv'), columns)
    .toSorted((a, b) => a.loss - b.loss)
    .slice(0, 240);
}

/** Other sets of runs, for asking whether few starts do as well as many. */
export function otherSets(folder: string): readonly { readonly name: string; readonly runs: readonly Run[] }[] {
  const gadre = read(join(folder, 'gadre-small.csv'), { n: 'params', d: 'tokens', loss: 'loss_c4_val' });
  const constrained = read(join(folder, 'datablations-182.csv'), { n: 'params', d: 'tokens_total', loss: 'val_loss' });
  const porian = readFileSync(join(folder, 'porian-refinedweb-isoflop.csv'), 'utf8').split(/\r?\n/);
  const [head = '', ...lines] = porian;
  const tuned = [head, ...lines.filter((line) => line.startsWith('rw,tuned,'))].join('\n');
  return [
    {
      name: 'all 245 points',
      runs: read(join(folder, 'epoch-chinchilla.csv'), { n: 'Model Size', c: 'Training FLOP', loss: 'loss' }),
    },
    { name: 'Gadre et al., small runs', runs: gadre },
    { name: 'Muennighoff et al.', runs: constrained },
    { name: 'Porian et al., tuned', runs: parseRuns(tuned, 'porian', { n: 'n', d: 'tokens', loss: 'loss' }) },
    { name: 'generated, noise .5 %', runs: generated(0.005) },
  ];
}

function read(path: string, columns: Parameters<typeof parseRuns>[2]): readonly Run[] {
  return parseRuns(readFileSync(path, 'utf8'), path, columns);
}

function generated(noise: number): readonly Run[] {
  const random = new Random('bench/laws');
  const theta = thetaOf(chinchilla, { A: 300, B: 900, E: 1.9, alpha: 0.31, beta: 0.34 });
  return [1e7, 3e7, 1e8, 3e8, 1e9].flatMap((params) =>
    [2, 8, 32, 128].map((ratio) => {
      const data = params * ratio;
      const loss = lossAt(chinchilla, theta, { params, data }) * Math.exp(noise * random.normal());
      return { params, data, flops: 6 * params * data, loss, line: 0 };
    }),
  );
}
