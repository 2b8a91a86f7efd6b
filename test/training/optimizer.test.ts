import { describe, expect, it } from 'vitest';
import type { TensorValue } from '../../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { Random } from '../../core/random.ts';
import { elements, type Parameter } from '../../models/graph.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { differentiate } from '../../training/differentiate.ts';
import {
  type FlatParameters,
  flatParameters,
  type StoredParameter,
  unpackParameters,
} from '../../training/flat-parameters.ts';
import { type OptimizerSettings, optimizerSlots, updateFactors } from '../../training/optimizer.ts';
import { lowerAccumulation, lowerMeanUpdate, lowerTrainingStep } from '../../training/step.ts';
import { stepNames } from '../../training/step-names.ts';
import { factorFeeds } from '../../training/updater.ts';
import { randomValues, runLowered, targetFeed, TestGraph } from './graphs.ts';

const parameters: readonly Parameter[] = [
  { name: 'conv.w', dtype: 'float32', shape: [3, 2, 3, 3], role: 'weight', group: 'conv' },
  { name: 'norm.scale', dtype: 'float32', shape: [3], role: 'scale', group: 'norm' },
  { name: 'norm.shift', dtype: 'float32', shape: [3], role: 'shift', group: 'norm' },
  { name: 'dense.w', dtype: 'float32', shape: [3, 4], role: 'weight', group: 'dense' },
  { name: 'dense.b', dtype: 'float32', shape: [4], role: 'bias', group: 'dense' },
];
const count = parameters.reduce((sum, { shape }) => sum + elements(shape), 0);
const decays = parameters.flatMap(({ role, shape }) => Array<boolean>(elements(shape)).fill(role === 'weight'));

type Vectors = Readonly<Record<string, Float32Array>>;

/** Runs updates one after the other, each with its gradients. @param earlier updates before the first. */
async function moves(
  settings: OptimizerSettings,
  flat: FlatParameters,
  start: Vectors,
  gradients: readonly Float32Array[],
  rates: readonly number[],
  earlier = 0,
): Promise<{ vectors: Vectors; norm: number | undefined }[]> {
  const model = encodeOnnx(lowerMeanUpdate(settings, flat, 1));
  const session = await onnxRuntimeAccelerator('cpu').open(model, { threads: 1, optimization: 'disabled' });
  const steps: { vectors: Vectors; norm: number | undefined }[] = [];
  let vectors = start;
  for (const [index, gradient] of gradients.entries()) {
    const feeds: Record<string, TensorValue> = {};
    for (const [name, data] of Object.entries({ ...vectors, [stepNames.gradients]: gradient }))
      feeds[name] = { dtype: 'float32', dims: [data.length], data };
    const place = { learningRate: rates[index] as number, update: earlier + index + 1 };
    const outputs = await session.run({ ...feeds, ...factorFeeds(updateFactors(settings, flat, place)) });
    const after = Object.keys(vectors).map((name) => [name, outputs[stepNames.updated(name)]?.data as Float32Array]);
    vectors = Object.fromEntries(after) as Vectors;
    steps.push({ vectors, norm: outputs[stepNames.gradientNorm]?.data[0] as number | undefined });
  }
  await session.close();
  return steps;
}

function startOf(settings: OptimizerSettings, weights: Float32Array): Vectors {
  const slots = optimizerSlots[settings.optimizer].map(({ name, initial }) => {
    return [name, new Float32Array(weights.length).fill(initial)];
  });
  return { [stepNames.parameters]: weights, ...Object.fromEntries(slots) };
}

const random = new Random('optimizer');
const weights = Float32Array.from({ length: count }, () => random.normal());
// Gradients of very different lengths, so that some are clipped and RMSprop's ε counts in some.
const gradients = [1, 30, 0.01, 0.3, 3, 0.001].map((size) => {
  return Float32Array.from({ length: count }, () => size * random.normal());
});
const rates = [0.02, 0.05, 0.1, 0.1, 0.05, 0.01];

type Formula = (element: {
  w: number;
  g: number;
  decays: boolean;
  rate: number;
  t: number;
  slots: readonly number[];
}) => { w: number; slots: number[] };

const penalty = 0.02;

