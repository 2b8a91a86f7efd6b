import type {
  Dimension,
  Graph,
  GraphNode,
  OperatorAttributes,
  Parameter,
  ParameterRole,
  Shape,
  TensorType,
} from './graph.ts';
import { samePads } from './shapes.ts';
import type { Activation, NetworkSpec, Stage } from './spec.ts';

/** Name of the image input of every network built here. */
export const imageInput = 'image';
/** Name of the output: unnormalised class scores, `[batch, classes]`. */
export const logitsOutput = 'logits';

/**
 * The network as a graph with fresh parameters: input `image` float32 `[batch, c, r, r]`, output
 * `logits` `[batch, classes]`.
 * @param batch fixed for training, `'batch'` (symbolic) for files that are shipped.
 */
export function buildNetwork(spec: NetworkSpec, batch: Dimension): Graph {
  const graph = new GraphBuilder(spec, batch);
  let x = graph.input(imageInput, [batch, spec.input.channels, spec.input.resolution, spec.input.resolution]);
  x = graph.convNorm('stem', x, { kernel: spec.stem.kernel, stride: spec.stem.stride, width: spec.stem.width });
  x = graph.activation('stem.activation', x, spec.stem.activation);

  const blocks = spec.stages.reduce((sum, stage) => sum + stage.repeats, 0);
  let block = 0;
  spec.stages.forEach((stage, stageIndex) => {
    for (let repeat = 0; repeat < stage.repeats; repeat++, block++) {
      const survival = 1 - ((1 - spec.survival) * (block + 1)) / blocks;
      const stride = repeat === 0 ? stage.stride : 1;
      x = buildBlock(graph, `stage${stageIndex}.block${repeat}`, x, { ...stage, stride }, survival);
    }
  });

  if (spec.head.width > 0) {
    x = graph.convNorm('head', x, { kernel: 1, stride: 1, width: spec.head.width });
    x = graph.activation('head.activation', x, spec.head.activation);
  }
  x = graph.unary('global-average-pool', 'head.pool', x);
  x = graph.unary('flatten', 'head.flatten', x);
  if (spec.head.dropout > 0) x = graph.drop('head.dropout', x, spec.head.dropout, 'element');
  x = graph.dense(logitsOutput, x, spec.classes);
  return graph.finish([x]);
}

function buildBlock(graph: GraphBuilder, name: string, input: string, block: Stage, survival: number): string {
  const inWidth = graph.channels(input);
  const expanded = Math.round(inWidth * block.expansion);
  const { kernel, stride, activation } = block;
  let x = input;
  if (block.operator === 'mbconv') {
    if (expanded !== inWidth) {
      x = graph.convNorm(`${name}.expand`, x, { kernel: 1, stride: 1, width: expanded });
      x = graph.activation(`${name}.expand.activation`, x, activation);
    }
    x = graph.convNorm(`${name}.depthwise`, x, { kernel, stride, width: expanded, groups: expanded });
    x = graph.activation(`${name}.depthwise.activation`, x, activation);
  } else {
    const width = block.expansion === 1 ? block.width : expanded;
    x = graph.convNorm(`${name}.fused`, x, { kernel, stride, width });
    x = graph.activation(`${name}.fused.activation`, x, activation);
  }
  if (block.squeezeExcite > 0) {
    const squeezed = Math.max(1, Math.floor(inWidth * block.squeezeExcite));
    x = squeezeExcite(graph, `${name}.squeeze-excite`, x, squeezed, activation);
  }
  if (block.operator === 'mbconv' || block.expansion !== 1)
    x = graph.convNorm(`${name}.project`, x, { kernel: 1, stride: 1, width: block.width });
  if (!block.skip || stride !== 1 || inWidth !== block.width) return x;
  if (survival < 1) x = graph.drop(`${name}.drop`, x, 1 - survival, 'example');
  return graph.binary('add', `${name}.residual`, x, input);
}

/** Squeeze-and-excitation (Hu et al. 2018): pool → 1×1 → activation → 1×1 → sigmoid → gate. */
function squeezeExcite(graph: GraphBuilder, name: string, x: string, squeezed: number, activation: Activation): string {
  let s = graph.unary('global-average-pool', `${name}.pool`, x);
  s = graph.conv(`${name}.squeeze`, s, { kernel: 1, stride: 1, width: squeezed, bias: true });
  s = graph.activation(`${name}.activation`, s, activation);
  s = graph.conv(`${name}.excite`, s, { kernel: 1, stride: 1, width: graph.channels(x), bias: true });
  s = graph.unary('sigmoid', `${name}.sigmoid`, s);
  return graph.binary('gate', `${name}.gate`, x, s);
}

