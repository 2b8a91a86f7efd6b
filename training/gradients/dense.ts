import type { GradientRule } from './rule.ts';

/** y = x · w + b: dx = dy · wᵀ, dw = xᵀ · dy, db = Σ dy over the rows; of a transposed w, dx = dy · w and dw = dyᵀ · x. */
export const denseGradient: GradientRule<'dense'> = (node, dy, context) => {
  const { attributes } = node;
  const [x, weight, bias] = node.inputs as [string, string, string | undefined];
  return [
    context.wants(x)
      ? context.emit('dense-input-gradient', `${node.name}.dx`, [dy, weight], attributes, context.shape(x))
      : undefined,
    context.emit('dense-weight-gradient', `${node.name}.dw`, [x, dy], attributes, context.shape(weight)),
    bias && context.emit('dense-bias-gradient', `${node.name}.db`, [dy], {}, context.shape(bias)),
  ];
};
