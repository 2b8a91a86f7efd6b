import { buildTransformer } from './build-transformer.ts';
import { GraphBuilder } from './graph-builder.ts';
import type { Dimension, Graph } from './graph.ts';
import { roundChannels } from './rounding.ts';
import { bottleneckWidth, hasLearnedSpaceToDepth, type NetworkSpec, type SqueezeExcite, type Stage } from './spec.ts';
import { isTransformer, type ModelSpec } from './transformer.ts';

/** Name of the image input of every network built here. */
export const imageInput = 'image';
/** Name of the output: unnormalised class scores, `[batch, classes]`. */
export const logitsOutput = 'logits';

type StageOf<Operator extends Stage['operator']> = Extract<Stage, { operator: Operator }>;
type InvertedStage = StageOf<'mbconv' | 'fused-mbconv'>;

/** A network of either kind as a graph with fresh parameters: of pictures as below, or {@link buildTransformer a transformer}. */
export function buildNetwork(spec: ModelSpec, batch: Dimension): Graph {
  return isTransformer(spec) ? buildTransformer(spec, batch) : buildConvolutional(spec, batch);
}

/**
 * Input `image` float32 `[batch, c, r, r]`, output
 * `logits` `[batch, classes]`.
 * Stochastic depth falls to `survival` at the last block (Huang et al. 2016); the EfficientNet release stops one block
 * short of it.
 * @param batch fixed for training, `'batch'` (symbolic) for files that are shipped.
 */
function buildConvolutional(spec: NetworkSpec, batch: Dimension): Graph {
  const graph = new GraphBuilder(batch, spec.batchNorm);
  let x = graph.input(imageInput, spec.input.channels, spec.input.resolution);
  x = buildStem(graph, x, spec.stem);
  const blocks = blocksOf(spec.stages);
  blocks.forEach((block, index) => {
    if (block.spaceToDepth) {
      const options = { kernel: 2, stride: 2, width: 4 * graph.channels(x) };
      x = graph.convNormActivation(`${block.name}.space-to-depth`, x, options, block.stage.activation);
    }
    const survival = 1 - ((1 - spec.survival) * (index + 1)) / blocks.length;
    x = buildBlock(graph, x, block, survival);
  });
  x = buildHead(graph, x, spec.head);
  return graph.finish([graph.dense(logitsOutput, x, spec.classes)]);
}

/** One block: its stage's settings with what is its own. */
interface Block<Settings extends Stage = Stage> {
  readonly name: string;
  readonly stage: Settings;
  /** Whether the learned space-to-depth comes before it. */
  readonly spaceToDepth: boolean;
  /** The part of the input's channels that the expansion is of, and the squeeze: a quarter at a region's ends. */
  readonly expandedPart: number;
  readonly squeezedPart: number;
}

