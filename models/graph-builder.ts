import type { Dimension, OperatorAttributes, ParameterRole } from './graph.ts';
import { OperatorGraph } from './operator-graph.ts';
import { samePads } from './shapes.ts';
import type { Activation } from './spec.ts';

/** A convolution; padding is SAME. */
export interface ConvOptions {
  readonly kernel: number;
  readonly stride: number;
  /** Output channels. */
  readonly width: number;
  /** Default 1. */
  readonly groups?: number;
  /** Default 1. */
  readonly dilation?: number;
  /** Default false: a batch norm follows. */
  readonly bias?: boolean;
}

/** Operators with one input whose output has its shape. */
type ElementWise = Activation | 'sigmoid' | 'hard-sigmoid';

/** Adds one operator at a time, inferring shapes and making parameters; each method returns the output's name. */
export class GraphBuilder extends OperatorGraph {
  readonly #batchNorm: OperatorAttributes['batch-norm'];

  /** @param batchNorm of every batch norm. */
  constructor(batch: Dimension, batchNorm: OperatorAttributes['batch-norm']) {
    super(batch);
    this.#batchNorm = batchNorm;
  }

  input(name: string, channels: number, resolution: number): string {
    return this.addInput(name, 'float32', [channels, resolution, resolution]);
  }

  channels(tensor: string): number {
    return this.extents(tensor)[0] as number;
  }

  conv(name: string, x: string, options: ConvOptions): string {
    const { kernel, stride, width, groups = 1, dilation = 1, bias = false } = options;
    const [channels, height, breadth] = this.extents(x) as [number, number, number];
    const { pads, out } = samePads(height, breadth, kernel, stride, dilation);
    const inputs = [x, this.addParameter(`${name}.weight`, [width, channels / groups, kernel, kernel], 'weight', name)];
    if (bias) inputs.push(this.addParameter(`${name}.bias`, [width], 'bias', name));
    return this.add('conv', name, inputs, { stride, pads, groups, dilation }, [this.batch, width, ...out]);
  }

  /** Convolution without bias, then batch norm; the two stay neighbours, which folding relies on. */
  convNorm(name: string, x: string, options: ConvOptions): string {
    const conv = this.conv(`${name}.conv`, x, options);
    const norm = `${name}.norm`;
    const roles: [string, ParameterRole][] = [
      ['scale', 'scale'],
      ['shift', 'shift'],
      ['mean', 'running-mean'],
      ['variance', 'running-variance'],
    ];
    const parameters = roles.map(([suffix, role]) =>
      this.addParameter(`${norm}.${suffix}`, [options.width], role, norm),
    );
    return this.add('batch-norm', norm, [conv, ...parameters], this.#batchNorm, this.shape(conv));
  }

  /** {@link convNorm}, then the activation, called `<name>.activation`. */
  convNormActivation(name: string, x: string, options: ConvOptions, activation: Activation): string {
    return this.elementWise(activation, `${name}.activation`, this.convNorm(name, x, options));
  }

  elementWise(op: ElementWise, name: string, x: string): string {
    return this.add(op, name, [x], {}, this.shape(x));
  }

  binary(op: 'add' | 'gate', name: string, a: string, b: string): string {
    return this.add(op, name, [a, b], {}, this.shape(a));
  }

  drop(name: string, x: string, rate: number, unit: 'element' | 'example'): string {
    return this.add('drop', name, [x], { rate, unit }, this.shape(x));
  }

  /** A pooling window with SAME padding. */
  pool(op: 'max-pool' | 'average-pool', name: string, x: string, kernel: number, stride: number): string {
    const [channels, height, breadth] = this.extents(x) as [number, number, number];
    const { pads, out } = samePads(height, breadth, kernel, stride);
    return this.add(op, name, [x], { kernel, stride, pads }, [this.batch, channels, ...out]);
  }

  /** The mean of each plane. */
  globalAverage(name: string, x: string): string {
    return this.add('global-average-pool', name, [x], {}, [this.batch, this.channels(x), 1, 1]);
  }

  /** The maximum of each plane, which is square. */
  globalMax(name: string, x: string): string {
    const side = this.extents(x)[1] as number;
    return this.pool('max-pool', name, x, side, side);
  }

  concat(name: string, parts: readonly string[]): string {
    const channels = parts.reduce((sum, part) => sum + this.channels(part), 0);
    const [, ...plane] = this.extents(parts[0] as string);
    return this.add('concat', name, parts, {}, [this.batch, channels, ...plane]);
  }

  /** Height and width must be multiples of `block`. */
  spaceToDepth(name: string, x: string, block: number): string {
    const [channels, height, breadth] = this.extents(x) as [number, number, number];
    const shape = [this.batch, channels * block ** 2, height / block, breadth / block];
    return this.add('space-to-depth', name, [x], { block }, shape);
  }

  flatten(name: string, x: string): string {
    return this.add('flatten', name, [x], {}, [this.batch, this.channels(x)]);
  }

  /** Parameters are called `classifier.weight` and `classifier.bias`. */
  dense(name: string, x: string, width: number): string {
    const weight = this.addParameter('classifier.weight', [this.channels(x), width], 'weight', 'classifier');
    const bias = this.addParameter('classifier.bias', [width], 'bias', 'classifier');
    return this.add('dense', name, [x, weight, bias], {}, [this.batch, width]);
  }
}
