import type { GradientRule } from './rule.ts';

/** dx = dy where y > 0, else 0 (the subgradient 0 is taken at 0). */
export const reluGradient: GradientRule<'relu'> = (node, dy, context) => [
  context.emit('relu-gradient', `${node.name}.dx`, [dy, node.outputs[0] as string], {}, context.shape(dy)),
];

/** dx = dy where 0 < y < 6, else 0: both kinks take the subgradient 0. */
export const relu6Gradient: GradientRule<'relu6'> = (node, dy, context) => [
  context.emit('relu6-gradient', `${node.name}.dx`, [dy, node.outputs[0] as string], {}, context.shape(dy)),
];

/** y = x · g with g = sigmoid(x): dx = dy · (g + y · (1 − g)). @see Ramachandran et al. (2017), "Swish", eq. 4. */
export const siluGradient: GradientRule<'silu-training'> = (node, dy, context) => [
  context.emit('silu-gradient', `${node.name}.dx`, [dy, ...node.outputs], {}, context.shape(dy)),
];

/** dx = dy · y · (1 − y) */
export const sigmoidGradient: GradientRule<'sigmoid'> = (node, dy, context) => [
  context.emit('sigmoid-gradient', `${node.name}.dx`, [dy, node.outputs[0] as string], {}, context.shape(dy)),
];

/**
 * y = x · g with g = hard-sigmoid(x): dx = dy · (g + x · g′), g′ = 1 ÷ 6 where 0 < g < 1, else 0. That is
 * 0 up to −3, (2x + 3) ÷ 6 between and 1 from 3; y has one value at two x, so the rule reads x.
 * @see Howard et al. (2019), "Searching for MobileNetV3", section 5.2.
 */
export const hardSwishGradient: GradientRule<'hard-swish'> = (node, dy, context) => [
  context.emit('hard-swish-gradient', `${node.name}.dx`, [dy, node.inputs[0] as string], {}, context.shape(dy)),
];

/** y = x · Φ(x): dx = dy · (Φ(x) + x · φ(x)), φ the normal density. @see Hendrycks & Gimpel (2016), section 2. */
export const geluGradient: GradientRule<'gelu'> = (node, dy, context) => [
  context.emit('gelu-gradient', `${node.name}.dx`, [dy, node.inputs[0] as string], {}, context.shape(dy)),
];

/** dx = dy ÷ 6 where 0 < y < 1, else 0. */
export const hardSigmoidGradient: GradientRule<'hard-sigmoid'> = (node, dy, context) => [
  context.emit('hard-sigmoid-gradient', `${node.name}.dx`, [dy, node.outputs[0] as string], {}, context.shape(dy)),
];
