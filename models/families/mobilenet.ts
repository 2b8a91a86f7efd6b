import type { Activation } from '../spec.ts';
import { type Family, imageNetClasses, type StageInput } from './family.ts';

/** MobileNetV2 (Sandler et al. 2018, table 2). */
const mobileNetV2: Family = {
  base: {
    input: { resolution: 224 },
    classes: imageNetClasses,
    stem: { kernel: 3, stride: 2, width: 32, activation: 'relu6' },
    // Expansion, width, repeats, stride.
    stages: [
      [1, 16, 1, 1],
      [6, 24, 2, 2],
      [6, 32, 3, 2],
      [6, 64, 4, 2],
      [6, 96, 3, 1],
      [6, 160, 3, 2],
      [6, 320, 1, 1],
    ].map(([expansion = 1, width = 1, repeats = 1, stride = 1]): StageInput => {
      return { operator: 'mbconv', kernel: 3, stride, expansion, width, repeats, activation: 'relu6' };
    }),
    head: { width: 1280, activation: 'relu6', dropout: 0.2 },
  },
  members: { 'mobilenet-v2': {} },
};

/** Squeeze-excite of MobileNetV3: a quarter of the expanded channels, ReLU inside, a hard-sigmoid gate. */
const squeezeExcite = { ratio: 0.25, of: 'expanded', multiple: 8, activation: 'relu', gate: 'hard-sigmoid' } as const;

/** `[repeats, kernel, stride, input width, expanded width, width, squeeze-excite, activation]` */
type Row = readonly [number, number, number, number, number, number, boolean, Activation];

/** MobileNetV3 (Howard et al. 2019, "Searching for MobileNetV3", tables 1 and 2). */
function mobileNetV3(rows: readonly Row[], head: { width: number; hidden: number }): Family['base'] {
  return {
    input: { resolution: 224 },
    classes: imageNetClasses,
    stem: { kernel: 3, stride: 2, width: 16, activation: 'hard-swish' },
    stages: rows.map(([repeats, kernel, stride, from, expanded, width, gated, activation]): StageInput => {
      const shape = { kernel, stride, expansion: expanded / from, width, repeats };
      return { operator: 'mbconv', ...shape, squeezeExcite: gated ? squeezeExcite : 0, activation };
    }),
    head: { ...head, activation: 'hard-swish', dropout: 0.2 },
  };
}

const mobileNetV3Large: Family = {
  base: mobileNetV3(
    [
      [1, 3, 1, 16, 16, 16, false, 'relu'],
      [1, 3, 2, 16, 64, 24, false, 'relu'],
      [1, 3, 1, 24, 72, 24, false, 'relu'],
      [1, 5, 2, 24, 72, 40, true, 'relu'],
      [2, 5, 1, 40, 120, 40, true, 'relu'],
      [1, 3, 2, 40, 240, 80, false, 'hard-swish'],
      [1, 3, 1, 80, 200, 80, false, 'hard-swish'],
      [2, 3, 1, 80, 184, 80, false, 'hard-swish'],
      [1, 3, 1, 80, 480, 112, true, 'hard-swish'],
      [1, 3, 1, 112, 672, 112, true, 'hard-swish'],
      [1, 5, 2, 112, 672, 160, true, 'hard-swish'],
      [2, 5, 1, 160, 960, 160, true, 'hard-swish'],
    ],
    { width: 960, hidden: 1280 },
  ),
  members: { 'mobilenet-v3-large': {} },
};

const mobileNetV3Small: Family = {
  base: mobileNetV3(
    [
      [1, 3, 2, 16, 16, 16, true, 'relu'],
      [1, 3, 2, 16, 72, 24, false, 'relu'],
      [1, 3, 1, 24, 88, 24, false, 'relu'],
      [1, 5, 2, 24, 96, 40, true, 'hard-swish'],
      [2, 5, 1, 40, 240, 40, true, 'hard-swish'],
      [1, 5, 1, 40, 120, 48, true, 'hard-swish'],
      [1, 5, 1, 48, 144, 48, true, 'hard-swish'],
      [1, 5, 2, 48, 288, 96, true, 'hard-swish'],
      [2, 5, 1, 96, 576, 96, true, 'hard-swish'],
    ],
    { width: 576, hidden: 1024 },
  ),
  members: { 'mobilenet-v3-small': {} },
};

export const mobileNets: readonly Family[] = [mobileNetV2, mobileNetV3Large, mobileNetV3Small];
