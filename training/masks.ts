import type { TensorValue } from '../accelerators/accelerator.ts';
import type { Random } from '../core/random.ts';
import { elements } from '../models/graph.ts';
import type { MaskInput } from './training-graph.ts';

/** What one run of a training graph drops: values 0 with probability `rate`, else 1 ÷ (1 − rate), each mask its own stream. */
export function drawMasks(masks: readonly MaskInput[], random: Random): Record<string, TensorValue> {
  return Object.fromEntries(masks.map((mask): [string, TensorValue] => [mask.name, drawMask(mask, random)]));
}

function drawMask({ name, shape, rate }: MaskInput, random: Random): TensorValue {
  const stream = random.child(name);
  const kept = 1 / (1 - rate);
  const data = new Float32Array(elements(shape));
  // A plain loop: `Float32Array.from` with a function took several times as long.
  for (let index = 0; index < data.length; index++) data[index] = stream.uniform() < rate ? 0 : kept;
  return { dtype: 'float32', dims: shape, data };
}
