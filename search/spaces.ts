import { ConfigError } from '../core/errors.ts';
import { bindSpace, oneOf, type SpaceData, type SpaceNode } from './space.ts';

/** Spaces that need no file. `efficientnet-x`: Li et al. (2021); `mobile`: MBConv only, as EfficientNet's (2019). */
export const builtInSpaceNames = ['efficientnet-x', 'mobile'] as const;
export type BuiltInSpaceName = (typeof builtInSpaceNames)[number];

/**
 * How large the networks of a built-in space are.
 * - `tiny`: 7–190 k parameters (median 32 k), .2–10 M multiply-adds at 24–40 px; trained in seconds on two cores.
 * - `small`: 40 k–1 M parameters (median 220 k), .8–16 M multiply-adds at 20–24 px; trained in minutes.
 * - `full`: around EfficientNet-B0, for accelerators.
 */
export type SpaceScale = 'tiny' | 'small' | 'full';

/** What one stage may be; lists are options, and a list of one is fixed. */
interface StageOptions {
  readonly stride: number;
  readonly expansions: readonly number[];
  readonly widths: readonly number[];
  readonly repeats: readonly number[];
}

interface ScaleTable {
  /** Largest base resolution; scaling goes on from there. */
  readonly topResolution: number;
  /** Stem stride × stage strides never exceeds this. */
  readonly maxStride: number;
  readonly stemWidths: readonly number[];
  readonly headWidths: readonly number[];
  readonly dropout: number;
  readonly survival: number;
  readonly stages: readonly StageOptions[];
}

// Expansion is small where fused blocks would be costly: a fused 5×5 at a high resolution is 25 dense taps a pixel.
const scales: Readonly<Record<SpaceScale, ScaleTable>> = {
  tiny: {
    topResolution: 40,
    maxStride: 8,
    stemWidths: [8, 16],
    headWidths: [48, 64, 96],
    dropout: 0,
    survival: 1,
    stages: [
      { stride: 1, expansions: [1, 2], widths: [8, 16], repeats: [1] },
      { stride: 2, expansions: [2, 3], widths: [16, 24], repeats: [1, 2] },
      { stride: 2, expansions: [2, 3], widths: [32, 40], repeats: [1, 2] },
    ],
  },
  small: {
    topResolution: 48,
    maxStride: 8,
    stemWidths: [16, 24],
    headWidths: [128, 192],
    dropout: 0.1,
    survival: 1,
    stages: [
      { stride: 1, expansions: [1, 2], widths: [16, 24], repeats: [1, 2] },
      { stride: 2, expansions: [2, 4], widths: [24, 32], repeats: [1, 2, 3] },
      { stride: 2, expansions: [2, 4], widths: [40, 48], repeats: [1, 2, 3] },
      { stride: 1, expansions: [2, 4], widths: [56, 64, 72], repeats: [1, 2] },
    ],
  },
  // Widths and repeats around EfficientNet-B0's.
  full: {
    topResolution: 224,
    maxStride: 32,
    stemWidths: [24, 32],
    headWidths: [960, 1280],
    dropout: 0.2,
    survival: 0.8,
    stages: [
      { stride: 1, expansions: [1], widths: [16, 24], repeats: [1, 2] },
      { stride: 2, expansions: [4, 6], widths: [16, 24, 32], repeats: [1, 2, 3] },
      { stride: 2, expansions: [4, 6], widths: [32, 40, 48], repeats: [1, 2, 3] },
      { stride: 2, expansions: [4, 6], widths: [64, 80, 96], repeats: [2, 3, 4] },
      { stride: 1, expansions: [4, 6], widths: [96, 112, 128], repeats: [2, 3, 4] },
      { stride: 2, expansions: [4, 6], widths: [160, 192, 224], repeats: [3, 4, 5] },
      { stride: 1, expansions: [4, 6], widths: [256, 320], repeats: [1, 2] },
    ],
  },
};

/** Smallest side of the last feature map, in pixels. */
const minFinalSide = 3;
const stemStride = 2;

