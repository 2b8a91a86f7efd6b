// An isoFLOP sweep of small transformers on text of known entropy: does a fitted law find the loss that no model goes
// below? `npx tsx bench/laws/iso-flop.ts`, again to go on; see bench/README.md.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadText, textSourceSchema } from '../../data/text.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { parseTransformerSpec, type TransformerSpec } from '../../models/transformer.ts';
import { type Estimate, fitRuns } from '../../scaling/fit-report.ts';
import { parseRuns } from '../../scaling/fit-runs.ts';
import { resolveRecipe } from '../../study/evaluation/recipe.ts';
import { languageModelRecipe } from '../../study/train/train-language-model.ts';
import { trainInChild } from '../../training/isolate.ts';
import { RunTable } from './run-table.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: fileURLToPath(new URL('iso-flop.csv', import.meta.url)) },
    budgets: { type: 'string', default: '3e11,1e12,3e12,1e13' },
    seed: { type: 'string', default: '0' },
    threads: { type: 'string', default: '1' },
    symbols: { type: 'string', default: '64' },
  },
});
const budgets = values.budgets.split(',').map(Number);
const symbols = Number(values.symbols);
const seed = Number(values.seed);
const context = 64;
/** Shorter runs end before the optimizer has warmed up, and spoil every fit: of fifteen runs five had 76 to 280 (docs/log.md). */
const leastUpdates = 300;
/** Layers, width and heads: from 4,000 to a million parameters without positions. */
const shapes = [
  [1, 16, 1],
  [1, 32, 2],
  [2, 48, 2],
  [3, 64, 4],
  [4, 96, 4],
  [5, 128, 4],
] as const;

// Before anything takes time.
/** What every run had lost on its way, for approach 1: a row a point of its curve. */
const curves = new RunTable(values.out.replace(/(\.csv)?$/, '-curves.csv'), [
  'params',
  'tokens',
  'flops',
  'loss',
  'curve',
  'horizon',
]);
const table = new RunTable(values.out, ['layers', 'width', 'params', 'tokens', 'flops', 'loss', 'seed', 'seconds']);
const source = textSourceSchema.parse({ format: 'grammar', symbols, scored: 1024 });
const text = await loadText(source, '');
const { recipe } = resolveRecipe(languageModelRecipe);

interface Planned {
  readonly spec: TransformerSpec;
  readonly params: number;
  readonly sequences: number;
  readonly flops: number;
}

/** Parameters without positions, which do no work; FLOPs as trained: 6 a multiply-add. */
function planned(budget: number): Planned[] {
  return shapes.flatMap(([layers, width, heads]) => {
    const spec = parseTransformerSpec(
      { kind: 'transformer', vocabulary: symbols, context, layers, width, heads },
      'shape',
    );
    const { macs, groups, params: all } = countGraph(buildNetwork(spec, 1));
    const params = all - (groups['positions']?.params ?? 0);
    const updates = Math.round(budget / (6 * macs * recipe.batchSize));
    const sequences = updates * recipe.batchSize;
    return updates < leastUpdates ? [] : [{ spec, params, sequences, flops: 6 * macs * sequences }];
  });
}

function isDone({ params, sequences }: Planned): boolean {
  return table
    .rows()
    .some(
      ({ cells }) =>
        Number(cells['params']) === params &&
        Number(cells['tokens']) === sequences * context &&
        Number(cells['seed']) === seed,
    );
}

const folder = mkdtempSync(join(tmpdir(), 'ridgepoint-iso-flop-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const budget of budgets)
  for (const plan of planned(budget)) {
    if (isDone(plan)) continue;
    const { spec, params, sequences, flops } = plan;
    const result = await trainInChild({
      spec,
      data: source,
      recipe,
      fidelity: { examples: sequences, seed },
      threads: Number(values.threads),
      weightsFile: join(folder, 'weights.safetensors'),
    });
    if (result.status === 'diverged') throw new Error(`${params} parameters: diverged after ${result.atExamples}`);
    const loss = result.metrics['crossEntropy'] as number;
    const [tokens, { layers, width }] = [sequences * context, spec];
    const run = `${params}-${tokens}-${seed}`;
    if (curves.rows().every(({ cells }) => cells['curve'] !== run))
      for (const { examples, loss: lost } of result.curve) {
        const share = examples / sequences;
        curves.add({
          params,
          tokens: examples * context,
          flops: share * flops,
          loss: lost,
          curve: run,
          horizon: tokens,
        });
      }
    table.add({ layers, width, params, tokens, flops, loss, seed, seconds: result.cost.trainS });
    console.error(`${budget.toExponential(0)} FLOPs: ${params} parameters, ${tokens} tokens: ${loss.toFixed(4)} nats`);
  }

// Approach 2 compares sizes of one budget: FLOPs as trained, attention's included, not 6·N·D.
const runs = parseRuns(table.text(), values.out, {
  n: 'params',
  d: 'tokens',
  c: 'flops',
  loss: 'loss',
});
console.log(
  `irreducible ${text.irreducibleNats(context)?.toFixed(4)} nats a token; ${runs.length} runs, ${Math.min(...runs.map(({ flops }) => flops)).toExponential(1)} to ${Math.max(...runs.map(({ flops }) => flops)).toExponential(1)} FLOPs`,
);
const report = await fitRuns(runs, { laws: ['chinchilla', 'tied', 'joint', 'approach-2'], draws: 200 });
console.log('| law | E (95 % interval) | hold-out error | N ∝ C^ | D ∝ C^ |\n|---|---|---|---|---|');
const shown = ({ value, interval }: Estimate): string =>
  `${value.toFixed(3)}${interval ? ` (${interval.map((end) => end.toFixed(3)).join('–')})` : ''}`;
for (const { law, parameters, holdOut, exponents } of report.laws) {
  const { E } = parameters;
  const [n, d] = exponents ? [shown(exponents.params), shown(exponents.data)] : ['', ''];
  console.log(
    `| ${law} | ${E ? shown(E) : ''} | ${holdOut ? `${(100 * holdOut.error).toFixed(1)} %` : ''} | ${n} | ${d} |`,
  );
}
for (const { law, mapping } of report.mappings) console.log(law, JSON.stringify(mapping));
for (const warning of report.warnings) console.log(`warning: ${warning}`);
if (curves.rows().length === 0) console.log('approach-1: no curves kept beside these runs; another --out keeps them');
else {
  const columns = { n: 'params', d: 'tokens', c: 'flops', loss: 'loss', curve: 'curve', horizon: 'horizon' };
  const { mappings, warnings } = await fitRuns(parseRuns(curves.text(), curves.path, columns), {
    laws: ['approach-1'],
    draws: 200,
  });
  for (const { law, mapping } of mappings) console.log(law, JSON.stringify(mapping));
  for (const warning of warnings) console.log(`warning: ${warning}`);
}
