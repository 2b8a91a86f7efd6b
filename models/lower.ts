import type { Graph, GraphNode, TensorType } from './graph.ts';
import { lowerAttention, lowerGelu, lowerLayerNorm, lowerRmsNorm } from './lower-sequence.ts';
import { scalarNode } from './onnx-constant.ts';
import type { OnnxNode } from './onnx.ts';

/**
 * The inference meaning of every operator in standard ONNX (opset 17), readable by any runtime.
 * Expects a graph without training-only behaviour: `drop` is the identity here.
 */
export function lowerInference(graph: Graph): OnnxNode[] {
  return graph.nodes.flatMap((node) => lowerNode(node, graph.tensors));
}

/** One operator as ONNX nodes; intermediate values are named below the node. */
export function lowerNode(node: GraphNode, tensors: ReadonlyMap<string, TensorType>): OnnxNode[] {
  const { name, inputs, outputs } = node;
  switch (node.op) {
    case 'conv': {
      const kernel = tensors.get(inputs[1] as string)?.shape.slice(2) as number[];
      const { stride, pads, groups, dilation } = node.attributes;
      const attributes = {
        kernel_shape: { ints: kernel },
        strides: { ints: [stride, stride] },
        pads: { ints: pads },
        group: { int: groups },
        dilations: { ints: [dilation, dilation] },
      };
      return [{ opType: 'Conv', name, inputs, outputs, attributes }];
    }
    case 'batch-norm':
      return [
        {
          opType: 'BatchNormalization',
          name,
          inputs,
          outputs,
          attributes: { epsilon: { float: node.attributes.epsilon } },
        },
      ];
    case 'relu':
      return [{ opType: 'Relu', name, inputs, outputs }];
    case 'relu6': {
      const [low, high] = [`${name}.0`, `${name}.6`];
      return [
        scalarNode(low, 0),
        scalarNode(high, 6),
        { opType: 'Clip', name, inputs: [...inputs, low, high], outputs },
      ];
    }
    case 'hard-swish':
      return [{ opType: 'HardSwish', name, inputs, outputs }];
    case 'hard-sigmoid':
      return [
        { opType: 'HardSigmoid', name, inputs, outputs, attributes: { alpha: { float: 1 / 6 }, beta: { float: 0.5 } } },
      ];
    case 'sigmoid':
      return [{ opType: 'Sigmoid', name, inputs, outputs }];
    case 'silu': {
      const gate = `${name}.sigmoid`;
      return [
        { opType: 'Sigmoid', name: gate, inputs, outputs: [gate] },
        { opType: 'Mul', name, inputs: [inputs[0] as string, gate], outputs },
      ];
    }
    case 'global-average-pool':
      return [{ opType: 'GlobalAveragePool', name, inputs, outputs }];
    case 'max-pool':
    case 'average-pool': {
      const { kernel, stride, pads } = node.attributes;
      const attributes = {
        kernel_shape: { ints: [kernel, kernel] },
        strides: { ints: [stride, stride] },
        pads: { ints: pads },
      };
      return [{ opType: node.op === 'max-pool' ? 'MaxPool' : 'AveragePool', name, inputs, outputs, attributes }];
    }
    case 'concat':
      return [{ opType: 'Concat', name, inputs, outputs, attributes: { axis: { int: 1 } } }];
    case 'space-to-depth':
      return [
        { opType: 'SpaceToDepth', name, inputs, outputs, attributes: { blocksize: { int: node.attributes.block } } },
      ];
    case 'add':
      return [{ opType: 'Add', name, inputs, outputs }];
    case 'gate':
      return [{ opType: 'Mul', name, inputs, outputs }];
    case 'flatten':
      return [{ opType: 'Flatten', name, inputs, outputs, attributes: { axis: { int: 1 } } }];
    case 'dense':
      return lowerDense(node, tensors);
    case 'embedding':
      return [{ opType: 'Gather', name, inputs: inputs.toReversed(), outputs, attributes: { axis: { int: 0 } } }];
    case 'add-positions':
      return [{ opType: 'Add', name, inputs, outputs }];
    case 'layer-norm':
      return node.attributes.centred ? [lowerLayerNorm(node)] : lowerRmsNorm(node);
    case 'gelu':
      return lowerGelu(node);
    case 'multiply':
      return [{ opType: 'Mul', name, inputs, outputs }];
    case 'causal-attention':
      return lowerAttention(node, tensors);
    case 'drop':
      return [{ opType: 'Identity', name, inputs, outputs }];
    default:
      return node satisfies never;
  }
}

/** A classifier is one product and sum; over sequences, whose batch may be symbolic, they are two. */
function lowerDense(
  { name, inputs, outputs, attributes }: Extract<GraphNode, { op: 'dense' }>,
  tensors: ReadonlyMap<string, TensorType>,
): OnnxNode[] {
  const [x, weight, bias] = inputs as [string, string, string | undefined];
  if (tensors.get(x)?.shape.length === 2)
    return [
      { opType: 'Gemm', name, inputs, outputs, ...(attributes.transposed && { attributes: { transB: { int: 1 } } }) },
    ];
  const nodes: OnnxNode[] = [];
  let matrix = weight;
  if (attributes.transposed) {
    matrix = `${name}.matrix`;
    nodes.push({
      opType: 'Transpose',
      name: matrix,
      inputs: [weight],
      outputs: [matrix],
      attributes: { perm: { ints: [1, 0] } },
    });
  }
  if (bias === undefined) return [...nodes, { opType: 'MatMul', name, inputs: [x, matrix], outputs }];
  const product = `${name}.product`;
  return [
    ...nodes,
    { opType: 'MatMul', name: product, inputs: [x, matrix], outputs: [product] },
    { opType: 'Add', name, inputs: [product, bias], outputs },
  ];
}
