import { roundChannels } from './rounding.ts';
import {
  type Activation,
  bottleneckWidth,
  hasLearnedSpaceToDepth,
  type NetworkSpec,
  type SqueezeExcite,
  type Stage,
} from './spec.ts';

/** A squeeze-and-excitation (Hu et al. 2018) with its width settled. */
export interface SqueezeExciteLayer {
  /** Channels between its two 1×1 convolutions. */
  readonly width: number;
  /** Between the two. */
  readonly activation: Activation;
  readonly gate: 'sigmoid' | 'hard-sigmoid';
}

interface BlockOfAnyKind {
  /** Indices from 0: of the stage, and of the block in it. */
  readonly stage: number;
  readonly index: number;
  /** `stage1.block0`: what its operators and parameters are called below. */
  readonly name: string;
  /** Channels that come in, behind the learned space-to-depth where there is one. */
  readonly inWidth: number;
  /** Channels that go out. */
  readonly width: number;
  /** Of the convolution that is no 1×1. */
  readonly kernel: number;
  /** Of the whole block. */
  readonly stride: number;
  readonly dilation: number;
  readonly activation: Activation;
  readonly squeezeExcite: SqueezeExciteLayer | undefined;
  /** Probability that training keeps the residual branch. */
  readonly survival: number;
}

/** An inverted bottleneck. */
export interface InvertedBlock extends BlockOfAnyKind {
  readonly operator: 'mbconv' | 'fused-mbconv';
  /** Whether a learned 2×2 space-to-depth comes before it. */
  readonly spaceToDepth: boolean;
  /** Channels of the depthwise convolution, or of the fused one. */
  readonly expandedWidth: number;
  /** Whether there is a 1×1 expansion; never of a fused one. */
  readonly expands: boolean;
  /** Whether there is a 1×1 projection. */
  readonly projects: boolean;
  /** The part of the stride that is in the projection. */
  readonly projectStride: number;
  /** Whether the input is added at the end. */
  readonly skip: boolean;
}

/** A residual block: the input is always added, in the branch's shape. */
export interface ResidualBlock extends BlockOfAnyKind {
  readonly operator: 'basic' | 'bottleneck';
  /** Channels of the k×k convolution of a bottleneck. */
  readonly innerWidth: number;
  /** Of the k×k convolution of a bottleneck. */
  readonly groups: number;
  readonly shortcut: 'identity' | 'convolution' | 'average-pool';
}

/** One block of a network, with every number that its stage leaves to a rule. */
export type Block = InvertedBlock | ResidualBlock;

/**
 * The blocks of a network in order: what `build.ts` makes operators of and `handover/` source text. Stochastic depth falls to
 * the spec's survival at the last block (Huang et al. 2016); the EfficientNet release stops one block short of it.
 */
export function blocksOf({ stem, stages, survival }: NetworkSpec): readonly Block[] {
  const placed = placedBlocks(stages);
  let inWidth = stem.width;
  return placed.map((block, position) => {
    const settled = settle(block, inWidth, 1 - ((1 - survival) * (position + 1)) / placed.length);
    inWidth = settled.width;
    return settled;
  });
}

/** A block where it stands: its stage's settings with what is its own. */
interface PlacedBlock {
  readonly place: Pick<BlockOfAnyKind, 'stage' | 'index' | 'name'>;
  readonly settings: Stage;
  /** Whether the learned space-to-depth comes before it. */
  readonly spaceToDepth: boolean;
  /** The part of the input's channels that the expansion is of, and the squeeze: a quarter at a region's ends. */
  readonly expandedPart: number;
  readonly squeezedPart: number;
}

