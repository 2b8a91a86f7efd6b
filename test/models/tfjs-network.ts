// oxlint-disable-next-line import/no-unassigned-import -- registers the kernels
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import type { Weights } from '../../models/graph.ts';
import type { Activation, NetworkSpec, SqueezeExcite, Stage } from '../../models/spec.ts';

// Networks in TensorFlow.js straight from the spec: shares nothing with the graph, its shapes or its padding, only
// the names of the weights. TensorFlow's own SAME padding, batch norms as they are, `[batch, height, width, channels]`.

tf.env().set('IS_TEST', true);
await tf.setBackend('cpu');

type Map4 = tf.Tensor4D;
interface Window {
  readonly stride?: number;
  readonly dilation?: number;
  /** Channels of a group; all when left out. */
  readonly groupWidth?: number;
}

/** Logits of a trained network, `[batch, classes]`. @param image `[batch, channels, resolution, resolution]`. */
export function tfjsLogits(spec: NetworkSpec, weights: Weights, image: Float32Array): Float32Array {
  const { channels, resolution } = spec.input;
  return tf.tidy(() => {
    const batch = image.length / (channels * resolution ** 2);
    const input = tf.transpose(tf.tensor4d(image, [batch, channels, resolution, resolution]), [0, 2, 3, 1]);
    return new TfjsNetwork(spec, weights).run(input).dataSync<'float32'>();
  });
}

const activations: Readonly<Record<Activation | 'sigmoid' | 'hard-sigmoid', (x: Map4) => Map4>> = {
  relu: (x) => tf.relu(x),
  relu6: (x) => tf.relu6(x),
  silu: (x) => tf.mul(x, tf.sigmoid(x)),
  'hard-swish': (x) => tf.mul(x, tf.div(tf.relu6(tf.add(x, 3)), 6)),
  sigmoid: (x) => tf.sigmoid(x),
  'hard-sigmoid': (x) => tf.div(tf.relu6(tf.add(x, 3)), 6),
};

class TfjsNetwork {
  readonly #spec: NetworkSpec;
  readonly #weights: Weights;

  constructor(spec: NetworkSpec, weights: Weights) {
    this.#spec = spec;
    this.#weights = weights;
  }

