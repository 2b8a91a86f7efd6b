import type { GraphNode, TensorType } from './graph.ts';
import { intsNode, scalarNode } from './onnx-constant.ts';
import type { OnnxNode } from './onnx.ts';

// Operators over sequences in standard ONNX (opset 17). The batch may be symbolic: a 0 in a `Reshape` keeps it.

type NodeOf<Op extends GraphNode['op']> = Extract<GraphNode, { op: Op }>;

export function lowerLayerNorm({ name, inputs, outputs, attributes }: NodeOf<'layer-norm'>): OnnxNode {
  const settings = { axis: { int: -1 }, epsilon: { float: attributes.epsilon } };
  return { opType: 'LayerNormalization', name, inputs, outputs, attributes: settings };
}

/** x ÷ √(mean x² + ε) · scale: opset 17 has no operator of its own for it. */
export function lowerRmsNorm({ name, inputs, outputs, attributes }: NodeOf<'layer-norm'>): OnnxNode[] {
  const [x, scale] = inputs as [string, string];
  const step = (suffix: string): string => `${name}.${suffix}`;
  const mean = { axes: { ints: [-1] }, keepdims: { int: 1 } };
  return [
    { opType: 'Mul', name: step('square'), inputs: [x, x], outputs: [step('square')] },
    { opType: 'ReduceMean', name: step('mean'), inputs: [step('square')], outputs: [step('mean')], attributes: mean },
    scalarNode(step('epsilon'), attributes.epsilon),
    { opType: 'Add', name: step('sum'), inputs: [step('mean'), step('epsilon')], outputs: [step('sum')] },
    { opType: 'Sqrt', name: step('root'), inputs: [step('sum')], outputs: [step('root')] },
    { opType: 'Div', name: step('normalised'), inputs: [x, step('root')], outputs: [step('normalised')] },
    { opType: 'Mul', name, inputs: [step('normalised'), scale], outputs },
  ];
}

/** x · ½ (1 + erf(x ÷ √2)), which runtimes recognise. */
export function lowerGelu({ name, inputs, outputs }: NodeOf<'gelu'>): OnnxNode[] {
  const [x] = inputs as [string];
  const step = (suffix: string): string => `${name}.${suffix}`;
  return [
    scalarNode(step('root2'), Math.SQRT2),
    scalarNode(step('one'), 1),
    scalarNode(step('half'), 0.5),
    { opType: 'Div', name: step('scaled'), inputs: [x, step('root2')], outputs: [step('scaled')] },
    { opType: 'Erf', name: step('erf'), inputs: [step('scaled')], outputs: [step('erf')] },
    { opType: 'Add', name: step('sum'), inputs: [step('erf'), step('one')], outputs: [step('sum')] },
    { opType: 'Mul', name: step('product'), inputs: [x, step('sum')], outputs: [step('product')] },
    { opType: 'Mul', name, inputs: [step('product'), step('half')], outputs },
  ];
}

/** Scores that a position must not see; its exponential is 0. */
export const masked = -1e9;

export function lowerAttention(
  { name, inputs, outputs, attributes: { heads } }: NodeOf<'causal-attention'>,
  tensors: ReadonlyMap<string, TensorType>,
): OnnxNode[] {
  const [q, k, v] = inputs as [string, string, string];
  const { shape } = tensors.get(q) as TensorType;
  const [, positions, width] = shape as [number, number, number];
  const step = (suffix: string): string => `${name}.${suffix}`;
  const toHeads = (what: string, x: string, perm: readonly number[]): OnnxNode[] => [
    { opType: 'Reshape', name: step(`${what}-heads`), inputs: [x, step('heads')], outputs: [step(`${what}-heads`)] },
    {
      opType: 'Transpose',
      name: step(what),
      inputs: [step(`${what}-heads`)],
      outputs: [step(what)],
      attributes: { perm: { ints: perm } },
    },
  ];
  return [
    intsNode(step('heads'), [0, positions, heads, width / heads]),
    intsNode(step('joined'), [0, positions, width]),
    intsNode(step('square'), [positions, positions]),
    scalarNode(step('scale'), Math.sqrt(heads / width)),
    scalarNode(step('masked'), masked),
    intsNode(step('first'), [1]),
    ...toHeads('q', q, [0, 2, 1, 3]),
    ...toHeads('k', k, [0, 2, 3, 1]),
    ...toHeads('v', v, [0, 2, 1, 3]),
    {
      opType: 'Expand',
      name: step('everywhere'),
      inputs: [step('masked'), step('square')],
      outputs: [step('everywhere')],
    },
    { opType: 'Trilu', name: step('mask'), inputs: [step('everywhere'), step('first')], outputs: [step('mask')] },
    { opType: 'MatMul', name: step('products'), inputs: [step('q'), step('k')], outputs: [step('products')] },
    { opType: 'Mul', name: step('scores'), inputs: [step('products'), step('scale')], outputs: [step('scores')] },
    { opType: 'Add', name: step('seen'), inputs: [step('scores'), step('mask')], outputs: [step('seen')] },
    {
      opType: 'Softmax',
      name: step('shares'),
      inputs: [step('seen')],
      outputs: [step('shares')],
      attributes: { axis: { int: -1 } },
    },
    { opType: 'MatMul', name: step('mixed'), inputs: [step('shares'), step('v')], outputs: [step('mixed')] },
    {
      opType: 'Transpose',
      name: step('rows'),
      inputs: [step('mixed')],
      outputs: [step('rows')],
      attributes: { perm: { ints: [0, 2, 1, 3] } },
    },
    { opType: 'Reshape', name, inputs: [step('rows'), step('joined')], outputs },
  ];
}