/** The stages as blocks; in a region of learned space-to-depth with the settings that its doc gives them. */
function placedBlocks(stages: readonly Stage[]): readonly PlacedBlock[] {
  let inRegion = false;
  return stages.flatMap((stage, stageIndex) =>
    Array.from({ length: stage.repeats }, (_, index) => {
      const stride = index === 0 ? stage.stride : 1;
      const enters = index === 0 && hasLearnedSpaceToDepth(stage);
      const leaves = inRegion && stride > 1;
      inRegion = (inRegion || enters) && !leaves;
      return {
        place: { stage: stageIndex, index, name: `stage${stageIndex}.block${index}` },
        settings: {
          ...stage,
          stride: leaves ? 1 : stride,
          ...(inRegion && { width: 4 * stage.width, kernel: Math.ceil(stage.kernel / 2) }),
        },
        spaceToDepth: enters,
        expandedPart: leaves ? 1 / 4 : 1,
        squeezedPart: enters || leaves ? 1 / 4 : 1,
      };
    }),
  );
}

function settle(block: PlacedBlock, channels: number, survival: number): Block {
  const { settings } = block;
  switch (settings.operator) {
    case 'mbconv':
    case 'fused-mbconv':
      return settleInverted({ ...block, settings }, block.spaceToDepth ? 4 * channels : channels, survival);
    case 'basic':
    case 'bottleneck':
      return settleResidual({ ...block, settings }, channels, survival);
    default:
      return settings satisfies never;
  }
}

type StageOf<Operator extends Stage['operator']> = Extract<Stage, { operator: Operator }>;

function settleInverted(
  {
    place,
    settings,
    spaceToDepth,
    expandedPart,
    squeezedPart,
  }: PlacedBlock & { readonly settings: StageOf<'mbconv' | 'fused-mbconv'> },
  inWidth: number,
  survival: number,
): InvertedBlock {
  const { operator, kernel, stride, dilation = 1, width, expansion, activation, skip } = settings;
  const projects = operator === 'mbconv' || expansion !== 1;
  const expandedWidth = projects ? Math.round(inWidth * expandedPart * expansion) : width;
  return {
    ...place,
    operator,
    inWidth,
    width,
    kernel,
    stride,
    dilation,
    activation,
    squeezeExcite: squeezeExciteOf(settings, inWidth * squeezedPart, expandedWidth),
    survival,
    spaceToDepth,
    expandedWidth,
    expands: operator === 'mbconv' && expandedWidth !== inWidth,
    projects,
    projectStride: operator === 'fused-mbconv' && settings.strideAt === 'project' ? stride : 1,
    skip: skip && stride === 1 && inWidth === width,
  };
}

function settleResidual(
  { place, settings }: PlacedBlock & { readonly settings: StageOf<'basic' | 'bottleneck'> },
  inWidth: number,
  survival: number,
): ResidualBlock {
  const { operator, kernel, stride, dilation = 1, width, activation, shortcut } = settings;
  const isBottleneck = operator === 'bottleneck';
  const innerWidth = isBottleneck ? bottleneckWidth(settings) : width;
  return {
    ...place,
    operator,
    inWidth,
    width,
    kernel,
    stride,
    dilation,
    activation,
    squeezeExcite: isBottleneck ? squeezeExciteOf(settings, inWidth, innerWidth) : undefined,
    survival,
    innerWidth,
    groups: isBottleneck ? innerWidth / (settings.groupWidth ?? innerWidth) : 1,
    shortcut: stride === 1 && inWidth === width ? 'identity' : shortcut,
  };
}

/**
 * @param inputWidth what a ratio `of` the input is of. @param gatedWidth channels that it scales.
 * @returns undefined for a ratio of 0.
 */
function squeezeExciteOf(
  { squeezeExcite, activation: ownActivation }: StageOf<'mbconv' | 'fused-mbconv' | 'bottleneck'>,
  inputWidth: number,
  gatedWidth: number,
): SqueezeExciteLayer | undefined {
  const form: Partial<Exclude<SqueezeExcite, number>> & { ratio: number } =
    typeof squeezeExcite === 'number' ? { ratio: squeezeExcite } : squeezeExcite;
  const { ratio, of = 'input', multiple = 1, activation = ownActivation, gate = 'sigmoid' } = form;
  if (ratio === 0) return undefined;
  const wanted = (of === 'input' ? inputWidth : gatedWidth) * ratio;
  return {
    width: multiple === 1 ? Math.max(1, Math.floor(wanted)) : roundChannels(wanted, multiple),
    activation,
    gate,
  };
}
