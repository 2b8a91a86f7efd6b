import { convGeometry, type TrainingGraph, type TrainingNode, type TrainingNodeOf } from '../training-graph.ts';
import type { Lowering } from '../lowering.ts';
import { lowerBatchNorm, lowerBatchNormGradient, type Rectifier } from './batch-norm.ts';
import {
  lowerBiasGradient,
  lowerDense,
  lowerDenseInputGradient as lowerClassifierInputGradient,
  lowerDenseWeightGradient as lowerClassifierWeightGradient,
  lowerSoftmaxCrossEntropy,
} from './dense.ts';
import {
  isPointwise,
  lowerDenseConv,
  lowerDenseInputGradient,
  lowerDenseWeightGradient,
  lowerPointwise,
  lowerPointwiseInputGradient,
  lowerPointwiseWeightGradient,
} from './dense-convolution.ts';
import { lowerDepthwise, lowerDepthwiseInputGradient, lowerDepthwiseWeightGradient } from './depthwise.ts';
import {
  lowerAdd,
  lowerDrop,
  lowerFlatten,
  lowerGate,
  lowerGateGradient,
  lowerHardSigmoid,
  lowerHardSigmoidGradient,
  lowerHardSwish,
  lowerHardSwishGradient,
  lowerRelu6,
  lowerRelu6Gradient,
  lowerReluGradient,
  lowerSigmoidGradient,
  lowerSilu,
  lowerSiluGradient,
  lowerUnary,
} from './elementwise.ts';
import { PlainGraph } from './graph.ts';
import {
  lowerAveragePoolGradient,
  lowerGlobalAveragePool,
  lowerGlobalAveragePoolGradient,
  lowerMaxPoolGradient,
  lowerPool,
} from './pool.ts';
import {
  lowerAddPositions,
  lowerAddPositionsGradient,
  lowerAttention,
  lowerAttentionGradient,
  lowerEmbedding,
  lowerEmbeddingGradient,
  lowerGelu,
  lowerGeluGradient,
  lowerLayerNorm,
  lowerLayerNormGradient,
  lowerMultiply,
} from './sequence.ts';
import { lowerConcat, lowerConcatGradient, lowerSpaceToDepth, lowerSpaceToDepthGradient } from './structure.ts';

/** The reference lowering: operators every onnxruntime has (opset 17 and `com.microsoft`), on any provider. */
export const plainLowering: Lowering = {
  id: 'plain',
  lower(graph) {
    const plain = new PlainGraph(graph);
    const inputs = plain.bindInputs();
    const rectifiers = normRectifiers(graph, plain);
    const fused = new Set<TrainingNode>(rectifiers.values());
    for (const node of graph.nodes) {
      plain.enter(node.name);
      if (node.op === 'batch-norm-training') lowerBatchNorm(node, plain, rectifiers.get(node.outputs[0] as string));
      else if (!fused.has(node)) lowerNode(node, plain);
    }
    return { plain, inputs };
  },
};

/** By the output of every batch norm that only a ReLU or ReLU6 reads, that node. */
function normRectifiers(graph: TrainingGraph, plain: PlainGraph): Map<string, Rectifier> {
  const norms = new Set(graph.nodes.filter(({ op }) => op === 'batch-norm-training').map(({ outputs }) => outputs[0]));
  const pairs = graph.nodes.flatMap((node): [string, Rectifier][] => {
    const [x] = node.inputs as [string];
    const isRectifier = node.op === 'relu' || node.op === 'relu6';
    return isRectifier && norms.has(x) && plain.uses(x) === 1 ? [[x, node]] : [];
  });
  return new Map(pairs);
}