/** As the papers and the frameworks' documentation have them, in double precision, one element at a time. */
const formulas: Record<string, { settings: OptimizerSettings; start: number[]; formula: Formula }> = {
  'SGD with momentum': {
    settings: { optimizer: 'sgd-momentum', momentum: 0.9, weightDecay: penalty },
    start: [0],
    formula: ({ w, g, decays, rate, slots: [v = 0] }) => {
      const velocity = 0.9 * v + g + (decays ? penalty * w : 0);
      return { w: w - rate * velocity, slots: [velocity] };
    },
  },
  'SGD with Nesterov momentum': {
    settings: { optimizer: 'sgd-momentum', momentum: 0.9, weightDecay: penalty, nesterov: true },
    start: [0],
    formula: ({ w, g, decays, rate, slots: [v = 0] }) => {
      const penalised = g + (decays ? penalty * w : 0);
      const velocity = 0.9 * v + penalised;
      return { w: w - rate * (penalised + 0.9 * velocity), slots: [velocity] };
    },
  },
  'TensorFlow’s RMSprop': {
    settings: { optimizer: 'rmsprop', momentum: 0.9, weightDecay: penalty },
    start: [1, 0],
    formula: ({ w, g, decays, rate, slots: [s = 0, v = 0] }) => {
      const penalised = g + (decays ? penalty * w : 0);
      const square = s + (penalised ** 2 - s) * (1 - 0.9);
      const velocity = 0.9 * v + (rate * penalised) / Math.sqrt(square + 0.001);
      return { w: w - velocity, slots: [square, velocity] };
    },
  },
  AdamW: {
    settings: { optimizer: 'adamw', momentum: 0.9, weightDecay: penalty },
    start: [0, 0],
    formula: ({ w, g, decays, rate, t, slots: [m = 0, v = 0] }) => {
      const first = 0.9 * m + 0.1 * g;
      const second = 0.999 * v + 0.001 * g ** 2;
      const direction = first / (1 - 0.9 ** t) / (Math.sqrt(second / (1 - 0.999 ** t)) + 1e-8);
      return { w: w - rate * (direction + (decays ? penalty * w : 0)), slots: [first, second] };
    },
  },
};

/** As a lowering may keep them: every second stored element is padding. */
function padded(vector: Float32Array): Float32Array {
  const spread = new Float32Array(2 * vector.length);
  vector.forEach((value, index) => (spread[2 * index] = value));
  return spread;
}
const unpadded = (stored: Float32Array) => stored.filter((_, index) => index % 2 === 0);
const paddedStore = (parameter: Parameter): StoredParameter => {
  return { parameter, size: 2 * elements(parameter.shape), pack: padded, unpack: unpadded };
};

const norm = (vector: ArrayLike<number>): number => Math.hypot(...Array.from(vector));

