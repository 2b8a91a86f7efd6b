import type { GradientRule } from './rule.ts';

/**
 * y = w ⋆ x + b, group by group. dx is the transposed convolution of dy by w; dw the correlation of x
 * with dy, dy spread by the stride and read at steps of the dilation; db the sum of dy over batch and space.
 * @see Dumoulin & Visin (2016), "A guide to convolution arithmetic", section 4.
 */
export const convGradient: GradientRule<'conv'> = (node, dy, context) => {
  const { name, attributes } = node;
  const [x, weight, bias] = node.inputs as [string, string, string | undefined];
  return [
    context.wants(x)
      ? context.emit('conv-input-gradient', `${name}.dx`, [dy, weight], attributes, context.shape(x))
      : undefined,
    context.emit('conv-weight-gradient', `${name}.dw`, [x, dy], attributes, context.shape(weight)),
    bias && context.emit('conv-bias-gradient', `${name}.db`, [dy], {}, context.shape(bias)),
  ];
};
