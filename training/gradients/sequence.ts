import type { GradientRule } from './rule.ts';

/** y = w[tokens]: a row of dw is the sum of dy where its token stands. Tokens have no gradient. */
export const embeddingGradient: GradientRule<'embedding'> = (node, dy, context) => {
  const [tokens, weight] = node.inputs as [string, string];
  return [undefined, context.emit('embedding-gradient', `${node.name}.dw`, [tokens, dy], {}, context.shape(weight))];
};

/** y = x + w, w the same for every example: dx = dy, dw = Σ dy over the batch. */
export const addPositionsGradient: GradientRule<'add-positions'> = (node, dy, context) => {
  const positions = context.shape(node.inputs[1] as string);
  return [dy, context.emit('add-positions-gradient', `${node.name}.dw`, [dy], {}, positions)];
};

/**
 * With x̂ the normalised x, r = 1 ÷ deviation and g = dy · scale: dshift = Σ dy, dscale = Σ dy · x̂ over the rows,
 * dx = r · (g − mean g − x̂ · mean (g · x̂)), means over the last axis; without centring mean g is left out.
 * @see Ba et al. (2016), "Layer normalization", section 3; Zhang & Sennrich (2019), "Root mean square layer normalization", section 4.2.
 */
export const layerNormGradient: GradientRule<'layer-norm-training'> = (node, dy, context) => {
  const [x, scale, shift] = node.inputs as [string, string, string | undefined];
  const [, normalised, inverseDeviation] = node.outputs as [string, string, string];
  const { centred } = node.attributes;
  return context.emitMany(
    'layer-norm-gradient',
    `${node.name}.gradient`,
    [dy, scale, normalised, inverseDeviation],
    { centred },
    {
      [`${node.name}.dx`]: context.shape(x),
      [`${node.name}.dscale`]: context.shape(scale),
      ...(shift && { [`${node.name}.dshift`]: context.shape(shift) }),
    },
  );
};

/**
 * Head by head, with P the shares, S the scores and c = √(width ÷ heads): dv = Pᵀ · dy, dP = dy · vᵀ,
 * dS = P ∘ (dP − Σ dP ∘ P along each row), dq = dS · k ÷ c, dk = dSᵀ · q ÷ c. Shares of 0 pass nothing on.
 * @see Vaswani et al. (2017), "Attention is all you need", eq. 1, differentiated.
 */
export const causalAttentionGradient: GradientRule<'causal-attention-training'> = (node, dy, context) => {
  const [q, k, v] = node.inputs as [string, string, string];
  const shares = node.outputs[1] as string;
  return context.emitMany(
    'causal-attention-gradient',
    `${node.name}.gradient`,
    [dy, q, k, v, shares],
    node.attributes,
    {
      [`${node.name}.dq`]: context.shape(q),
      [`${node.name}.dk`]: context.shape(k),
      [`${node.name}.dv`]: context.shape(v),
    },
  );
};