  run(image: Map4): tf.Tensor2D {
    const { stem, stages, head, classes } = this.#spec;
    let x = stem.spaceToDepth ? spaceToDepth(image, stem.spaceToDepth) : image;
    x = activations[stem.activation](this.#convNorm(x, 'stem', { stride: stem.stride }));
    if (stem.maxPool) x = tf.maxPool(x, stem.maxPool.kernel, stem.maxPool.stride, 'same');

    let isHalved = false;
    for (const [index, stage] of stages.entries())
      for (let repeat = 0; repeat < stage.repeats; repeat++) {
        const name = `stage${index}.block${repeat}`;
        let stride = repeat === 0 ? stage.stride : 1;
        if (repeat === 0 && 'learnedSpaceToDepth' in stage && stage.learnedSpaceToDepth) {
          x = activations[stage.activation](this.#convNorm(x, `${name}.space-to-depth`, { stride: 2 }));
          isHalved = true;
        } else if (isHalved && stride === 2) {
          stride = 1;
          isHalved = false;
        }
        x = this.#block(x, name, { ...stage, stride });
      }

    if (head.width > 0) x = activations[head.activation](this.#convNorm(x, 'head', {}));
    let features: Map4 = tf.mean(x, [1, 2], true);
    if (head.pooling === 'average-max') features = tf.concat([features, tf.max<Map4>(x, [1, 2], true)], 3);
    if (head.hidden) features = activations[head.activation](this.#convBias(features, 'head.hidden'));
    const weight = tf.tensor2d(this.#weights.get('classifier.weight') as Float32Array, [features.shape[3], classes]);
    return tf.add(tf.matMul(tf.squeeze<tf.Tensor2D>(features, [1, 2]), weight), this.#vector('classifier.bias'));
  }

  #block(x: Map4, name: string, stage: Stage): Map4 {
    const { stride, dilation = 1, operator, activation } = stage;
    const act = activations[activation];
    switch (operator) {
      case 'mbconv': {
        let y = x;
        if (this.#weights.has(`${name}.expand.conv.weight`)) y = act(this.#convNorm(y, `${name}.expand`, {}));
        y = act(this.#convNorm(y, `${name}.depthwise`, { stride, dilation, groupWidth: 1 }));
        y = this.#squeezeExcite(y, name, stage.squeezeExcite, activation);
        y = this.#convNorm(y, `${name}.project`, {});
        return stage.skip && stride === 1 && sameShape(x, y) ? tf.add(x, y) : y;
      }
      case 'fused-mbconv': {
        const isLate = stage.strideAt === 'project';
        let y = act(this.#convNorm(x, `${name}.fused`, { stride: isLate ? 1 : stride, dilation }));
        y = this.#squeezeExcite(y, name, stage.squeezeExcite, activation);
        if (stage.expansion !== 1) y = this.#convNorm(y, `${name}.project`, { stride: isLate ? stride : 1 });
        return stage.skip && stride === 1 && sameShape(x, y) ? tf.add(x, y) : y;
      }
      case 'basic': {
        const first = act(this.#convNorm(x, `${name}.first`, { stride, dilation }));
        const second = this.#convNorm(first, `${name}.second`, { dilation });
        return act(tf.add(second, this.#shortcut(x, second, name, stage)));
      }
      case 'bottleneck': {
        let y = act(this.#convNorm(x, `${name}.reduce`, {}));
        y = act(this.#convNorm(y, `${name}.spatial`, { stride, dilation, groupWidth: stage.groupWidth }));
        y = this.#squeezeExcite(y, name, stage.squeezeExcite, activation);
        y = this.#convNorm(y, `${name}.expand`, {});
        return act(tf.add(y, this.#shortcut(x, y, name, stage)));
      }
      default:
        return operator satisfies never;
    }
  }

  #shortcut(x: Map4, branch: Map4, name: string, { stride, shortcut }: Extract<Stage, { shortcut: unknown }>): Map4 {
    if (stride === 1 && sameShape(x, branch)) return x;
    if (shortcut === 'convolution') return this.#convNorm(x, `${name}.shortcut`, { stride });
    return this.#convNorm(tf.avgPool(x, stride, stride, 'same'), `${name}.shortcut`, {});
  }

  #squeezeExcite(x: Map4, block: string, settings: SqueezeExcite, activation: Activation): Map4 {
    const name = `${block}.squeeze-excite`;
    if (!this.#weights.has(`${name}.squeeze.weight`)) return x;
    const form: Partial<Exclude<SqueezeExcite, number>> = typeof settings === 'number' ? {} : settings;
    const squeezed = this.#convBias(tf.mean(x, [1, 2], true), `${name}.squeeze`);
    const excited = this.#convBias(activations[form.activation ?? activation](squeezed), `${name}.excite`);
    return tf.mul(x, activations[form.gate ?? 'sigmoid'](excited));
  }

  #convNorm(x: Map4, name: string, window: Window): Map4 {
    const [scale, shift, mean, variance] = ['scale', 'shift', 'mean', 'variance'].map((part) =>
      this.#vector(`${name}.norm.${part}`),
    ) as [tf.Tensor1D, tf.Tensor1D, tf.Tensor1D, tf.Tensor1D];
    const y = this.#conv(x, `${name}.conv.weight`, scale.size, window);
    const deviation = tf.sqrt(tf.add(variance, this.#spec.batchNorm.epsilon));
    return tf.add(tf.mul(tf.div(tf.sub(y, mean), deviation), scale), shift);
  }

  #convBias(x: Map4, name: string): Map4 {
    const bias = this.#vector(`${name}.bias`);
    return tf.add(this.#conv(x, `${name}.weight`, bias.size, {}), bias);
  }

  #conv(x: Map4, name: string, width: number, { stride = 1, dilation = 1, groupWidth = x.shape[3] }: Window): Map4 {
    const values = this.#weights.get(name) as Float32Array;
    const kernel = Math.sqrt(values.length / (width * groupWidth));
    const filter = tf.tensor4d(values, [width, groupWidth, kernel, kernel]);
    if (groupWidth === 1 && width === x.shape[3])
      return tf.depthwiseConv2d(x, tf.transpose(filter, [2, 3, 0, 1]), stride, 'same', 'NHWC', dilation);
    const groups = x.shape[3] / groupWidth;
    const filters = tf.split(tf.transpose(filter, [2, 3, 1, 0]), groups, 3);
    const outputs = tf
      .split<Map4>(x, groups, 3)
      .map((part, group) => tf.conv2d(part, filters[group] as Map4, stride, 'same', 'NHWC', dilation));
    return tf.concat(outputs, 3);
  }

  #vector(name: string): tf.Tensor1D {
    return tf.tensor1d(this.#weights.get(name) as Float32Array);
  }
}

function sameShape(a: Map4, b: Map4): boolean {
  return a.shape.join() === b.shape.join();
}

/** Pixel (i, j) of every block becomes one smaller image, and these are stacked along the channels. */
function spaceToDepth(x: Map4, block: number): Map4 {
  const unpadded = [
    [0, 0],
    [0, 0],
  ];
  const images = tf.spaceToBatchND(x, [block, block], unpadded);
  return tf.concat(tf.split(images, block ** 2, 0), 3);
}
