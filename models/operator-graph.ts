import type {
  DataType,
  Dimension,
  Graph,
  GraphNode,
  OperatorAttributes,
  Parameter,
  ParameterRole,
  Shape,
  TensorType,
} from './graph.ts';

/** A graph that grows operator by operator; each method returns the name of what it made. */
export class OperatorGraph {
  protected readonly batch: Dimension;
  readonly #inputs: TensorType[] = [];
  readonly #nodes: GraphNode[] = [];
  readonly #parameters: Parameter[] = [];
  readonly #tensors = new Map<string, TensorType>();

  constructor(batch: Dimension) {
    this.batch = batch;
  }

  finish(outputs: readonly string[]): Graph {
    return { inputs: this.#inputs, outputs, parameters: this.#parameters, nodes: this.#nodes, tensors: this.#tensors };
  }

  protected addInput(name: string, dtype: DataType, extents: readonly number[]): string {
    const tensor: TensorType = { name, dtype, shape: [this.batch, ...extents] };
    this.#inputs.push(tensor);
    this.#tensors.set(name, tensor);
    return name;
  }

  protected shape(tensor: string): Shape {
    const type = this.#tensors.get(tensor);
    if (!type) throw new Error(`no tensor named ${tensor}`);
    return type.shape;
  }

  /** Without the batch. */
  protected extents(tensor: string): number[] {
    return this.shape(tensor).slice(1) as number[];
  }

  /** @param group the layer that counts put it under. */
  protected addParameter(name: string, shape: readonly number[], role: ParameterRole, group: string): string {
    const parameter: Parameter = { name, dtype: 'float32', shape, role, group };
    this.#parameters.push(parameter);
    this.#tensors.set(name, parameter);
    return name;
  }

  protected add<Op extends keyof OperatorAttributes>(
    op: Op,
    name: string,
    inputs: readonly string[],
    attributes: OperatorAttributes[Op],
    shape: Shape,
  ): string {
    this.#nodes.push({ op, name, inputs, outputs: [name], attributes } as GraphNode);
    this.#tensors.set(name, { name, dtype: 'float32', shape });
    return name;
  }
}
