import { type Block, blocksOf, type InvertedBlock, type ResidualBlock, type SqueezeExciteLayer } from './blocks.ts';
import { buildTransformer } from './build-transformer.ts';
import { GraphBuilder } from './graph-builder.ts';
import type { Dimension, Graph } from './graph.ts';
import type { NetworkSpec } from './spec.ts';
import { isTransformer, type ModelSpec } from './transformer.ts';

/** Name of the image input of every network built here. */
export const imageInput = 'image';
/** Name of the output: unnormalised class scores, `[batch, classes]`. */
export const logitsOutput = 'logits';

/** A network of either kind as a graph with fresh parameters: of pictures as below, or {@link buildTransformer a transformer}. */
export function buildNetwork(spec: ModelSpec, batch: Dimension): Graph {
  return isTransformer(spec) ? buildTransformer(spec, batch) : buildConvolutional(spec, batch);
}

/**
 * Input `image` float32 `[batch, c, r, r]`, output
 * `logits` `[batch, classes]`.
 * @param batch fixed for training, `'batch'` (symbolic) for files that are shipped.
 */
function buildConvolutional(spec: NetworkSpec, batch: Dimension): Graph {
  const graph = new GraphBuilder(batch, spec.batchNorm);
  let x = graph.input(imageInput, spec.input.channels, spec.input.resolution);
  x = buildStem(graph, x, spec.stem);
  for (const block of blocksOf(spec)) x = buildBlock(graph, x, block);
  x = buildHead(graph, x, spec.head);
  return graph.finish([graph.dense(logitsOutput, x, spec.classes)]);
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

function buildBlock(graph: GraphBuilder, x: string, block: Block): string {
  switch (block.operator) {
    case 'mbconv':
    case 'fused-mbconv':
      return buildInverted(graph, x, block);
    case 'basic':
    case 'bottleneck':
      return buildResidual(graph, x, block);
    default:
      return block satisfies never;
  }
}

function buildInverted(graph: GraphBuilder, previous: string, block: InvertedBlock): string {
  const { name, kernel, stride, dilation, activation, inWidth, expandedWidth, projectStride, width } = block;
  const input = block.spaceToDepth
    ? graph.convNormActivation(`${name}.space-to-depth`, previous, { kernel: 2, stride: 2, width: inWidth }, activation)
    : previous;
  let x = input;
  if (block.operator === 'mbconv') {
    if (block.expands)
      x = graph.convNormActivation(`${name}.expand`, x, { kernel: 1, stride: 1, width: expandedWidth }, activation);
    const options = { kernel, stride, dilation, width: expandedWidth, groups: expandedWidth };
    x = graph.convNormActivation(`${name}.depthwise`, x, options, activation);
  } else {
    const options = { kernel, stride: stride / projectStride, dilation, width: expandedWidth };
    x = graph.convNormActivation(`${name}.fused`, x, options, activation);
  }
  x = squeezeExcite(graph, name, x, block.squeezeExcite);
  if (block.projects) x = graph.convNorm(`${name}.project`, x, { kernel: 1, stride: projectStride, width });
  return block.skip ? addResidual(graph, block, x, input) : x;
}

function buildResidual(graph: GraphBuilder, input: string, block: ResidualBlock): string {
  const { name, kernel, stride, dilation, width, innerWidth, groups, activation } = block;
  let x = input;
  if (block.operator === 'basic') {
    x = graph.convNormActivation(`${name}.first`, x, { kernel, stride, dilation, width }, activation);
    x = graph.convNorm(`${name}.second`, x, { kernel, stride: 1, dilation, width });
  } else {
    x = graph.convNormActivation(`${name}.reduce`, x, { kernel: 1, stride: 1, width: innerWidth }, activation);
    const options = { kernel, stride, dilation, width: innerWidth, groups };
    x = graph.convNormActivation(`${name}.spatial`, x, options, activation);
    x = squeezeExcite(graph, name, x, block.squeezeExcite);
    x = graph.convNorm(`${name}.expand`, x, { kernel: 1, stride: 1, width });
  }
  x = addResidual(graph, block, x, shortcutOf(graph, input, block));
  return graph.elementWise(activation, `${name}.activation`, x);
}

/** What a residual block's branch is added to: the input, in the branch's shape. */
function shortcutOf(
  graph: GraphBuilder,
  input: string,
  { name: block, stride, width, shortcut }: ResidualBlock,
): string {
  const name = `${block}.shortcut`;
  if (shortcut === 'identity') return input;
  if (shortcut === 'convolution') return graph.convNorm(name, input, { kernel: 1, stride, width });
  const pooled = stride === 1 ? input : graph.pool('average-pool', `${name}.pool`, input, stride, stride);
  return graph.convNorm(name, pooled, { kernel: 1, stride: 1, width });
}

/** The branch, dropped now and then in training (stochastic depth, Huang et al. 2016), plus the shortcut. */
function addResidual(graph: GraphBuilder, { name, survival }: Block, branch: string, shortcut: string): string {
  const kept = survival < 1 ? graph.drop(`${name}.drop`, branch, 1 - survival, 'example') : branch;
  return graph.binary('add', `${name}.residual`, kept, shortcut);
}

/** Pool → 1×1 → activation → 1×1 → gate; `x` itself without one. */
function squeezeExcite(graph: GraphBuilder, block: string, x: string, layer: SqueezeExciteLayer | undefined): string {
  if (!layer) return x;
  const name = `${block}.squeeze-excite`;
  const { width, activation, gate } = layer;
  let s = graph.globalAverage(`${name}.pool`, x);
  s = graph.conv(`${name}.squeeze`, s, { kernel: 1, stride: 1, width, bias: true });
  s = graph.elementWise(activation, `${name}.activation`, s);
  s = graph.conv(`${name}.excite`, s, { kernel: 1, stride: 1, width: graph.channels(x), bias: true });
  s = graph.elementWise(gate, `${name}.${gate}`, s);
  return graph.binary('gate', `${name}.gate`, x, s);
}
