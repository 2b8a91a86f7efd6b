import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import type { OnnxNode } from '../../models/onnx.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { type ModelSpec, parseTransformerSpec } from '../../models/transformer.ts';
import { differentiate } from '../../training/differentiate.ts';
import type { Lowering } from '../../training/lowering.ts';
import { onnxTrainer } from '../../training/onnx-trainer.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { lowerTrainingStep } from '../../training/step.ts';
import { stepCost } from '../../training/step-cost.ts';
import { stepNames } from '../../training/step-names.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { smallRequest, trained } from '../cases/trainer.case.ts';
import { blockKinds, endKinds, networkOf } from '../models/block-kinds.ts';
import { draw, lowerings, runLowered, targetFeed, TestGraph } from './graphs.ts';

const recipe = defaultRecipe({ batchSize: 8 });

/** A step as it is, and with less kept. */
function stepsOf(spec: ModelSpec, lowering: Lowering) {
  const graph = buildNetwork(spec, recipe.batchSize);
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0.1, targets: 'target' });
  const [kept, again] = [false, true].map((rematerialise) =>
    lowerTrainingStep(training, { ...recipe, rematerialise }, lowering),
  ) as [ReturnType<typeof lowerTrainingStep>, ReturnType<typeof lowerTrainingStep>];
  return { graph, training, kept, again };
}

/** Nodes in the order in which they are to run: a step's file has them backwards. */
const inOrder = ({ model }: ReturnType<typeof lowerTrainingStep>): readonly OnnxNode[] => model.nodes.toReversed();
const isAgain = ({ name }: OnnxNode): boolean => name.endsWith(' again');

const residual: NetworkSpec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 16 },
    classes: 4,
    stem: { kernel: 3, stride: 1, width: 8 },
    stages: [{ operator: 'basic', kernel: 3, stride: 1, width: 8, repeats: 6 }],
    head: { width: 0, dropout: 0.2 },
    survival: 0.8,
  },
  'residual',
);
const transformer = parseTransformerSpec(
  { kind: 'transformer', vocabulary: 16, context: 8, width: 16, layers: 4, heads: 2 },
  'transformer',
);

const specs: readonly (readonly [string, ModelSpec])[] = [
  ...[...blockKinds, ...endKinds].map((kind) => [kind, networkOf(kind, 12)] as const),
  ['a residual network that drops branches and units', residual],
  ['a transformer', transformer],
];

describe.each(lowerings.map((lowering) => [lowering.id, lowering] as const))(
  'a rematerialised step, %s',
  (_id, lowering) => {
    it.each(specs)('gives the same bits: %s', async (_kind, spec) => {
      const { graph, training, kept, again } = stepsOf(spec, lowering);
      const { values, loss } = draw(graph, new Random(1));
      const { length } = kept.flat;
      const shape = training.tensors.get('target')?.shape as readonly number[];
      const feeds = {
        target: targetFeed(loss.labels, loss.classes, shape),
        velocity: { dtype: 'float32' as const, dims: [length], data: new Float32Array(length).fill(0.25) },
        [stepNames.learningRate]: { dtype: 'float32' as const, dims: [], data: Float32Array.of(0.1) },
      };
      const [first, second] = [await runLowered(kept, values, feeds), await runLowered(again, values, feeds)];
      expect(second).toEqual(first);
    });

    it('computes again what blocks keep to themselves, right before it is read on the way back', () => {
      const { kept, again } = stepsOf(residual, lowering);
      const nodes = inOrder(again);
      const turn = nodes.findIndex(({ inputs }) => inputs.includes('target'));
      const places = nodes.flatMap((node, index) => (isAgain(node) ? [index] : []));
      expect(nodes.length).toBe(inOrder(kept).length + places.length);
      expect(places.length).toBeGreaterThan(20);
      expect(Math.min(...places)).toBeGreaterThan(turn);
      // The last segment is not: it is read at once.
      expect(nodes.filter(isAgain).some(({ name }) => name.startsWith('stage0.block5'))).toBe(false);
      expect(nodes.filter(isAgain).some(({ name }) => name.startsWith('stem'))).toBe(true);
      // In several goes, with gradients between.
      expect(places.at(-1) as number).toBeGreaterThan((places[0] as number) + 2 * places.length);
    });
  },
);

describe('rematerialisation', () => {
  it('leaves a step as it is where nothing would be saved', () => {
    const test = new TestGraph(4, 2, 3, 3);
    const training = differentiate(test.classify('image', 3), {
      kind: 'softmax-cross-entropy',
      labelSmoothing: 0,
      targets: 'target',
    });
    const [kept, again] = [false, true].map(
      (rematerialise) => lowerTrainingStep(training, { ...recipe, rematerialise }).model,
    );
    expect(again).toEqual(kept);
  });

  it('changes no bit of a training, in micro-batches or whole', async () => {
    for (const microBatches of [1, 2]) {
      const [kept, again] = [
        trained(await onnxTrainer.train(smallRequest({ microBatches }))),
        trained(await onnxTrainer.train(smallRequest({ microBatches, rematerialise: true }))),
      ];
      expect(again.weights).toEqual(kept.weights);
      expect(again.curve).toEqual(kept.curve);
    }
  });

  it('goes on from a checkpoint of the training without', async () => {
    const checkpoint = { file: `${fileFolder()}/checkpoint.safetensors`, task: {}, everyS: 0 };
    const whole = trained(await onnxTrainer.train(smallRequest({})));
    const abort = new AbortController();
    const half = smallRequest(
      {},
      {
        checkpoint,
        signal: abort.signal,
        onProgress: ({ examples }) => {
          if (examples > 60) abort.abort();
        },
      },
    );
    await expect(onnxTrainer.train(half)).rejects.toThrow(/interrupted/);
    const notices: string[] = [];
    const rest = smallRequest({ rematerialise: true }, { checkpoint, onNotice: (text) => notices.push(text) });
    expect(trained(await onnxTrainer.train(rest)).weights).toEqual(whole.weights);
    expect(notices).toEqual([expect.stringMatching(/^training goes on after \d+ of/)]);
  });

  it('takes less memory, in a process that has nothing else to do', async () => {
    // Many cheap layers, whose values are as large as the process itself.
    const stage = { operator: 'mbconv', kernel: 3, stride: 1, expansion: 1, width: 16, repeats: 8 };
    const spec = parseNetworkSpec({ ...residual, input: { channels: 3, resolution: 32 }, stages: [stage] }, 'deep');
    const peakBytes = async (rematerialise: boolean): Promise<number> => {
      const setting = { spec, recipe: { ...defaultRecipe({ batchSize: 64 }), rematerialise }, threads: 1 };
      return (await stepCost({ setting, seconds: 0 }, new AbortController().signal)).peakRssBytes;
    };
    expect(await peakBytes(true)).toBeLessThan(0.85 * (await peakBytes(false)));
  });
});
