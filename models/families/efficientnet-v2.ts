import { type Family, imageNetClasses, type StageInput } from './family.ts';

/** `[repeats, stride, expansion, width]`; kernels are 3. */
type Row = readonly [number, number, number, number];

function stage(operator: 'mbconv' | 'fused-mbconv', row: Row, squeezeExcite: number): StageInput {
  const [repeats, stride, expansion, width] = row;
  return { operator, kernel: 3, stride, expansion, width, repeats, squeezeExcite, activation: 'silu' };
}

/**
 * EfficientNetV2 (Tan & Le 2021, "EfficientNetV2: Smaller models and faster training"): fused stages first, then
 * MBConv with squeeze-excite. Resolutions are those of evaluation; training uses smaller ones.
 */
function efficientNetV2(
  stemWidth: number,
  fused: readonly Row[],
  mbconv: readonly Row[],
  { resolution, dropout }: { resolution: number; dropout: number },
): Family['base'] {
  return {
    input: { resolution },
    classes: imageNetClasses,
    stem: { kernel: 3, stride: 2, width: stemWidth, activation: 'silu' },
    stages: [...fused.map((row) => stage('fused-mbconv', row, 0)), ...mbconv.map((row) => stage('mbconv', row, 0.25))],
    head: { width: 1280, activation: 'silu', dropout },
    survival: 0.8,
  };
}

/** B0 to B3, scaled as EfficientNet is. B3's first width is the nearest multiple of 8 in the release, 17 % below. */
const b: Family = {
  base: efficientNetV2(
    32,
    [
      [1, 1, 1, 16],
      [2, 2, 4, 32],
      [2, 2, 4, 48],
    ],
    [
      [3, 2, 4, 96],
      [5, 1, 6, 112],
      [8, 2, 6, 192],
    ],
    { resolution: 224, dropout: 0.2 },
  ),
  members: {
    'efficientnetv2-b0': {},
    'efficientnetv2-b1': { width: 1.0, depth: 1.1, resolution: 240 },
    'efficientnetv2-b2': { width: 1.1, depth: 1.2, resolution: 260, dropout: 0.3 },
    'efficientnetv2-b3': { width: 1.2, depth: 1.4, resolution: 300, dropout: 0.3, firstStage: [{ width: 16 }] },
  },
};

const s: Family = {
  base: efficientNetV2(
    24,
    [
      [2, 1, 1, 24],
      [4, 2, 4, 48],
      [4, 2, 4, 64],
    ],
    [
      [6, 2, 4, 128],
      [9, 1, 6, 160],
      [15, 2, 6, 256],
    ],
    { resolution: 384, dropout: 0.2 },
  ),
  members: { 'efficientnetv2-s': {} },
};

const m: Family = {
  base: efficientNetV2(
    24,
    [
      [3, 1, 1, 24],
      [5, 2, 4, 48],
      [5, 2, 4, 80],
    ],
    [
      [7, 2, 4, 160],
      [14, 1, 6, 176],
      [18, 2, 6, 304],
      [5, 1, 6, 512],
    ],
    { resolution: 480, dropout: 0.3 },
  ),
  members: { 'efficientnetv2-m': {} },
};

const l: Family = {
  base: efficientNetV2(
    32,
    [
      [4, 1, 1, 32],
      [7, 2, 4, 64],
      [7, 2, 4, 96],
    ],
    [
      [10, 2, 4, 192],
      [19, 1, 6, 224],
      [25, 2, 6, 384],
      [7, 1, 6, 640],
    ],
    { resolution: 480, dropout: 0.4 },
  ),
  members: { 'efficientnetv2-l': {} },
};

/** EfficientNetV2 from B0 to L. */
export const efficientNetV2s: readonly Family[] = [b, s, m, l];
