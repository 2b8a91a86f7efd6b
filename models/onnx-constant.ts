import type { OnnxNode } from './onnx.ts';

/** A float32 scalar as a node, so that a lowered operator needs no stored tensor. */
export function scalarNode(name: string, value: number): OnnxNode {
  return { opType: 'Constant', name, inputs: [], outputs: [name], attributes: { value_float: { float: value } } };
}

/** A vector of whole numbers as a node: a tensor, which every shape inference reads. */
export function intsNode(name: string, values: readonly number[]): OnnxNode {
  const tensor = { dims: [values.length], data: BigInt64Array.from(values, BigInt) };
  return { opType: 'Constant', name, inputs: [], outputs: [name], attributes: { value: { tensor } } };
}
