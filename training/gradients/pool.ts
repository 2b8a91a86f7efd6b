import type { GradientRule } from './rule.ts';

/** y = mean of x over height and width: dx = dy ÷ (h · w) everywhere. */
export const globalAveragePoolGradient: GradientRule<'global-average-pool'> = (node, dy, context) => {
  const shape = context.shape(node.inputs[0] as string);
  return [context.emit('global-average-pool-gradient', `${node.name}.dx`, [dy], {}, shape)];
};

/**
 * y = largest x of a window: dx = Σ dy over the windows that x wins. Where several values of a window
 * are the largest, the first in row-major order wins it, as in PyTorch and TensorFlow; sharing dy among
 * them would be as good a subgradient, but not the one others train with.
 */
export const maxPoolGradient: GradientRule<'max-pool'> = (node, dy, context) => {
  const [x] = node.inputs as [string];
  const [y] = node.outputs as [string];
  return [context.emit('max-pool-gradient', `${node.name}.dx`, [dy, x, y], node.attributes, context.shape(x))];
};

/** y = mean of a window's pixels: dx = Σ dy ÷ pixels of the window, padding left out, over the windows x is in. */
export const averagePoolGradient: GradientRule<'average-pool'> = (node, dy, context) => {
  const shape = context.shape(node.inputs[0] as string);
  return [context.emit('average-pool-gradient', `${node.name}.dx`, [dy], node.attributes, shape)];
};
