import { type Family, imageNetClasses, type StageInput } from './family.ts';

const batchNorm = { epsilon: 1e-5 };
const input = { resolution: 224 };

/** ResNet (He et al. 2016, table 1), with the stride of a bottleneck in its 3×3 convolution. */
function resNet(operator: 'basic' | 'bottleneck', repeats: readonly number[]): Family['base'] {
  const firstWidth = operator === 'basic' ? 64 : 256;
  return {
    input,
    classes: imageNetClasses,
    stem: { kernel: 7, stride: 2, width: 64, maxPool: { kernel: 3, stride: 2 } },
    stages: repeats.map((blocks, index): StageInput => {
      return { operator, kernel: 3, stride: index === 0 ? 1 : 2, width: firstWidth * 2 ** index, repeats: blocks };
    }),
    head: { width: 0 },
    batchNorm,
  };
}

/**
 * RegNet (Radosavovic et al. 2020, "Designing network design spaces", appendix D): widths and depths of the stages as
 * its parameters give them. X has no squeeze-excite, Y one of a quarter of the block's input.
 */
function regNet(
  squeezeExcite: number,
  repeats: readonly number[],
  widths: readonly number[],
  groupWidth: number,
): Family['base'] {
  return {
    input,
    classes: imageNetClasses,
    stem: { kernel: 3, stride: 2, width: 32 },
    stages: widths.map((width, index): StageInput => {
      const shape = { kernel: 3, stride: 2, width, repeats: repeats[index] ?? 1 };
      return { operator: 'bottleneck', ...shape, bottleneckRatio: 1, groupWidth, squeezeExcite };
    }),
    head: { width: 0 },
    batchNorm,
  };
}

/** Every network of these is a base. */
const bases: Readonly<Record<string, Family['base']>> = {
  'resnet-18': resNet('basic', [2, 2, 2, 2]),
  'resnet-34': resNet('basic', [3, 4, 6, 3]),
  'resnet-50': resNet('bottleneck', [3, 4, 6, 3]),
  'resnet-101': resNet('bottleneck', [3, 4, 23, 3]),
  'resnet-152': resNet('bottleneck', [3, 8, 36, 3]),
  'regnet-x-400mf': regNet(0, [1, 2, 7, 12], [32, 64, 160, 384], 16),
  'regnet-x-800mf': regNet(0, [1, 3, 7, 5], [64, 128, 288, 672], 16),
  'regnet-x-1.6gf': regNet(0, [2, 4, 10, 2], [72, 168, 408, 912], 24),
  'regnet-x-3.2gf': regNet(0, [2, 6, 15, 2], [96, 192, 432, 1008], 48),
  'regnet-y-400mf': regNet(0.25, [1, 3, 6, 6], [48, 104, 208, 440], 8),
  'regnet-y-800mf': regNet(0.25, [1, 3, 8, 2], [64, 128, 320, 768], 16),
  'regnet-y-1.6gf': regNet(0.25, [2, 6, 17, 2], [48, 120, 336, 888], 24),
  'regnet-y-3.2gf': regNet(0.25, [2, 5, 13, 1], [72, 216, 576, 1512], 24),
};

/** ResNet and RegNet. */
export const residualNetworks: readonly Family[] = Object.entries(bases).map(([name, base]) => ({
  base,
  members: { [name]: {} },
}));
