import type { GradientRule } from './rule.ts';

/** y = mean of x over height and width: dx = dy ÷ (h · w) everywhere. */
export const globalAveragePoolGradient: GradientRule<'global-average-pool'> = (node, dy, context) => {
  const shape = context.shape(node.inputs[0] as string);
  return [context.emit('global-average-pool-gradient', `${node.name}.dx`, [dy], {}, shape)];
};

/** y = a + b: both get dy. */
export const addGradient: GradientRule<'add'> = (_node, dy) => [dy, dy];

/** y = x · s, s constant over a plane: dx = dy · s, ds = Σ dy · x over the plane. */
export const gateGradient: GradientRule<'gate'> = (node, dy, context) => {
  const [x, s] = node.inputs as [string, string];
  const outputs = { [`${node.name}.dx`]: context.shape(x), [`${node.name}.ds`]: context.shape(s) };
  return context.emitMany('gate-gradient', `${node.name}.gradient`, [dy, x, s], {}, outputs);
};

/** The shape is put back. */
export const flattenGradient: GradientRule<'flatten'> = (node, dy, context) => [
  context.emit('flatten-gradient', `${node.name}.dx`, [dy], {}, context.shape(node.inputs[0] as string)),
];

/** The mask that scaled x scales dy. */
export const dropGradient: GradientRule<'drop-training'> = (node, dy, context) => [
  context.emit('drop-training', `${node.name}.dx`, [dy, node.inputs[1] as string], {}, context.shape(dy)),
  undefined,
];
