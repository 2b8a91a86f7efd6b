// Times training steps of this machine, as data for the step-time models: `npx tsx bench/laws/own-steps.ts`, again to go on; see bench/README.md.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Random } from '../../core/random.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { textSourceSchema } from '../../data/text.ts';
import { withHostLock } from '../../latency/host-lock.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { parseTransformerSpec, type TransformerSpec } from '../../models/transformer.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { decode, sampleChoices } from '../../search/space.ts';
import { builtInSpace, type SpaceScale } from '../../search/spaces.ts';
import { resolveRecipe } from '../../study/evaluation/recipe.ts';
import { languageModelRecipe } from '../../study/train/train-language-model.ts';
import { trainInChild } from '../../training/isolate.ts';
import { RunTable } from './run-table.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'bench/laws/own-steps' },
    /** Each network is timed once a round, rounds apart, so that a busy minute spoils one sample and not a network. */
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1' },
  },
});
const threads = Number(values.threads);
const updates = 9;
const batches = [16, 32, 64] as const;
const nativeSide = 64;
const scratch = mkdtempSync(join(tmpdir(), 'ridgepoint-own-steps-'));
const random = new Random('own-steps');

const dataFile = join(scratch, 'data.bin');
const source = dataSourceSchema.parse({
  format: 'rendered',
  classes: 10,
  train: 256,
  test: 16,
  resolution: nativeSide,
});
const dataset = await loadDataset(source, { baseDirectory: '.' });
await writeDatasetFile(dataset, dataFile);
const [classes, channels] = [dataset.classNames.length, dataset.channels];

/** Networks of the spaces and of the literature, .1 to 200 million multiply-adds. */
function convolutions(): readonly { readonly name: string; readonly spec: NetworkSpec; readonly batch: number }[] {
  const drawn = (['tiny', 'small'] as const).flatMap((scale: SpaceScale) =>
    (['efficientnet-x', 'mobile'] as const).flatMap((space) => {
      const data = { classes, channels, nativeResolution: nativeSide, scale };
      return Array.from({ length: 8 }, (_, i) => ({
        name: `${space}-${scale}-${i}`,
        spec: decode(
          builtInSpace(space, data),
          sampleChoices(builtInSpace(space, data), random.child(space, scale, i)),
        ),
      }));
    }),
  );
  const published = [
    'mobilenet-v2',
    'mobilenet-v3-small',
    'mobilenet-v3-large',
    'efficientnet-b0',
    'efficientnet-lite0',
    'efficientnetv2-b0',
    'regnet-x-400mf',
    'resnet-18',
  ].flatMap((name) =>
    [32, 48, 64].map((nativeResolution) => ({
      name: `${name}@${nativeResolution}`,
      spec: loadNetwork(name, { data: { classes, channels, nativeResolution } }),
    })),
  );
  return [...drawn, ...published].map((network, i) => ({ ...network, batch: batches[i % batches.length] ?? 32 }));
}

/** Shapes of 30 thousand to ten million parameters on sequences of 32 to 256 tokens. */
function transformers(): readonly { readonly spec: TransformerSpec; readonly batch: number }[] {
  return Array.from({ length: 30 }, (_, i) => {
    const stream = random.child('transformer', i);
    const heads = 1 + stream.integer(6);
    const context = 32 * 2 ** stream.integer(4);
    const spec = parseTransformerSpec(
      {
        kind: 'transformer',
        vocabulary: 64 * 2 ** stream.integer(5),
        context,
        layers: 1 + stream.integer(6),
        width: heads * (stream.integer(2) === 0 ? 32 : 64),
        heads,
        gated: stream.integer(2) === 1,
        learnedPositions: false,
      },
      'own steps',
    );
    return { spec, batch: Math.max(2, (512 * 2 ** stream.integer(3)) / context) };
  });
}

/** Timed networks, each once a round. */
class TimedSteps extends RunTable<string> {
  readonly #known = new Set(this.rows().map(({ cells }) => `${cells['round']} ${cells['network']}`));

  has(round: number, network: string): boolean {
    return this.#known.has(`${round} ${network}`);
  }
}

async function stepMs(
  assignment: Omit<Parameters<typeof trainInChild>[0], 'threads' | 'weightsFile'>,
): Promise<number> {
  const weightsFile = join(scratch, 'weights.safetensors');
  const result = await withHostLock('exclusive', () => trainInChild({ ...assignment, threads, weightsFile }));
  if (result.cost.stepMs === undefined) throw new Error('expected a training that says how long its steps took');
  return result.cost.stepMs;
}

async function timeConvolutions(table: TimedSteps, round: number): Promise<void> {
  const data = { file: dataFile, augmentation: resolveRecipe({}).augmentation, scoredSplit: 'holdout' as const };
  for (const { name: network, spec, batch } of convolutions()) {
    if (table.has(round, network)) continue;
    const { recipe } = resolveRecipe({ batchSize: batch });
    const { params, macs, activations } = countGraph(buildNetwork(spec, 1));
    const fidelity = { examples: updates * batch, seed: 0 };
    const step_ms = (await stepMs({ spec, data, recipe, fidelity })).toPrecision(5);
    table.add({ network, params, activations, macs, batch, threads, round, step_ms });
    console.log(`${round} ${network} ${(macs / 1e6).toFixed(1)} M × ${batch}: ${step_ms} ms`);
  }
}

async function timeTransformers(table: TimedSteps, round: number): Promise<void> {
  for (const { spec, batch } of transformers()) {
    const { layers, width, heads, vocabulary, context, feedForward: feedforward, gated } = spec;
    const network = `${layers}x${width}-${heads}-${context}-${vocabulary}-${gated ? 'gated' : 'plain'}`;
    if (table.has(round, network)) continue;
    const data = textSourceSchema.parse({ format: 'grammar', symbols: 64, scored: 8 });
    const { recipe } = resolveRecipe({ ...languageModelRecipe, batchSize: batch });
    const ms = await stepMs({ spec, data, recipe, fidelity: { examples: updates * batch, seed: 0 } });
    const shape = { layers, width, heads, feedforward, gated: Number(gated), tied: 1, vocabulary, context };
    table.add({ network, ...shape, tokens: batch * context, threads, round, seconds: (ms / 1e3).toPrecision(5) });
    console.log(`${round} ${network} × ${batch}: ${ms.toFixed(1)} ms`);
  }
}

try {
  mkdirSync(values.out, { recursive: true });
  const convolutionTable = new TimedSteps(join(values.out, 'convolutions.csv'), [
    'network',
    'params',
    'activations',
    'macs',
    'batch',
    'threads',
    'round',
    'step_ms',
  ]);
  const transformerTable = new TimedSteps(join(values.out, 'transformers.csv'), [
    'network',
    'layers',
    'width',
    'heads',
    'feedforward',
    'gated',
    'tied',
    'vocabulary',
    'context',
    'tokens',
    'threads',
    'round',
    'seconds',
  ]);
  for (let round = 1; round <= Number(values.rounds); round++) {
    await timeConvolutions(convolutionTable, round);
    await timeTransformers(transformerTable, round);
  }
} finally {
  rmSync(scratch, { recursive: true });
}
