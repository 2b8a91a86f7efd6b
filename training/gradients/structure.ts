import type { GradientRule } from './rule.ts';

/** y = the inputs one after the other along the channels: each gets its own channels of dy. */
export const concatGradient: GradientRule<'concat'> = (node, dy, context) => {
  const parts = node.inputs.map((input, index) => [`${node.name}.dx${index}`, context.shape(input)] as const);
  return context.emitMany('concat-gradient', `${node.name}.gradient`, [dy], {}, Object.fromEntries(parts));
};

/** A permutation: its inverse, depth to space. */
export const spaceToDepthGradient: GradientRule<'space-to-depth'> = (node, dy, context) => {
  const shape = context.shape(node.inputs[0] as string);
  return [context.emit('space-to-depth-gradient', `${node.name}.dx`, [dy], node.attributes, shape)];
};

/** y = a + b: both get dy. */
export const addGradient: GradientRule<'add'> = (_node, dy) => [dy, dy];

/** y = a · b, element by element: da = dy · b, db = dy · a. */
export const multiplyGradient: GradientRule<'multiply'> = (node, dy, context) => {
  const [a, b] = node.inputs as [string, string];
  return [
    context.emit('multiply', `${node.name}.da`, [dy, b], {}, context.shape(a)),
    context.emit('multiply', `${node.name}.db`, [dy, a], {}, context.shape(b)),
  ];
};

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