/** Lowers one node of any kind by itself. */
export function lowerNode(node: TrainingNode, plain: PlainGraph): void {
  switch (node.op) {
    case 'batch-norm-training':
      return lowerBatchNorm(node, plain);
    case 'conv':
      return lowerConv(node, plain);
    case 'conv-input-gradient':
      return lowerConvInputGradient(node, plain);
    case 'conv-weight-gradient':
      return lowerConvWeightGradient(node, plain);
    case 'conv-bias-gradient':
    case 'dense-bias-gradient':
      return lowerBiasGradient(node, plain);
    case 'batch-norm-gradient':
      return lowerBatchNormGradient(node, plain);
    case 'relu':
      return lowerUnary('Relu', node, plain);
    case 'relu-gradient':
      return lowerReluGradient(node, plain);
    case 'relu6':
      return lowerRelu6(node, plain);
    case 'relu6-gradient':
      return lowerRelu6Gradient(node, plain);
    case 'silu-training':
      return lowerSilu(node, plain);
    case 'silu-gradient':
      return lowerSiluGradient(node, plain);
    case 'hard-swish':
      return lowerHardSwish(node, plain);
    case 'hard-swish-gradient':
      return lowerHardSwishGradient(node, plain);
    case 'sigmoid':
      return lowerUnary('Sigmoid', node, plain);
    case 'sigmoid-gradient':
      return lowerSigmoidGradient(node, plain);
    case 'hard-sigmoid':
      return lowerHardSigmoid(node, plain);
    case 'hard-sigmoid-gradient':
      return lowerHardSigmoidGradient(node, plain);
    case 'max-pool':
    case 'average-pool':
      return lowerPool(node, plain);
    case 'max-pool-gradient':
      return lowerMaxPoolGradient(node, plain);
    case 'average-pool-gradient':
      return lowerAveragePoolGradient(node, plain);
    case 'global-average-pool':
      return lowerGlobalAveragePool(node, plain);
    case 'global-average-pool-gradient':
      return lowerGlobalAveragePoolGradient(node, plain);
    case 'concat':
      return lowerConcat(node, plain);
    case 'concat-gradient':
      return lowerConcatGradient(node, plain);
    case 'space-to-depth':
      return lowerSpaceToDepth(node, plain);
    case 'space-to-depth-gradient':
      return lowerSpaceToDepthGradient(node, plain);
    case 'add':
      return lowerAdd(node, plain);
    case 'gate':
      return lowerGate(node, plain);
    case 'gate-gradient':
      return lowerGateGradient(node, plain);
    case 'flatten':
    case 'flatten-gradient':
      return lowerFlatten(node, plain);
    case 'dense':
      return lowerDense(node, plain);
    case 'dense-input-gradient':
      return lowerClassifierInputGradient(node, plain);
    case 'dense-weight-gradient':
      return lowerClassifierWeightGradient(node, plain);
    case 'embedding':
      return lowerEmbedding(node, plain);
    case 'embedding-gradient':
      return lowerEmbeddingGradient(node, plain);
    case 'add-positions':
      return lowerAddPositions(node, plain);
    case 'add-positions-gradient':
      return lowerAddPositionsGradient(node, plain);
    case 'layer-norm-training':
      return lowerLayerNorm(node, plain);
    case 'layer-norm-gradient':
      return lowerLayerNormGradient(node, plain);
    case 'gelu':
      return lowerGelu(node, plain);
    case 'gelu-gradient':
      return lowerGeluGradient(node, plain);
    case 'multiply':
      return lowerMultiply(node, plain);
    case 'causal-attention-training':
      return lowerAttention(node, plain);
    case 'causal-attention-gradient':
      return lowerAttentionGradient(node, plain);
    case 'drop-training':
      return lowerDrop(node, plain);
    case 'softmax-cross-entropy':
      return lowerSoftmaxCrossEntropy(node, plain);
    default:
      return node satisfies never;
  }
}

type ConvKind = 'pointwise' | 'dense' | 'depthwise';

/** Groups of several channels go the way of wide kernels, dense within each group. */
function convKind(
  node: TrainingNodeOf<'conv' | 'conv-input-gradient' | 'conv-weight-gradient'>,
  plain: PlainGraph,
  [x, weight, y]: readonly [string, string, string],
): ConvKind {
  const g = convGeometry(plain.shape(x), plain.shape(weight), plain.shape(y), node.attributes);
  if (isPointwise(g)) return 'pointwise';
  return g.groups > 1 && g.groups === g.inChannels && g.groups === g.outChannels ? 'depthwise' : 'dense';
}

function lowerConv(node: TrainingNodeOf<'conv'>, plain: PlainGraph): void {
  const [x, weight] = node.inputs as [string, string];
  const kinds = { pointwise: lowerPointwise, dense: lowerDenseConv, depthwise: lowerDepthwise };
  kinds[convKind(node, plain, [x, weight, node.outputs[0] as string])](node, plain);
}

function lowerConvInputGradient(node: TrainingNodeOf<'conv-input-gradient'>, plain: PlainGraph): void {
  const [dy, weight] = node.inputs as [string, string];
  const kinds = {
    pointwise: lowerPointwiseInputGradient,
    dense: lowerDenseInputGradient,
    depthwise: lowerDepthwiseInputGradient,
  };
  kinds[convKind(node, plain, [node.outputs[0] as string, weight, dy])](node, plain);
}

function lowerConvWeightGradient(node: TrainingNodeOf<'conv-weight-gradient'>, plain: PlainGraph): void {
  const [x, dy] = node.inputs as [string, string];
  const kinds = {
    pointwise: lowerPointwiseWeightGradient,
    dense: lowerDenseWeightGradient,
    depthwise: lowerDepthwiseWeightGradient,
  };
  kinds[convKind(node, plain, [x, node.outputs[0] as string, dy])](node, plain);
}