interface ConvOptions {
  readonly kernel: number;
  readonly stride: number;
  readonly width: number;
  readonly groups?: number;
  readonly bias?: boolean;
}

/** Adds one operator at a time, inferring shapes and making parameters; each method returns the output's name. */
class GraphBuilder {
  readonly #spec: NetworkSpec;
  readonly #batch: Dimension;
  readonly #inputs: TensorType[] = [];
  readonly #nodes: GraphNode[] = [];
  readonly #parameters: Parameter[] = [];
  readonly #tensors = new Map<string, TensorType>();

  constructor(spec: NetworkSpec, batch: Dimension) {
    this.#spec = spec;
    this.#batch = batch;
  }

  input(name: string, shape: Shape): string {
    const tensor: TensorType = { name, dtype: 'float32', shape };
    this.#inputs.push(tensor);
    this.#tensors.set(name, tensor);
    return name;
  }

  channels(tensor: string): number {
    return this.#extents(tensor)[0] as number;
  }

  conv(name: string, x: string, { kernel, stride, width, groups = 1, bias = false }: ConvOptions): string {
    const [channels, height, breadth] = this.#extents(x) as [number, number, number];
    const { pads, out } = samePads(height, breadth, kernel, stride);
    const inputs = [x, this.#parameter(`${name}.weight`, [width, channels / groups, kernel, kernel], 'weight', name)];
    if (bias) inputs.push(this.#parameter(`${name}.bias`, [width], 'bias', name));
    return this.#add('conv', name, inputs, { stride, pads, groups }, [this.#batch, width, ...out]);
  }

  /** Convolution without bias, then batch norm. */
  convNorm(name: string, x: string, options: ConvOptions): string {
    return this.#batchNorm(`${name}.norm`, this.conv(`${name}.conv`, x, options));
  }

  #batchNorm(name: string, x: string): string {
    const width = this.channels(x);
    const roles: [string, ParameterRole][] = [
      ['scale', 'scale'],
      ['shift', 'shift'],
      ['mean', 'running-mean'],
      ['variance', 'running-variance'],
    ];
    const parameters = roles.map(([suffix, role]) => this.#parameter(`${name}.${suffix}`, [width], role, name));
    return this.#add('batch-norm', name, [x, ...parameters], this.#spec.batchNorm, this.#shape(x));
  }

  activation(name: string, x: string, activation: Activation): string {
    return this.#add(activation, name, [x], {}, this.#shape(x));
  }

  unary(op: 'global-average-pool' | 'flatten' | 'sigmoid', name: string, x: string): string {
    const channels = this.channels(x);
    const shapes = {
      'global-average-pool': [this.#batch, channels, 1, 1],
      flatten: [this.#batch, channels],
      sigmoid: this.#shape(x),
    };
    return this.#add(op, name, [x], {}, shapes[op]);
  }

  binary(op: 'add' | 'gate', name: string, a: string, b: string): string {
    return this.#add(op, name, [a, b], {}, this.#shape(a));
  }

  drop(name: string, x: string, rate: number, unit: 'element' | 'example'): string {
    return this.#add('drop', name, [x], { rate, unit }, this.#shape(x));
  }

  dense(name: string, x: string, width: number): string {
    const weight = this.#parameter('classifier.weight', [this.channels(x), width], 'weight', 'classifier');
    const bias = this.#parameter('classifier.bias', [width], 'bias', 'classifier');
    return this.#add('dense', name, [x, weight, bias], {}, [this.#batch, width]);
  }

  finish(outputs: readonly string[]): Graph {
    return { inputs: this.#inputs, outputs, parameters: this.#parameters, nodes: this.#nodes, tensors: this.#tensors };
  }

  #shape(tensor: string): Shape {
    const type = this.#tensors.get(tensor);
    if (!type) throw new Error(`no tensor named ${tensor}`);
    return type.shape;
  }

  #extents(tensor: string): number[] {
    return this.#shape(tensor).slice(1) as number[];
  }

  #parameter(name: string, shape: readonly number[], role: ParameterRole, layer: string): string {
    const parameter: Parameter = { name, dtype: 'float32', shape, role, group: layer };
    this.#parameters.push(parameter);
    this.#tensors.set(name, parameter);
    return name;
  }

  #add<Op extends keyof OperatorAttributes>(
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