/**
 * A built-in space fitted to the data.
 *
 * `efficientnet-x` decides per stage between MBConv and fused MBConv, kernel 3 or 5, expansion,
 * squeeze-excite, ReLU or SiLU (block-wise activations), width and repeats; a stem of kernel 2 is the
 * learned space-to-depth. We differ from the paper: space-to-depth stands for the stem, not after it.
 *
 * Base resolutions stay at or below three quarters of the native one, so that scaling has somewhere to
 * go; strides are dropped from the front until the last feature map is at least 3 px wide.
 * @param data.scale `small` when absent and images are at most 128 px, else `full`.
 * @throws {ConfigError} for an unknown name or images below 8 px.
 */
export function builtInSpace(name: string, data: SpaceData & { readonly scale?: SpaceScale }): SpaceNode {
  if (!isBuiltIn(name))
    throw new ConfigError(`search.space: expected one of ${builtInSpaceNames.join(', ')} or a YAML file, got ${name}`);
  const scale = data.scale ?? (data.nativeResolution <= 128 ? 'small' : 'full');
  const table = scales[scale];
  const { resolutions, strides } = fitResolutions(table, data.nativeResolution);
  const fused = name === 'efficientnet-x';
  const space: SpaceNode = {
    name: `${name}-${scale}`,
    input: { resolution: oneOf(resolutions, 'resolution') },
    stem: {
      kernel: fused ? oneOf([2, 3], 'stem.kernel') : 3,
      stride: stemStride,
      width: options(table.stemWidths, 'stem.width'),
      activation: oneOf(['relu', 'silu'], 'stem.activation'),
    },
    stages: table.stages.map((stage, index) => stageSpace(stage, strides[index] ?? 1, `stage${index + 1}`, fused)),
    head: {
      width: options(table.headWidths, 'head.width'),
      activation: oneOf(['relu', 'silu'], 'head.activation'),
      dropout: table.dropout,
    },
    survival: table.survival,
  };
  return bindSpace(space, data, name);
}

function isBuiltIn(name: string): name is BuiltInSpaceName {
  return builtInSpaceNames.some((known) => known === name);
}

function options(values: readonly (number | string)[], tag: string): SpaceNode {
  return values.length === 1 ? (values[0] ?? null) : oneOf(values, tag);
}

function stageSpace(stage: StageOptions, stride: number, tag: string, fused: boolean): SpaceNode {
  return {
    operator: fused ? oneOf(['mbconv', 'fused-mbconv'], `${tag}.operator`) : 'mbconv',
    kernel: oneOf([3, 5], `${tag}.kernel`),
    stride,
    expansion: options(stage.expansions, `${tag}.expansion`),
    width: options(stage.widths, `${tag}.width`),
    repeats: options(stage.repeats, `${tag}.repeats`),
    squeezeExcite: oneOf([0, 0.25], `${tag}.squeezeExcite`),
    activation: oneOf(['relu', 'silu'], `${tag}.activation`),
  };
}

/** Resolutions at .6, .8 and 1 of the largest base one, and stage strides that leave a feature map at all of them. */
function fitResolutions(
  table: ScaleTable,
  native: number,
): { readonly resolutions: readonly number[]; readonly strides: readonly number[] } {
  if (native < 8) throw new ConfigError(`data: expected images of at least 8 px, got ${native}`);
  const top = Math.min(table.topResolution, Math.max(8, Math.floor((native * 0.75) / 4) * 4));
  let total = table.maxStride;
  while (total > stemStride && Math.ceil(top / total) < minFinalSide) total /= 2;
  const resolutions = [0.6, 0.8, 1]
    .map((share) => Math.max(8, Math.round((top * share) / 4) * 4))
    .filter((side, index, all) => all.indexOf(side) === index)
    .filter((side) => Math.ceil(side / total) >= minFinalSide || side === top);
  const strides = table.stages.map(({ stride }) => stride);
  const product = (): number => strides.reduce((all, stride) => all * stride, stemStride);
  for (let first = strides.indexOf(2); first >= 0 && product() > total; first = strides.indexOf(2)) strides[first] = 1;
  return { resolutions, strides };
}
