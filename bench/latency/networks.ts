import { parseNetworkSpec, type NetworkSpec } from '../../models/spec.ts';
import type { StageInput } from '../../models/families/family.ts';
import { roundChannels } from '../../models/rounding.ts';

// Networks of the public tables as specs.

/** A row of a table by its column names. */
export type Row = Readonly<Record<string, string>>;

const numbers = (text: string | undefined): number[] => (text ?? '').split('-').map(Number);

/** Channels of the Once-for-All network at width 1.2. */
const widened = (channels: number): number => roundChannels(channels * 1.2);

/**
 * A Once-for-All subnet (Cai et al. 2020), width 1.2: MobileNetV3 whose stages keep `d` of four blocks, each of
 * kernel `ks` and expansion `e`; entries of blocks that are left out mean nothing.
 */
export function onceForAll(row: Row): NetworkSpec {
  const [depths, kernels, expansions] = [numbers(row['d']), numbers(row['ks']), numbers(row['e'])];
  const squeezeExcite = { ratio: 0.25, of: 'expanded', multiple: 8, activation: 'relu', gate: 'hard-sigmoid' } as const;
  const stages = [24, 40, 80, 112, 160].flatMap((channels, stage): StageInput[] =>
    Array.from({ length: depths[stage] ?? 0 }, (_, block) => ({
      operator: 'mbconv',
      kernel: kernels[stage * 4 + block] ?? 3,
      expansion: expansions[stage * 4 + block] ?? 3,
      stride: block > 0 ? 1 : ([2, 2, 2, 1, 2][stage] ?? 1),
      width: widened(channels),
      repeats: 1,
      squeezeExcite: [1, 3, 4].includes(stage) ? squeezeExcite : 0,
      activation: stage < 2 ? 'relu' : 'hard-swish',
    })),
  );
  return parseNetworkSpec(
    {
      input: { resolution: Number(row['r']) },
      classes: 1000,
      stem: { kernel: 3, stride: 2, width: widened(16), activation: 'hard-swish' },
      stages: [{ operator: 'mbconv', kernel: 3, stride: 1, expansion: 1, width: widened(16), repeats: 1 }, ...stages],
      head: { width: widened(960), hidden: widened(1280), activation: 'hard-swish' },
    },
    'once-for-all',
  );
}

/** A network of Accel-NASBench (Ahmad et al. 2024): EfficientNet-B0 with expansion, kernel, depth and squeeze-excite of each stage chosen. */
export function accelNasBench(row: Row): NetworkSpec {
  const stages = [16, 24, 40, 80, 112, 192, 320].map((width, stage): StageInput => {
    const choice = (key: string) => row[`block${stage}_${key}`] ?? '';
    return {
      operator: 'mbconv',
      kernel: Number(choice('k')),
      expansion: Number(choice('e')),
      repeats: Number(choice('l')),
      stride: [1, 2, 2, 2, 1, 2, 1][stage] ?? 1,
      width,
      squeezeExcite: choice('se') === 'True' ? 0.25 : 0,
      activation: 'silu',
    };
  });
  return parseNetworkSpec(
    {
      input: { resolution: 224 },
      classes: 1000,
      stem: { kernel: 3, stride: 2, width: 32, activation: 'silu' },
      stages,
      head: { width: 1280, activation: 'silu' },
    },
    'accel-nasbench',
  );
}