describe('an update of all parameters', () => {
  const cases = Object.entries(formulas).flatMap(([name, { settings, ...rest }]) =>
    [undefined, 2].map((clipNorm) => [clipNorm ? `${name}, clipped` : name, { ...settings, clipNorm }, rest] as const),
  );

  it.each(cases)('is %s over several steps', async (_name, settings, { start, formula }) => {
    const steps = await moves(settings, flatParameters(parameters), startOf(settings, weights), gradients, rates);
    const expected = Array.from(weights, (w) => ({ w, slots: start }));
    for (const [step, { vectors }] of steps.entries()) {
      const gradient = gradients[step] as Float32Array;
      const scale = settings.clipNorm === undefined ? 1 : Math.min(1, settings.clipNorm / norm(gradient));
      expected.forEach(({ w, slots }, index) => {
        const g = (gradient[index] as number) * scale;
        const at = { w, g, slots, decays: decays[index] as boolean, rate: rates[step] as number, t: step + 1 };
        expected[index] = formula(at);
      });
      const names = [stepNames.parameters, ...optimizerSlots[settings.optimizer].map(({ name }) => name)];
      for (const [part, name] of names.entries()) {
        const errors = expected.map(({ w, slots }, index) => {
          const value = part === 0 ? w : (slots[part - 1] as number);
          return Math.abs((vectors[name]?.[index] as number) - value) / Math.max(1, Math.abs(value));
        });
        expect(Math.max(...errors), `${name} after update ${step + 1}`).toBeLessThan(2e-6);
      }
    }
  });

  it('corrects AdamW’s moments by the updates that each parameter has been there for', async () => {
    const settings = { optimizer: 'adamw', momentum: 0.9, weightDecay: penalty } as const;
    const start = startOf(settings, padded(weights));
    const run = async (joinedAt: ReadonlyMap<string, number>, earlier: number) => {
      const flat = flatParameters(parameters, paddedStore);
      const steps = await moves({ ...settings, joinedAt }, flat, start, gradients.map(padded), rates, earlier);
      return unpackParameters(flat, steps.at(-1)?.vectors[stepNames.parameters] as Float32Array);
    };
    const joinedAt = new Map([
      ['conv.w', 40],
      ['dense.b', 100],
    ]);
    const grown = await run(joinedAt, 100);
    for (const { name } of parameters)
      expect(grown.get(name), name).toEqual((await run(new Map(), 100 - (joinedAt.get(name) ?? 0))).get(name));
  });

  it('decays weights alone, never norms and biases', async () => {
    const settings = { optimizer: 'sgd-momentum', momentum: 0, weightDecay: 0.01 } as const;
    const none = new Float32Array(count);
    const [step] = await moves(settings, flatParameters(parameters), startOf(settings, weights), [none], [1]);
    const moved = Array.from(weights, (w, index) => w !== step?.vectors[stepNames.parameters]?.[index]);
    expect(moved).toEqual(decays);
  });

  it.each(['sgd-momentum', 'rmsprop', 'adamw'] as const)(
    'leaves padding zero and out of the norm (%s)',
    async (optimizer) => {
      const settings = { optimizer, momentum: 0.9, weightDecay: 0.01, clipNorm: 2 } as const;
      const flat = flatParameters(parameters, paddedStore);
      const steps = await moves(settings, flat, startOf(settings, padded(weights)), gradients.map(padded), rates);
      const plain = await moves(settings, flatParameters(parameters), startOf(settings, weights), gradients, rates);
      for (const [step, { vectors, norm: reported }] of steps.entries()) {
        const stored = vectors[stepNames.parameters] as Float32Array;
        expect(stored.filter((_, index) => index % 2 === 1)).toEqual(new Float32Array(count));
        const expected = norm(gradients[step] as Float32Array);
        expect(reported).toBeCloseTo(expected, 4 - Math.ceil(Math.log10(expected)));
        const own = unpadded(stored);
        const reference = plain[step]?.vectors[stepNames.parameters] as Float32Array;
        own.forEach((value, index) => expect(value).toBeCloseTo(reference[index] as number, 5));
      }
    },
  );
});

describe('a training step', () => {
  it('is one accumulation and one update by its mean', async () => {
    const test = new TestGraph(4, 2, 3, 3);
    const graph = test.classify(test.batchNorm(test.conv('image', { width: 3, kernel: 3 })), 3);
    const { values, loss } = randomValues(graph, 1);
    const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0.1, targets: 'target' });
    const target = targetFeed(loss.labels, loss.classes);
    const settings = {
      optimizer: 'sgd-momentum',
      momentum: 0.9,
      weightDecay: 0.01,
      nesterov: true,
      clipNorm: 0.5,
    } as const;
    const whole = lowerTrainingStep(training, settings);
    const length = whole.flat.length;
    const velocity = new Float32Array(length).fill(0.25);
    const rate: TensorValue = { dtype: 'float32', dims: [], data: Float32Array.of(0.1) };
    const feed = (data: Float32Array): TensorValue => ({ dtype: 'float32', dims: [length], data });
    const scalars = { [stepNames.learningRate]: rate };
    const once = await runLowered(whole, values, { target, velocity: feed(velocity), ...scalars });

    const part = await runLowered(lowerAccumulation(training, {}), values, {
      target,
      gradients: feed(new Float32Array(length)),
    });
    const sum = part[stepNames.updated(stepNames.gradients)]?.data as Float32Array;
    const model = lowerMeanUpdate(settings, whole.flat, 1);
    const twice = await runLowered({ model, flat: whole.flat }, values, {
      gradients: feed(sum),
      velocity: feed(velocity),
      ...scalars,
    });
    for (const name of ['parameters.updated', 'velocity.updated', 'gradient-norm'])
      expect(twice[name]?.data, name).toEqual(once[name]?.data);
    expect(part[stepNames.loss]?.data).toEqual(once[stepNames.loss]?.data);
  });
});
