import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';

/** A network and the batch it is trained with. */
export interface Workload {
  /** What `--only` calls it. */
  readonly name: string;
  readonly spec: NetworkSpec;
  /** Images a step. */
  readonly batchSize: number;
}

interface Variant {
  readonly operator: 'mbconv' | 'fused-mbconv';
  readonly activation: 'relu' | 'silu';
  readonly squeezeExcite?: number;
  readonly resolution?: number;
  readonly batchSize?: number;
}

/** Four stages of a small EfficientNet; widths and kernels are its kind's, not chosen for any runtime's tile size. */
function small(name: string, variant: Variant): Workload {
  const { operator, activation, squeezeExcite = 0, resolution = 32, batchSize = 64 } = variant;
  const block = { operator, activation, squeezeExcite, expansion: 4 };
  const data = {
    input: { resolution },
    classes: 10,
    stem: { kernel: 3, stride: 1, width: 16, activation },
    stages: [
      { ...block, kernel: 3, stride: 1, width: 16, repeats: 1, expansion: 1 },
      { ...block, kernel: 3, stride: 2, width: 24, repeats: 2 },
      { ...block, kernel: 5, stride: 2, width: 40, repeats: 3 },
      { ...block, kernel: 3, stride: 2, width: 72, repeats: 2 },
    ],
    head: { width: 256, activation },
  };
  return { name, spec: parseNetworkSpec(data, name), batchSize };
}

/** CIFAR-10's ResNet-20 (He et al. 2016, section 4.2) with projections where the shape changes: 272 k parameters. */
const resnet20: Workload = {
  name: 'resnet-20',
  spec: parseNetworkSpec(
    {
      input: { resolution: 32 },
      classes: 10,
      stem: { kernel: 3, stride: 1, width: 16 },
      stages: [16, 32, 64].map((width) => {
        return { operator: 'basic', kernel: 3, stride: width === 16 ? 1 : 2, width, repeats: 3 };
      }),
      head: { width: 0 },
    },
    'resnet-20',
  ),
  batchSize: 64,
};

/** What is compared: one trunk in the forms a search proposes, and a residual network. None drops units at random. */
export const workloads: readonly Workload[] = [
  small('mbconv-relu', { operator: 'mbconv', activation: 'relu' }),
  small('fused-relu', { operator: 'fused-mbconv', activation: 'relu' }),
  small('mbconv-silu', { operator: 'mbconv', activation: 'silu' }),
  small('mbconv-se-relu', { operator: 'mbconv', activation: 'relu', squeezeExcite: 0.25 }),
  small('mbconv-se-silu', { operator: 'mbconv', activation: 'silu', squeezeExcite: 0.25 }),
  small('mbconv-silu-96', { operator: 'mbconv', activation: 'silu', resolution: 96, batchSize: 32 }),
  resnet20,
];

/** Small enough for plain JavaScript: a step of its batch takes a second or two there. */
export const tiny: Workload = {
  name: 'tiny',
  spec: parseNetworkSpec(
    {
      input: { resolution: 16 },
      classes: 10,
      stem: { kernel: 3, stride: 2, width: 8, activation: 'silu' },
      stages: [8, 16].map((width) => ({
        operator: 'mbconv',
        kernel: 3,
        stride: width === 8 ? 1 : 2,
        expansion: 4,
        width,
        repeats: 1,
        squeezeExcite: 0.25,
        activation: 'silu',
      })),
      head: { width: 64, activation: 'silu' },
    },
    'tiny',
  ),
  batchSize: 16,
};

/** Twenty blocks, to time how long a training takes to start. */
export const twentyBlocks: Workload = {
  name: 'twenty-blocks',
  spec: parseNetworkSpec(
    {
      input: { resolution: 32 },
      classes: 10,
      stem: { kernel: 3, stride: 1, width: 16, activation: 'silu' },
      stages: [16, 24, 40, 72].map((width) => ({
        operator: 'mbconv',
        kernel: 3,
        stride: width === 16 ? 1 : 2,
        expansion: 4,
        width,
        repeats: 5,
        squeezeExcite: 0.25,
        activation: 'silu',
      })),
      head: { width: 256, activation: 'silu' },
    },
    'twenty-blocks',
  ),
  batchSize: 64,
};
