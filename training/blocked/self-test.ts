import type { Accelerator, TensorValue } from '../../accelerators/accelerator.ts';
import { Random } from '../../core/random.ts';
import { buildNetwork, imageInput } from '../../models/build.ts';
import type { Graph, Weights } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';
import { differentiate } from '../differentiate.ts';
import { packParameters, unpackParameters } from '../flat-parameters.ts';
import type { Lowering } from '../lowering.ts';
import { drawMasks } from '../masks.ts';
import { plainLowering } from '../plain/lower.ts';
import { lowerGradients } from '../step.ts';
import { stepNames } from '../step-names.ts';
import type { TrainingGraph } from '../training-graph.ts';

/**
 * Largest relative L2 distance of a gradient that rounding explains; wrong blocking is off by about 1.
 * Sound lowerings agree to about 1e-5 on the network below.
 */
const tolerance = 1e-3;

const [channels, resolution, classes, batch] = [3, 12, 3, 4];
const targets = 'target';

/** Every hot kind of node in a network of a few thousand parameters; no width is a multiple of 8. */
const network: NetworkSpec = parseNetworkSpec(
  {
    input: { channels, resolution },
    classes,
    stem: { kernel: 3, stride: 1, width: 12, activation: 'silu' },
    stages: [
      { operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 18, repeats: 2, activation: 'silu' },
      {
        operator: 'mbconv',
        kernel: 3,
        stride: 2,
        expansion: 3,
        width: 20,
        repeats: 2,
        activation: 'silu',
        squeezeExcite: 0.5,
      },
      { operator: 'mbconv', kernel: 5, stride: 1, expansion: 2, width: 20, repeats: 1, activation: 'relu' },
    ],
    head: { width: 44, activation: 'silu' },
    survival: 0.8,
  },
  'self-test',
);
/**
 * Compares one training step of a tiny network with the plain lowering's.
 * @returns what differs, or undefined where loss and every gradient agree.
 * @throws {RidgepointError} when the accelerator does not run the lowered step.
 */
export async function differenceToPlain(accelerator: Accelerator, lowering: Lowering): Promise<string | undefined> {
  const graph = buildNetwork(network, batch);
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0.1, targets });
  const expected = await gradients(accelerator, plainLowering, { graph, training });
  const actual = await gradients(accelerator, lowering, { graph, training });
  const largest = Math.max(...[...expected.values()].map((values) => Math.hypot(...values)));
  for (const [name, values] of expected) {
    const others = actual.get(name) as Float32Array;
    const distance = Math.hypot(...values.map((value, index) => value - (others[index] as number)));
    // A shift before another batch norm has gradient 0, where both sides hold rounding only.
    const relative = distance / Math.max(Math.hypot(...values), 1e-3 * largest);
    if (!(relative <= tolerance)) return `${name} is off by ${(100 * relative).toFixed(1)} %`;
  }
  return undefined;
}

interface Step {
  readonly graph: Graph;
  readonly training: TrainingGraph;
}

/** The loss, and every gradient in its parameter's own order, by name. */
async function gradients(
  accelerator: Accelerator,
  lowering: Lowering,
  { graph, training }: Step,
): Promise<Map<string, Float32Array>> {
  const random = new Random('self-test');
  const { model, flat } = lowerGradients(training, lowering);
  const parameters = packParameters(flat, scattered(initialWeights(graph, random), random));
  const feeds: Record<string, TensorValue> = {
    ...drawMasks(training.masks, random),
    [stepNames.parameters]: tensor([flat.length], parameters),
    [imageInput]: tensor(graph.inputs[0]?.shape as number[], normal(batch * channels * resolution ** 2, random)),
    [targets]: tensor([batch, classes], oneHot()),
  };
  const session = await accelerator.open(encodeOnnx(model), { threads: 1, optimization: 'disabled' });
  try {
    const outputs = await session.run(feeds);
    const loss = outputs[stepNames.loss]?.data as Float32Array;
    const flatGradients = outputs[stepNames.gradients]?.data as Float32Array;
    return new Map([['the loss', loss], ...unpackParameters(flat, flatGradients)]);
  } finally {
    await session.close();
  }
}

/** Values that all differ: equal scales would hide channels in the wrong order. */
function scattered(weights: Weights, random: Random): Weights {
  const entries = [...weights].map(([name, values]): [string, Float32Array] => {
    const stream = random.child('scatter', name);
    return [name, values.map((value) => value + 0.2 * stream.normal())];
  });
  return new Map(entries);
}

function normal(length: number, random: Random): Float32Array {
  const stream = random.child('image');
  return Float32Array.from({ length }, () => stream.normal());
}

function oneHot(): Float32Array {
  return Float32Array.from({ length: batch * classes }, (_, index) => {
    return index % classes === Math.floor(index / classes) % classes ? 1 : 0;
  });
}

function tensor(dims: readonly number[], data: Float32Array): TensorValue {
  return { dtype: 'float32', dims, data };
}
