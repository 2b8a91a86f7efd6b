import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../../accelerators/onnxruntime.ts';
import { inherited, sharesIn } from '../../../bench/supernet/shared-weights.ts';
import { largest, sampleNetwork, smallest } from '../../../bench/supernet/space.ts';
import { Random } from '../../../core/random.ts';
import { buildNetwork, imageInput } from '../../../models/build.ts';
import { elements, type Graph, type Weights } from '../../../models/graph.ts';
import { encodeOnnx } from '../../../models/onnx.ts';
import type { NetworkSpec } from '../../../models/spec.ts';
import { detectBlockSize } from '../../../training/blocked/block-size.ts';
import { blockedLowering } from '../../../training/blocked/lower.ts';
import { differentiate } from '../../../training/differentiate.ts';
import { flatParameters, packParameters, unpackParameters } from '../../../training/flat-parameters.ts';
import type { Lowering } from '../../../training/lowering.ts';
import { plainLowering } from '../../../training/plain/lower.ts';
import { lowerGradients } from '../../../training/step.ts';
import { stepNames } from '../../../training/step-names.ts';
import { trains } from '../../../training/training-graph.ts';

const cpu = onnxRuntimeAccelerator('cpu');
const batch = 4;
const whole = buildNetwork(largest, batch);
const weights = randomWeights(whole);
const networks: readonly (readonly [string, NetworkSpec])[] = [
  ['the smallest', smallest],
  ['the largest', largest],
  ...[0, 1, 2].map((ordinal) => [`network ${ordinal}`, sampleNetwork(new Random('sampled').child(ordinal))] as const),
];

/** Values of every parameter, none of them special. */
function randomWeights(graph: Graph): Weights {
  return new Map(
    graph.parameters.map(({ name, shape, role }) => {
      const stream = new Random('shared').child(name);
      const centre = role === 'scale' || role === 'running-variance' ? 1 : 0;
      return [name, new Float32Array(elements(shape)).map(() => centre + 0.2 * stream.normal())];
    }),
  );
}

/** A network's step on one random batch in training mode: loss and gradients of parameters, as flat vectors. */
async function openStep(graph: Graph, lowering: Lowering) {
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0.1, targets: 'target' });
  const { model, flat } = lowerGradients(training, lowering);
  const stream = new Random('batch');
  const image = new Float32Array(batch * 3 * 24 * 24).map(() => stream.normal());
  const target = Float32Array.from({ length: batch * 10 }, (_, index) =>
    index % 10 === Math.floor(index / 10) ? 1 : 0,
  );
  const run = async (data: Float32Array) => {
    const session = await cpu.open(encodeOnnx(model), { threads: 1, optimization: 'disabled' });
    const outputs = await session.run({
      [imageInput]: { dtype: 'float32', dims: [batch, 3, 24, 24], data: image },
      target: { dtype: 'float32', dims: [batch, 10], data: target },
      [stepNames.parameters]: { dtype: 'float32', dims: [data.length], data },
    });
    await session.close();
    const gradients = unpackParameters(flat, outputs[stepNames.gradients]?.data as Float32Array);
    return { loss: outputs[stepNames.loss]?.data[0] as number, gradients };
  };
  return { flat, run };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - (b[index] as number))), 0);
}

describe.each(['plain', 'blocked'])('weights shared by masks, %s lowering', (kind) => {
  const lowering = async (): Promise<Lowering> =>
    kind === 'plain' ? plainLowering : blockedLowering(await detectBlockSize(cpu));

  it.each(networks)(
    'give %s the loss and gradients that it has by itself with the weights it inherits',
    async (_, spec) => {
      const alone = buildNetwork(spec, batch);
      const chosen = await lowering();
      const [small, large] = [await openStep(alone, chosen), await openStep(whole, chosen)];
      const own = await small.run(packParameters(small.flat, inherited(whole, alone, weights)));
      const { mask, offset } = sharesIn(large.flat)(alone);
      const all = packParameters(large.flat, weights);
      const shared = await large.run(all.map((value, at) => value * (mask[at] as number) + (offset[at] as number)));
      expect(Math.abs(shared.loss - own.loss)).toBeLessThan(1e-5);
      const taken = inherited(whole, alone, shared.gradients);
      const scale = Math.max(...[...own.gradients.values()].flatMap((values) => [...values].map(Math.abs)));
      for (const [name, gradient] of own.gradients)
        expect(largestDifference(gradient, taken.get(name) as Float32Array), name).toBeLessThan(1e-4 * scale);
    },
  );
});

/** The mask of every parameter of the whole, in its own order. */
function maskOf(small: Graph): Weights {
  const flat = flatParameters(whole.parameters.filter(trains));
  return unpackParameters(flat, sharesIn(flat)(small).mask);
}

describe('what a network takes of a larger one', () => {
  it('is all of itself, and nothing of a block it lacks', () => {
    expect([...maskOf(whole).values()].every((values) => values.every((value) => value === 1))).toBe(true);
    const mask = maskOf(buildNetwork(smallest, 1));
    const lacking = [...mask].filter(([name]) => name.startsWith('stage2.block1.'));
    expect(lacking.length).toBeGreaterThan(0);
    expect(lacking.every(([, values]) => values.every((value) => value === 0))).toBe(true);
  });

  it('is the middle of a wider kernel', () => {
    const mask = maskOf(buildNetwork({ ...largest, stages: largest.stages.map((s) => ({ ...s, kernel: 3 })) }, 1));
    const taps = mask.get('stage1.block0.depthwise.conv.weight')?.subarray(0, 25);
    expect([...(taps ?? [])]).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
  });

  it('refuses a network that is no part of it', () => {
    const wide = buildNetwork({ ...largest, stem: { ...largest.stem, width: 64 } }, 1);
    expect(() => maskOf(wide)).toThrow(/stem\.conv\.weight: expected at most 16 × 3 × 3 × 3, got 64/);
  });
});
