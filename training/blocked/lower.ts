import type { Lowering } from '../lowering.ts';
import { lowerNode } from '../plain/lower.ts';
import { convGeometry, type TrainingNode, type TrainingNodeOf, type TrainingOperator } from '../training-graph.ts';
import { lowerBatchNorm, lowerBatchNormGradient, lowerConvBiasGradient } from './batch-norm.ts';
import {
  inputGradientPhases,
  lowerDenseConv,
  lowerDenseInputGradient,
  lowerDenseWeightGradient,
  lowerImageConv,
  lowerImageWeightGradient,
} from './dense-convolution.ts';
import {
  inputGradientPads,
  lowerDepthwise,
  lowerDepthwiseInputGradient,
  lowerDepthwiseWeightGradient,
} from './depthwise.ts';
import {
  lowerAdd,
  lowerDrop,
  lowerElementwise,
  lowerGate,
  lowerGateGradient,
  lowerGlobalAveragePool,
  lowerGlobalAveragePoolGradient,
  lowerRectifier,
  lowerSigmoid,
  lowerSilu,
  lowerSiluGradient,
} from './elementwise.ts';
import { expansions, lowerExpansion } from './expansion.ts';
import { BlockedGraph } from './graph.ts';
import { type ConvKind, type ConvNode, convKinds, parameterLayouts } from './kinds.ts';
import { lowerPointwise, lowerPointwiseInputGradient, lowerPointwiseWeightGradient } from './pointwise.ts';

/**
 * The CPU's fast lowering: forward and backward on onnxruntime's own blocked kernels, which its graph
 * optimizer would only use for constant weights. Parameters are kept blocked for the whole training.
 * What has no blocked rule is lowered by the plain one, at the price of two conversions.
 * @param block channels in a block; see `detectBlockSize`.
 */
export function blockedLowering(block: number): Lowering {
  return {
    id: `blocked${block}`,
    lower(graph) {
      const kinds = convKinds(graph, block);
      const blocked = new BlockedGraph(graph, block, parameterLayouts(graph, block, kinds));
      const inputs = blocked.bindInputs();
      const expanded = expansions(graph, kinds, (tensor) => blocked.channels(tensor));
      for (const node of graph.nodes) {
        blocked.enter(node.name);
        const expansion = expanded.get(node.name);
        if (expansion) lowerExpansion(node, expansion, blocked);
        else (ruleOf(node, blocked, kinds) ?? lowerNode)(node, blocked);
      }
      return { plain: blocked, inputs };
    },
  };
}

type Rule<Op extends TrainingOperator> = (node: TrainingNodeOf<Op>, graph: BlockedGraph) => void;

/** Blocked rules for the three nodes of a convolution, by kind. */
const convRules = {
  image: { conv: lowerImageConv, 'conv-weight-gradient': lowerImageWeightGradient },
  pointwise: {
    conv: lowerPointwise,
    'conv-input-gradient': lowerPointwiseInputGradient,
    'conv-weight-gradient': lowerPointwiseWeightGradient,
  },
  depthwise: {
    conv: lowerDepthwise,
    'conv-input-gradient': lowerDepthwiseInputGradient,
    'conv-weight-gradient': lowerDepthwiseWeightGradient,
  },
  dense: {
    conv: lowerDenseConv,
    'conv-input-gradient': lowerDenseInputGradient,
    'conv-weight-gradient': lowerDenseWeightGradient,
  },
} as const satisfies Record<ConvKind, { readonly [Op in ConvNode['op']]?: Rule<Op> }>;

/** Blocked rules for all other kinds of nodes, whose outputs are maps `[n, c, h, w]` or come from one. */
const rules: { readonly [Op in TrainingOperator]?: Rule<Op> } = {
  'conv-bias-gradient': lowerConvBiasGradient,
  'batch-norm-training': lowerBatchNorm,
  'batch-norm-gradient': lowerBatchNormGradient,
  relu: lowerRectifier,
  relu6: lowerRectifier,
  'relu-gradient': lowerElementwise,
  'relu6-gradient': lowerElementwise,
  'silu-training': lowerSilu,
  'silu-gradient': lowerSiluGradient,
  'hard-swish': lowerElementwise,
  'hard-swish-gradient': lowerElementwise,
  sigmoid: lowerSigmoid,
  'sigmoid-gradient': lowerElementwise,
  'hard-sigmoid': lowerSigmoid,
  'hard-sigmoid-gradient': lowerElementwise,
  add: lowerAdd,
  'drop-training': lowerDrop,
  gate: lowerGate,
  'gate-gradient': lowerGateGradient,
  'global-average-pool': lowerGlobalAveragePool,
  'global-average-pool-gradient': lowerGlobalAveragePoolGradient,
};

/** Kinds that make blocks of what is not in blocks; elsewhere blocks are kept where they are. */
const makesBlocks: ReadonlySet<TrainingOperator> = new Set<TrainingOperator>([
  'batch-norm-training',
  'batch-norm-gradient',
  'global-average-pool-gradient',
]);

/** The blocked rule of a node; undefined where the plain one serves. */
function ruleOf(
  node: TrainingNode,
  graph: BlockedGraph,
  kinds: ReadonlyMap<string, ConvKind>,
): Rule<TrainingOperator> | undefined {
  if (isConvNode(node)) {
    const kind = kinds.get((node.op === 'conv-weight-gradient' ? node.outputs[0] : node.inputs[1]) as string);
    if (kind === undefined || (node.op === 'conv-input-gradient' && skipsPixels(node, graph, kind))) return undefined;
    const ofKind: { readonly [Op in ConvNode['op']]?: Rule<Op> } = convRules[kind];
    return ofKind[node.op] as Rule<TrainingOperator> | undefined;
  }
  const isMap = (tensor: string | undefined): boolean => tensor !== undefined && graph.shape(tensor).length === 4;
  const isInBlocks = node.inputs.some((input) => isMap(input) && graph.isBlocked(input));
  const isOfMaps = isMap(node.inputs[0]) || isMap(node.outputs[0]);
  if (!isOfMaps || (!isInBlocks && !makesBlocks.has(node.op))) return undefined;
  return rules[node.op] as Rule<TrainingOperator> | undefined;
}

const isConvNode = (node: TrainingNode): node is ConvNode =>
  node.op === 'conv' || node.op === 'conv-input-gradient' || node.op === 'conv-weight-gradient';

/** Whether windows skip pixels at an edge, whose gradient the blocked rules do not make. */
function skipsPixels(node: TrainingNodeOf<'conv-input-gradient'>, graph: BlockedGraph, kind: ConvKind): boolean {
  const [dy, weight] = node.inputs as [string, string];
  const g = convGeometry(graph.shape(node.outputs[0] as string), graph.shape(weight), graph.shape(dy), node.attributes);
  const pads =
    kind === 'depthwise'
      ? inputGradientPads(g)
      : inputGradientPhases(g).flatMap(({ before, after }) => [before, after]);
  return pads.some((pad) => pad < 0);
}
