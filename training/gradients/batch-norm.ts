import type { GradientRule } from './rule.ts';

/**
 * With x̂ = (x − mean) ÷ deviation over the m values of a channel, y = scale · x̂ + shift:
 * dshift = Σ dy, dscale = Σ dy · x̂, dx = scale ÷ deviation · (dy − dshift ÷ m − x̂ · dscale ÷ m).
 * @see Ioffe & Szegedy (2015), "Batch Normalization", section 3 (the sums collected).
 */
export const batchNormGradient: GradientRule<'batch-norm-training'> = (node, dy, context) => {
  const [x, scale, shift] = node.inputs as [string, string, string];
  const [, mean, inverseDeviation] = node.outputs as [string, string, string];
  return context.emitMany(
    'batch-norm-gradient',
    `${node.name}.gradient`,
    [dy, x, scale, mean, inverseDeviation],
    {},
    {
      [`${node.name}.dx`]: context.shape(x),
      [`${node.name}.dscale`]: context.shape(scale),
      [`${node.name}.dshift`]: context.shape(shift),
    },
  );
};
