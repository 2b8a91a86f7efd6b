import type { GradientRule } from './rule.ts';

/** y = x · w + b: dx = dy · wᵀ, dw = xᵀ · dy, db = Σ dy over the batch. */
export const denseGradient: GradientRule<'dense'> = (node, dy, context) => {
  const [x, weight, bias] = node.inputs as [string, string, string];
  return [
    context.wants(x)
      ? context.emit('dense-input-gradient', `${node.name}.dx`, [dy, weight], {}, context.shape(x))
      : undefined,
    context.emit('dense-weight-gradient', `${node.name}.dw`, [x, dy], {}, context.shape(weight)),
    context.emit('dense-bias-gradient', `${node.name}.db`, [dy], {}, context.shape(bias)),
  ];
};
