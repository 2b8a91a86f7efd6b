import type { TrainingNode, TrainingOperator } from '../training-graph.ts';
import { reluGradient, sigmoidGradient, siluGradient } from './activations.ts';
import { batchNormGradient } from './batch-norm.ts';
import { convGradient } from './conv.ts';
import { denseGradient } from './dense.ts';
import type { GradientContext, GradientRule } from './rule.ts';
import { addGradient, dropGradient, flattenGradient, gateGradient, globalAveragePoolGradient } from './structure.ts';

/** The rule of every operator a training forward pass is made of. */
const rules: { readonly [Op in TrainingOperator]?: GradientRule<Op> } = {
  conv: convGradient,
  'batch-norm-training': batchNormGradient,
  relu: reluGradient,
  'silu-training': siluGradient,
  sigmoid: sigmoidGradient,
  'global-average-pool': globalAveragePoolGradient,
  add: addGradient,
  gate: gateGradient,
  flatten: flattenGradient,
  dense: denseGradient,
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