/** The stages as blocks; in a region of learned space-to-depth with the settings that its doc gives them. */
function blocksOf(stages: readonly Stage[]): readonly Block[] {
  let inRegion = false;
  return stages.flatMap((stage, stageIndex) =>
    Array.from({ length: stage.repeats }, (_, repeat) => {
      const stride = repeat === 0 ? stage.stride : 1;
      const enters = repeat === 0 && hasLearnedSpaceToDepth(stage);
      const leaves = inRegion && stride > 1;
      inRegion = (inRegion || enters) && !leaves;
      return {
        name: `stage${stageIndex}.block${repeat}`,
        stage: {
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

function buildStem(graph: GraphBuilder, input: string, stem: NetworkSpec['stem']): string {
  const { kernel, stride, width, activation, spaceToDepth, maxPool } = stem;
  let x = spaceToDepth ? graph.spaceToDepth('stem.space-to-depth', input, spaceToDepth) : input;
  x = graph.convNormActivation('stem', x, { kernel, stride, width }, activation);
  return maxPool ? graph.pool('max-pool', 'stem.pool', x, maxPool.kernel, maxPool.stride) : x;
}

/** Up to the classifier's features, `[batch, features]`. */
function buildHead(graph: GraphBuilder, input: string, head: NetworkSpec['head']): string {
  const { width, activation, dropout, pooling, hidden } = head;
  const last = width > 0 ? graph.convNormActivation('head', input, { kernel: 1, stride: 1, width }, activation) : input;
  let x = graph.globalAverage('head.pool', last);
  if (pooling === 'average-max') x = graph.concat('head.features', [x, graph.globalMax('head.max-pool', last)]);
  if (hidden) {
    x = graph.conv('head.hidden', x, { kernel: 1, stride: 1, width: hidden, bias: true });
    x = graph.elementWise(activation, 'head.hidden.activation', x);
  }
  x = graph.flatten('head.flatten', x);
  return dropout > 0 ? graph.drop('head.dropout', x, dropout, 'element') : x;
}

function buildBlock(graph: GraphBuilder, x: string, block: Block, survival: number): string {
  const { stage } = block;
  switch (stage.operator) {
    case 'mbconv':
    case 'fused-mbconv':
      return buildInverted(graph, x, { ...block, stage }, survival);
    case 'basic':
    case 'bottleneck':
      return buildResidual(graph, block.name, x, stage, survival);
    default:
      return stage satisfies never;
  }
}

function buildInverted(graph: GraphBuilder, input: string, block: Block<InvertedStage>, survival: number): string {
  const { name, stage, expandedPart, squeezedPart } = block;
  const { operator, kernel, stride, activation, dilation } = stage;
  const inWidth = graph.channels(input);
  const expanded = Math.round(inWidth * expandedPart * stage.expansion);
  const projects = operator === 'mbconv' || stage.expansion !== 1;
  const projectStride = operator === 'fused-mbconv' && stage.strideAt === 'project' ? stride : 1;
  let x = input;
  if (operator === 'mbconv') {
    if (expanded !== inWidth)
      x = graph.convNormActivation(`${name}.expand`, x, { kernel: 1, stride: 1, width: expanded }, activation);
    const options = { kernel, stride, dilation, width: expanded, groups: expanded };
    x = graph.convNormActivation(`${name}.depthwise`, x, options, activation);
  } else {
    const width = projects ? expanded : stage.width;
    const options = { kernel, stride: stride / projectStride, dilation, width };
    x = graph.convNormActivation(`${name}.fused`, x, options, activation);
  }
  x = squeezeExcite(graph, name, x, inWidth * squeezedPart, stage);
  if (projects) x = graph.convNorm(`${name}.project`, x, { kernel: 1, stride: projectStride, width: stage.width });
  if (!stage.skip || stride !== 1 || inWidth !== stage.width) return x;
  return addResidual(graph, name, x, input, survival);
}

function buildResidual(
  graph: GraphBuilder,
  name: string,
  input: string,
  stage: StageOf<'basic' | 'bottleneck'>,
  survival: number,
): string {
  const { kernel, stride, dilation, width, activation } = stage;
  let x = input;
  if (stage.operator === 'basic') {
    x = graph.convNormActivation(`${name}.first`, x, { kernel, stride, dilation, width }, activation);
    x = graph.convNorm(`${name}.second`, x, { kernel, stride: 1, dilation, width });
  } else {
    const inner = bottleneckWidth(stage);
    x = graph.convNormActivation(`${name}.reduce`, x, { kernel: 1, stride: 1, width: inner }, activation);
    const options = { kernel, stride, dilation, width: inner, groups: inner / (stage.groupWidth ?? inner) };
    x = graph.convNormActivation(`${name}.spatial`, x, options, activation);
    x = squeezeExcite(graph, name, x, graph.channels(input), stage);
    x = graph.convNorm(`${name}.expand`, x, { kernel: 1, stride: 1, width });
  }
  x = addResidual(graph, name, x, shortcutOf(graph, `${name}.shortcut`, input, stage), survival);
  return graph.elementWise(activation, `${name}.activation`, x);
}

/** What a residual block's branch is added to: the input, in the branch's shape. */
function shortcutOf(
  graph: GraphBuilder,
  name: string,
  input: string,
  { stride, width, shortcut }: StageOf<'basic' | 'bottleneck'>,
): string {
  if (stride === 1 && graph.channels(input) === width) return input;
  if (shortcut === 'convolution') return graph.convNorm(name, input, { kernel: 1, stride, width });
  const pooled = stride === 1 ? input : graph.pool('average-pool', `${name}.pool`, input, stride, stride);
  return graph.convNorm(name, pooled, { kernel: 1, stride: 1, width });
}

/** The branch, dropped now and then in training (stochastic depth, Huang et al. 2016), plus the shortcut. */
function addResidual(graph: GraphBuilder, name: string, branch: string, shortcut: string, survival: number): string {
  const kept = survival < 1 ? graph.drop(`${name}.drop`, branch, 1 - survival, 'example') : branch;
  return graph.binary('add', `${name}.residual`, kept, shortcut);
}

/**
 * Squeeze-and-excitation (Hu et al. 2018): pool → 1×1 → activation → 1×1 → gate; `x` itself for a ratio of 0.
 * @param inputWidth what a ratio `of` the input is of.
 */
function squeezeExcite(
  graph: GraphBuilder,
  block: string,
  x: string,
  inputWidth: number,
  stage: StageOf<'mbconv' | 'fused-mbconv' | 'bottleneck'>,
): string {
  const form: Partial<Exclude<SqueezeExcite, number>> & { ratio: number } =
    typeof stage.squeezeExcite === 'number' ? { ratio: stage.squeezeExcite } : stage.squeezeExcite;
  const { ratio, of = 'input', multiple = 1, activation = stage.activation, gate = 'sigmoid' } = form;
  if (ratio === 0) return x;
  const name = `${block}.squeeze-excite`;
  const wanted = (of === 'input' ? inputWidth : graph.channels(x)) * ratio;
  const squeezed = multiple === 1 ? Math.max(1, Math.floor(wanted)) : roundChannels(wanted, multiple);
  let s = graph.globalAverage(`${name}.pool`, x);
  s = graph.conv(`${name}.squeeze`, s, { kernel: 1, stride: 1, width: squeezed, bias: true });
  s = graph.elementWise(activation, `${name}.activation`, s);
  s = graph.conv(`${name}.excite`, s, { kernel: 1, stride: 1, width: graph.channels(x), bias: true });
  s = graph.elementWise(gate, `${name}.${gate}`, s);
  return graph.binary('gate', `${name}.gate`, x, s);
}
