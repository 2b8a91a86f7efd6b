import { describe, expect, it } from 'vitest';
import { differentiate } from '../../training/differentiate.ts';
import { packParameters } from '../../training/flat-parameters.ts';
import { lowerGradients, lowerTrainingStep, stepNames } from '../../training/lower-plain.ts';
import type { OptimizerSettings } from '../../training/optimizer.ts';
import { labelFeed, randomValues, runLowered, TestGraph } from './graphs.ts';

const rate = 0.1;

const float32 = (...data: number[]) => ({ dtype: 'float32', data: Float32Array.from(data) }) as const;
const at = (values: ArrayLike<number>, index: number) => values[index] as number;

/** One update of a small network from given slots, beside the gradient it used. */
async function update(settings: OptimizerSettings, slots: readonly number[], step = 1) {
  const test = new TestGraph(4, 2, 3, 3);
  const graph = test.classify(test.batchNorm(test.conv('image', { width: 3, kernel: 3 })), 3);
  const { values, loss } = randomValues(graph, 1);
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0.1, labels: 'label' });
  const label = labelFeed(loss.labels);
  const { flat, ...lowered } = lowerTrainingStep(training, settings);
  const slotFeeds = slots.map((value, index) => {
    const data = new Float32Array(flat.length).fill(value);
    return [stepNames.slot(index), { dtype: 'float32', dims: [flat.length], data }] as const;
  });
  const outputs = await runLowered({ flat, ...lowered }, values, {
    label,
    ...Object.fromEntries(slotFeeds),
    [stepNames.learningRate]: { ...float32(rate), dims: [] },
    ...(settings.optimizer === 'adamw' ? { [stepNames.step]: { ...float32(step), dims: [] } } : {}),
  });
  const before = packParameters(flat, new Map([...values].map(([name, { data }]) => [name, Float32Array.from(data)])));
  const vector = (name: string) => outputs[name]?.data as Float32Array;
  return {
    before,
    gradients: (await runLowered(lowerGradients(training), values, { label }))[stepNames.gradients]
      ?.data as Float32Array,
    decays: flat.parameters.flatMap(({ role }, index) =>
      Array.from({ length: flat.sizes[index] as number }, () => role === 'weight'),
    ),
    after: vector(stepNames.updated(stepNames.parameters)),
    slots: slots.map((_, index) => vector(stepNames.updated(stepNames.slot(index)))),
  };
}

function expectClose(actual: Float32Array, expected: (index: number) => number): void {
  const difference = Array.from(actual, (value, index) => Math.abs(value - expected(index)));
  expect(Math.max(...difference)).toBeLessThan(1e-6);
}

describe('one update of all parameters', () => {
  it('decays weights alone, never norms and biases', async () => {
    const { decays } = await update({ optimizer: 'sgd-momentum', momentum: 0, weightDecay: 0.01 }, [0]);
    expect(decays.filter(Boolean)).toHaveLength(3 * 2 * 9 + 3 * 3);
    expect(decays.filter((decay) => !decay)).toHaveLength(3 + 3 + 3);
  });

  it.each([false, true])('is momentum SGD with L2 penalty (Nesterov: %s)', async (nesterov) => {
    const settings = { optimizer: 'sgd-momentum', momentum: 0.9, weightDecay: 0.01, nesterov } as const;
    const { before, gradients, decays, after, slots } = await update(settings, [0.5]);
    const gradient = (i: number) => at(gradients, i) + (decays[i] ? 0.01 * at(before, i) : 0);
    const velocity = (i: number) => 0.9 * 0.5 + gradient(i);
    expectClose(slots[0] as Float32Array, velocity);
    expectClose(after, (i) => at(before, i) - rate * (nesterov ? gradient(i) + 0.9 * velocity(i) : velocity(i)));
  });

  it('is AdamW with bias correction and decoupled decay', async () => {
    const settings = { optimizer: 'adamw', momentum: 0.9, weightDecay: 0.05 } as const;
    const { before, gradients, decays, after, slots } = await update(settings, [0.02, 0.003], 3);
    const first = (i: number) => 0.9 * 0.02 + 0.1 * at(gradients, i);
    const second = (i: number) => 0.999 * 0.003 + 0.001 * at(gradients, i) ** 2;
    expectClose(slots[0] as Float32Array, first);
    expectClose(slots[1] as Float32Array, second);
    expectClose(after, (i) => {
      const direction = first(i) / (1 - 0.9 ** 3) / (Math.sqrt(second(i) / (1 - 0.999 ** 3)) + 1e-8);
      return at(before, i) - rate * (direction + (decays[i] ? 0.05 * at(before, i) : 0));
    });
  });
});
