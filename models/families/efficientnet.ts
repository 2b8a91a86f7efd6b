import { type Family, imageNetClasses, type StageInput } from './family.ts';

/** `[repeats, kernel, stride, expansion, width]` */
type Row = readonly [number, number, number, number, number];

/** Stages of EfficientNet-B0 (Tan & Le 2019, table 1), which Lite and EfficientNet-X share. */
const b0Rows: readonly Row[] = [
  [1, 3, 1, 1, 16],
  [2, 3, 2, 6, 24],
  [2, 5, 2, 6, 40],
  [3, 3, 2, 6, 80],
  [3, 5, 1, 6, 112],
  [4, 5, 2, 6, 192],
  [1, 3, 1, 6, 320],
];

function inverted(operator: 'mbconv' | 'fused-mbconv', row: Row) {
  const [repeats, kernel, stride, expansion, width] = row;
  return { operator, repeats, kernel, stride, expansion, width };
}

const stem = { kernel: 3, stride: 2, width: 32 } as const;
const headWidth = 1280;
const survival = 0.8;
const input = { resolution: 224 };

/**
 * EfficientNet (Tan & Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks"); B8 and L2
 * from its release.
 */
const efficientNet: Family = {
  base: {
    input,
    classes: imageNetClasses,
    stem: { ...stem, activation: 'silu' },
    stages: b0Rows.map((row) => ({ ...inverted('mbconv', row), squeezeExcite: 0.25, activation: 'silu' })),
    head: { width: headWidth, activation: 'silu', dropout: 0.2 },
    survival,
  },
  members: {
    'efficientnet-b0': {},
    'efficientnet-b1': { width: 1.0, depth: 1.1, resolution: 240 },
    'efficientnet-b2': { width: 1.1, depth: 1.2, resolution: 260, dropout: 0.3 },
    'efficientnet-b3': { width: 1.2, depth: 1.4, resolution: 300, dropout: 0.3 },
    'efficientnet-b4': { width: 1.4, depth: 1.8, resolution: 380, dropout: 0.4 },
    'efficientnet-b5': { width: 1.6, depth: 2.2, resolution: 456, dropout: 0.4 },
    'efficientnet-b6': { width: 1.8, depth: 2.6, resolution: 528, dropout: 0.5 },
    'efficientnet-b7': { width: 2.0, depth: 3.1, resolution: 600, dropout: 0.5 },
    'efficientnet-b8': { width: 2.2, depth: 3.6, resolution: 672, dropout: 0.5 },
    'efficientnet-l2': { width: 4.3, depth: 5.3, resolution: 800, dropout: 0.5 },
  },
};

/** EfficientNet-Lite (the release's `lite`): no squeeze-excite, ReLU6, stem and head not scaled. */
const efficientNetLite: Family = {
  base: {
    input,
    classes: imageNetClasses,
    stem: { ...stem, activation: 'relu6' },
    stages: b0Rows.map((row) => ({ ...inverted('mbconv', row), activation: 'relu6' })),
    head: { width: headWidth, activation: 'relu6', dropout: 0.2 },
    survival,
    fixedEnds: true,
  },
  members: {
    'efficientnet-lite0': {},
    'efficientnet-lite1': { width: 1.0, depth: 1.1, resolution: 240 },
    'efficientnet-lite2': { width: 1.1, depth: 1.2, resolution: 260, dropout: 0.3 },
    'efficientnet-lite3': { width: 1.2, depth: 1.4, resolution: 280, dropout: 0.3 },
    'efficientnet-lite4': { width: 1.4, depth: 1.8, resolution: 300, dropout: 0.3 },
  },
};

/**
 * EfficientNet-EdgeTPU (the release's `edgetpu`; Gupta & Akin 2020), for 1000 classes where the release adds a
 * background class. Its first block expands as if the stem had 24 channels (× width) rather than 32: hence its own
 * expansion, and two stages where the first is deeper than one block.
 */
const efficientNetEdgeTpu: Family = {
  base: {
    input,
    classes: imageNetClasses,
    stem,
    stages: [
      { ...inverted('fused-mbconv', [1, 3, 1, 3, 24]), skip: false },
      { ...inverted('fused-mbconv', [2, 3, 2, 8, 32]), strideAt: 'project' },
      { ...inverted('fused-mbconv', [4, 3, 2, 8, 48]), strideAt: 'project' },
      inverted('mbconv', [5, 5, 2, 8, 96]),
      inverted('mbconv', [4, 5, 1, 8, 144]),
      inverted('mbconv', [2, 5, 2, 8, 192]),
    ] satisfies StageInput[],
    head: { width: headWidth, dropout: 0.2 },
    survival,
  },
  members: {
    'efficientnet-edgetpu-s': {},
    'efficientnet-edgetpu-m': {
      width: 1.0,
      depth: 1.1,
      resolution: 240,
      firstStage: [
        { repeats: 1, expansion: 3 },
        { repeats: 1, expansion: 4 },
      ],
    },
    'efficientnet-edgetpu-l': {
      width: 1.2,
      depth: 1.4,
      resolution: 300,
      dropout: 0.3,
      firstStage: [
        { repeats: 1, expansion: 3.2 },
        { repeats: 1, expansion: 4 },
      ],
    },
  },
};

