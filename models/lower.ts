import type { Graph, GraphNode, TensorType } from './graph.ts';
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
      const { stride, pads, groups } = node.attributes;
      const attributes = {
        kernel_shape: { ints: kernel },
        strides: { ints: [stride, stride] },
        pads: { ints: pads },
        group: { int: groups },
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
    case 'add':
      return [{ opType: 'Add', name, inputs, outputs }];
    case 'gate':
      return [{ opType: 'Mul', name, inputs, outputs }];
    case 'flatten':
      return [{ opType: 'Flatten', name, inputs, outputs, attributes: { axis: { int: 1 } } }];
    case 'dense':
      return [{ opType: 'Gemm', name, inputs, outputs }];
    case 'drop':
      return [{ opType: 'Identity', name, inputs, outputs }];
    default:
      return node satisfies never;
  }
}
