import type { Family, StageInput } from '../../models/families/family.ts';
import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';

const shape = { kernel: 3, stride: 2, width: 12, repeats: 2 };
const hardGate = { ratio: 0.25, of: 'expanded', multiple: 8, activation: 'relu', gate: 'hard-sigmoid' } as const;
const stagesByKind = {
  mbconv: [{ operator: 'mbconv', ...shape, expansion: 3, squeezeExcite: 0.25, activation: 'silu' }],
  'mbconv without expansion': [{ operator: 'mbconv', ...shape, kernel: 5, expansion: 1, activation: 'relu6' }],
  'mbconv of MobileNetV3': [
    { operator: 'mbconv', ...shape, expansion: 3, squeezeExcite: hardGate, activation: 'hard-swish' },
  ],
  'dilated mbconv': [{ operator: 'mbconv', ...shape, stride: 1, dilation: 3, expansion: 2 }],
  'fused-mbconv': [{ operator: 'fused-mbconv', ...shape, expansion: 2, squeezeExcite: 0.5 }],
  'fused-mbconv without expansion': [{ operator: 'fused-mbconv', ...shape, expansion: 1, stride: 3 }],
  'fused-mbconv of EdgeTPU': [{ operator: 'fused-mbconv', ...shape, expansion: 2, strideAt: 'project' }],
  'EfficientNet-X': [
    { operator: 'mbconv', ...shape, stride: 1, expansion: 1, squeezeExcite: 1, learnedSpaceToDepth: true },
    { operator: 'fused-mbconv', ...shape, expansion: 6, squeezeExcite: 1, activation: 'silu' },
  ],
  basic: [{ operator: 'basic', ...shape }],
  'basic of ResNet-D': [{ operator: 'basic', ...shape, shortcut: 'average-pool' }],
  'dilated basic': [{ operator: 'basic', ...shape, stride: 1, dilation: 2 }],
  bottleneck: [{ operator: 'bottleneck', ...shape }],
  'bottleneck of ResNet-D': [{ operator: 'bottleneck', ...shape, stride: 3, shortcut: 'average-pool' }],
  'bottleneck of RegNetY': [
    { operator: 'bottleneck', ...shape, bottleneckRatio: 1, groupWidth: 4, squeezeExcite: 0.25 },
  ],
  'depthwise bottleneck': [{ operator: 'bottleneck', ...shape, kernel: 4, bottleneckRatio: 1, groupWidth: 1 }],
} satisfies Readonly<Record<string, readonly StageInput[]>>;

const endsByKind = {
  'a max-pooled stem': { stem: { kernel: 7, stride: 2, width: 8, maxPool: {} } },
  'pixel blocks': { stem: { kernel: 3, stride: 1, width: 8, spaceToDepth: 3 } },
  'a learned space-to-depth as its stem': { stem: { kernel: 2, stride: 2, width: 16 } },
  'means and maxima': { head: { width: 16, pooling: 'average-max' } },
  'the head of MobileNetV3': { head: { width: 16, activation: 'hard-swish', hidden: 24 } },
} satisfies Readonly<Record<string, Partial<Family['base']>>>;

type BlockKind = keyof typeof stagesByKind;
type EndKind = keyof typeof endsByKind;

/** Every kind of block, in every form that builds other operators. */
export const blockKinds = Object.keys(stagesByKind) as BlockKind[];
/** Every form of stem and head that does. */
export const endKinds = Object.keys(endsByKind) as EndKind[];

/** A small network of one kind of block, two of them in most, or around one kind of stem or head. */
export function networkOf(kind: BlockKind | EndKind, resolution: number): NetworkSpec {
  const isEnd = kind in endsByKind;
  const spec: Family['base'] = {
    input: { resolution },
    classes: 4,
    stem: { kernel: 3, stride: isEnd ? 2 : 1, width: 8 },
    stages: isEnd ? stagesByKind.mbconv : stagesByKind[kind as BlockKind],
    head: { width: 0 },
    ...(isEnd && endsByKind[kind as EndKind]),
  };
  return parseNetworkSpec(spec, kind);
}
