import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../../accelerators/onnxruntime.ts';
import { Random } from '../../../core/random.ts';
import { Grammar } from '../../../data/grammar.ts';
import { loadText, textSourceSchema } from '../../../data/text.ts';
import { parseTransformerSpec } from '../../../models/transformer.ts';
import { publishedMapping } from '../../../scaling/allocate.ts';
import { plan } from '../../../scaling/plan.ts';
import { defaultStyle } from '../../../scaling/transformer-shape.ts';
import { instantiate, networkOf, sequencesOf } from '../../../study/train/instantiate.ts';
import { trainLanguageModel } from '../../../study/train/train-language-model.ts';
import { tallyScores } from '../../../training/scoring.ts';
import { textTask } from '../../../training/text-task.ts';
import { fileFolder } from '../../cases/file-folder.ts';

const folder = fileFolder();
const data = textSourceSchema.parse({ format: 'grammar', symbols: 8, scored: 64 });
const request = { data, baseDirectory: folder, trainer: {}, threads: 1 };

it('a transformer learns more than frequencies, less than all there is, and its file says the same', async () => {
  const network = parseTransformerSpec(
    { kind: 'transformer', vocabulary: 8, context: 16, layers: 1, width: 16, heads: 2 },
    'test',
  );
  const into = join(folder, 'learned');
  const trained = await trainLanguageModel({
    ...request,
    network,
    fidelity: { examples: 4000, seed: 0 },
    folder: into,
  });
  const grammar = new Grammar({ symbols: 8, seed: 0 });
  // 1,024 scored tokens estimate a loss to about ±.03 nats (one sigma): four of them below what frequencies alone tell.
  expect(trained.crossEntropyNats).toBeLessThan(frequencyEntropy(grammar.text(new Random(5), 50_000)) - 0.12);
  expect(trained.crossEntropyNats).toBeGreaterThan(grammar.irreducibleNats(16) - 0.12);
  expect(trained.irreducibleNats).toBeCloseTo(grammar.irreducibleNats(16), 12);
  expect(trained.tokens).toBe(4000 * 16);

  const session = await onnxRuntimeAccelerator('cpu').open(readFileSync(join(into, 'model.onnx')), { threads: 1 });
  let [nats, rows] = [0, 0];
  for (const batch of textTask(await loadText(data, ''), network).scoringBatches(10)) {
    const { tokens, target } = batch;
    if (!tokens || !target) throw new Error('the task gave no tokens or no targets');
    const { logits } = await session.run({
      tokens: { dtype: 'int64', dims: tokens.shape, data: tokens.data as BigInt64Array },
    });
    const tally = tallyScores(logits?.data as Float32Array, target);
    nats += tally.nats;
    rows += tally.rows;
  }
  await session.close();
  expect(rows).toBe(64 * 16);
  expect(Math.abs(nats / rows - trained.crossEntropyNats)).toBeLessThan(1e-5);
});

it('an allocation is carried out: its shape, its amount of data, its prediction beside what came of it', async () => {
  const style = { ...defaultStyle, vocabulary: 8, context: 16 };
  const request3e8 = { budget: { flops: 3e8 }, mappings: [publishedMapping('chinchilla')], style, batchTokens: 512 };
  const [allocation] = plan(request3e8).allocations;
  if (!allocation) throw new Error('expected an allocation');
  const result = await instantiate(allocation, { ...request, seed: 0, folder: join(folder, 'planned') });
  expect(result.params).toBe(allocation.params);
  expect(Math.abs(result.tokens / allocation.data - 1)).toBeLessThan(0.1);
  expect(result.network).toEqual(networkOf(allocation));
  expect(sequencesOf(allocation) * 16).toBeGreaterThan(0);
  expect(result.predictedNats).toBe(allocation.loss);
  expect(result.excess).toBeCloseTo(result.crossEntropyNats / (allocation.loss ?? Number.NaN) - 1, 12);
});

it('text with tokens that a transformer lacks is refused before anything is made', async () => {
  const network = parseTransformerSpec(
    { kind: 'transformer', vocabulary: 4, context: 16, layers: 1, width: 16, heads: 2 },
    'test',
  );
  const into = join(folder, 'refused');
  await expect(
    trainLanguageModel({ ...request, network, fidelity: { examples: 10, seed: 0 }, folder: into }),
  ).rejects.toThrow(/vocabulary of at least 8, got 4/);
});

/** Of single symbols, in nats. */
function frequencyEntropy(text: Uint16Array): number {
  const counts = new Map<number, number>();
  for (const symbol of text) counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => sum - (count / text.length) * Math.log(count / text.length), 0);
}
