import type { GradientRule } from './rule.ts';

/** dx = dy where y > 0, else 0 (the subgradient 0 is taken at 0). */
export const reluGradient: GradientRule<'relu'> = (node, dy, context) => [
  context.emit('relu-gradient', `${node.name}.dx`, [dy, node.outputs[0] as string], {}, context.shape(dy)),
];

/** y = x · g with g = sigmoid(x): dx = dy · (g + y · (1 − g)). @see Ramachandran et al. (2017), "Swish", eq. 4. */
export const siluGradient: GradientRule<'silu-training'> = (node, dy, context) => [
  context.emit('silu-gradient', `${node.name}.dx`, [dy, ...node.outputs], {}, context.shape(dy)),
];

/** dx = dy · y · (1 − y) */
export const sigmoidGradient: GradientRule<'sigmoid'> = (node, dy, context) => [
  context.emit('sigmoid-gradient', `${node.name}.dx`, [dy, node.outputs[0] as string], {}, context.shape(dy)),
];
