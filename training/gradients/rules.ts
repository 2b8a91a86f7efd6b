import type { TrainingNode, TrainingOperator } from '../training-graph.ts';
import {
  geluGradient,
  hardSigmoidGradient,
  hardSwishGradient,
  relu6Gradient,
  reluGradient,
  sigmoidGradient,
  siluGradient,
} from './activations.ts';
import { batchNormGradient } from './batch-norm.ts';
import { convGradient } from './conv.ts';
import { denseGradient } from './dense.ts';
import { averagePoolGradient, globalAveragePoolGradient, maxPoolGradient } from './pool.ts';
import type { GradientContext, GradientRule } from './rule.ts';
import { addPositionsGradient, causalAttentionGradient, embeddingGradient, layerNormGradient } from './sequence.ts';
import {
  addGradient,
  concatGradient,
  dropGradient,
  flattenGradient,
  gateGradient,
  multiplyGradient,
  spaceToDepthGradient,
} from './structure.ts';

/** The rule of every operator a training forward pass is made of. */
const rules: { readonly [Op in TrainingOperator]?: GradientRule<Op> } = {
  conv: convGradient,
  'batch-norm-training': batchNormGradient,
  relu: reluGradient,
  relu6: relu6Gradient,
  'silu-training': siluGradient,
  'hard-swish': hardSwishGradient,
  sigmoid: sigmoidGradient,
  'hard-sigmoid': hardSigmoidGradient,
  'max-pool': maxPoolGradient,
  'average-pool': averagePoolGradient,
  'global-average-pool': globalAveragePoolGradient,
  concat: concatGradient,
  'space-to-depth': spaceToDepthGradient,
  add: addGradient,
  gate: gateGradient,
  flatten: flattenGradient,
  dense: denseGradient,
  embedding: embeddingGradient,
  'add-positions': addPositionsGradient,
  'layer-norm-training': layerNormGradient,
  gelu: geluGradient,
  multiply: multiplyGradient,
  'causal-attention-training': causalAttentionGradient,
  'drop-training': dropGradient,
};

/**
 * Gradients of a node's inputs from that of its first output.
 * @throws {Error} for a kind that is itself a derivative.
 */
export function applyRule(
  node: TrainingNode,
  gradient: string,
  context: GradientContext,
): readonly (string | undefined)[] {
  const rule = rules[node.op] as GradientRule<TrainingOperator> | undefined;
  if (!rule) throw new Error(`${node.name}: expected an operator with a gradient rule, got ${node.op}`);
  return rule(node, gradient, context);
}
