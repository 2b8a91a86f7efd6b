import type { OnnxModel, OnnxValue } from '../models/onnx.ts';
import type { PlainGraph } from './plain/graph.ts';
import type { TrainingGraph } from './training-graph.ts';

/** A step with its nodes in the order in which they are to run. */
export type OrderedStep = Pick<OnnxModel, 'inputs' | 'outputs' | 'initializers' | 'nodes'>;

/**
 * A way to turn the nodes of a training graph into ONNX nodes. All lowerings compute the same values;
 * they differ in how tensors lie in memory and in which operators they use.
 */
export interface Lowering {
  readonly id: string;
  /** Lowers every node. @returns a graph that can give every tensor's value, and what it must be fed. */
  lower(graph: TrainingGraph): { readonly plain: PlainGraph; readonly inputs: readonly OnnxValue[] };
  /** The same step in operators that a provider has kernels for; nothing is replaced when absent. */
  replace?(step: OrderedStep): OrderedStep;
}