/**
 * Base of EfficientNet-X (Li et al. 2021, "Searching for fast model families on datacenter accelerators"): B0 behind
 * a learned space-to-depth, fused where planes are large, activations block by block. Its squeeze-excite coefficient
 * is folded into the ratio of every stage: 4 for B0, 2 for B1, then 1, times 0.25.
 */
const efficientNetX: Family['base'] = {
  input,
  classes: imageNetClasses,
  stem,
  stages: b0Rows.map((row, index) => {
    const isFused = index === 1 || index === 2;
    return {
      ...inverted(isFused ? 'fused-mbconv' : 'mbconv', row),
      activation: isFused ? 'silu' : 'relu',
      learnedSpaceToDepth: index === 0,
      squeezeExcite: 1,
    };
  }),
  head: { width: headWidth, dropout: 0.2 },
  survival,
};

/** EfficientNet-X scaled as EfficientNet is, for multiply-adds alone. */
const efficientNetXSingleObjective: Family = {
  base: efficientNetX,
  members: {
    'efficientnet-x-b0': {},
    'efficientnet-x-b1': { width: 1.0, depth: 1.1, resolution: 240, squeezeExcite: 0.5 },
    'efficientnet-x-b2': { width: 1.1, depth: 1.2, resolution: 260, dropout: 0.3, squeezeExcite: 0.25 },
    'efficientnet-x-b3': { width: 1.2, depth: 1.4, resolution: 300, dropout: 0.3, squeezeExcite: 0.25 },
    'efficientnet-x-b4': { width: 1.4, depth: 1.8, resolution: 380, dropout: 0.4, squeezeExcite: 0.25 },
    'efficientnet-x-b5': { width: 1.6, depth: 2.2, resolution: 456, dropout: 0.4, squeezeExcite: 0.25 },
    'efficientnet-x-b6': { width: 1.8, depth: 2.6, resolution: 528, dropout: 0.5, squeezeExcite: 0.25 },
    'efficientnet-x-b7': { width: 2.0, depth: 3.1, resolution: 600, dropout: 0.5, squeezeExcite: 0.25 },
  },
};

/** EfficientNet-X scaled for latency on TPUv3. */
const efficientNetXTpu: Family = {
  base: efficientNetX,
  members: {
    'efficientnet-x-tpu-b0': {},
    'efficientnet-x-tpu-b1': { width: 1.05, depth: 1.09, resolution: 229, squeezeExcite: 0.5 },
    'efficientnet-x-tpu-b2': { width: 1.13, depth: 1.29, resolution: 244, dropout: 0.3, squeezeExcite: 0.25 },
    'efficientnet-x-tpu-b3': { width: 1.27, depth: 1.62, resolution: 263, dropout: 0.3, squeezeExcite: 0.25 },
    'efficientnet-x-tpu-b4': { width: 1.54, depth: 2.38, resolution: 299, dropout: 0.4, squeezeExcite: 0.25 },
    'efficientnet-x-tpu-b5': { width: 1.96, depth: 2.76, resolution: 332, dropout: 0.4, squeezeExcite: 0.25 },
    'efficientnet-x-tpu-b6': { width: 2.75, depth: 3.01, resolution: 328, dropout: 0.5, squeezeExcite: 0.25 },
    'efficientnet-x-tpu-b7': { width: 3.26, depth: 3.44, resolution: 350, dropout: 0.5, squeezeExcite: 0.25 },
  },
};

/** EfficientNet-X scaled for latency on a V100 GPU. */
const efficientNetXGpu: Family = {
  base: efficientNetX,
  members: {
    'efficientnet-x-gpu-b0': {},
    'efficientnet-x-gpu-b1': { width: 1.05, depth: 1.09, resolution: 229, squeezeExcite: 0.5 },
    'efficientnet-x-gpu-b2': { width: 1.13, depth: 1.24, resolution: 237, dropout: 0.3, squeezeExcite: 0.25 },
    'efficientnet-x-gpu-b3': { width: 1.31, depth: 1.63, resolution: 255, dropout: 0.3, squeezeExcite: 0.25 },
    'efficientnet-x-gpu-b4': { width: 1.63, depth: 2.4, resolution: 282, dropout: 0.4, squeezeExcite: 0.25 },
    'efficientnet-x-gpu-b5': { width: 1.94, depth: 3.29, resolution: 306, dropout: 0.4, squeezeExcite: 0.25 },
    'efficientnet-x-gpu-b6': { width: 2.25, depth: 4.28, resolution: 328, dropout: 0.5, squeezeExcite: 0.25 },
    'efficientnet-x-gpu-b7': { width: 2.58, depth: 5.46, resolution: 350, dropout: 0.5, squeezeExcite: 0.25 },
  },
};

/** EfficientNet, Lite, EdgeTPU and EfficientNet-X for three kinds of hardware. */
export const efficientNets: readonly Family[] = [
  efficientNet,
  efficientNetLite,
  efficientNetEdgeTpu,
  efficientNetXSingleObjective,
  efficientNetXTpu,
  efficientNetXGpu,
];
