/** A decoder-only transformer that can be built: whole layers and heads. */
export interface TransformerShape {
  readonly layers: number;
  /** Model width d, the heads' widths together. */
  readonly width: number;
  readonly heads: number;
  /** Hidden width f of the feed-forward block. */
  readonly feedForward: number;
  /** Gated (SwiGLU): three feed-forward matrices instead of two. */
  readonly gated: boolean;
  readonly vocabulary: number;
  /** Sequence length in tokens. */
  readonly context: number;
  /** The output head shares the embedding's matrix. */
  readonly tiedHead: boolean;
  /** A learned vector for each position. */
  readonly learnedPositions: boolean;
  readonly biases: boolean;
}

/** Parameters of a transformer in groups. The groups sum to `total`. */
export interface TransformerParams {
  readonly embedding: number;
  readonly positions: number;
  readonly attention: number;
  readonly feedForward: number;
  readonly norms: number;
  /** 0 where it shares the embedding. */
  readonly head: number;
  readonly total: number;
  /** Without embedding, positions and head: what Kaplan et al. (2020) call N. */
  readonly nonEmbedding: number;
}

/** Trainable scalars. Norms have a scale, and a shift where there are biases. GPT-2's smallest: 124,337,664 without biases, 124,439,808 with. */
export function transformerParams(shape: TransformerShape): TransformerParams {
  const { layers, width, feedForward: hidden, vocabulary } = shape;
  const matrices = shape.gated ? 3 : 2;
  const bias = shape.biases ? 1 : 0;
  const embedding = vocabulary * width;
  const positions = shape.learnedPositions ? shape.context * width : 0;
  const attention = layers * (4 * width * width + bias * 4 * width);
  const feedForward = layers * (matrices * width * hidden + bias * ((matrices - 1) * hidden + width));
  const norms = (2 * layers + 1) * width * (1 + bias);
  const head = shape.tiedHead ? 0 : vocabulary * width;
  const nonEmbedding = attention + feedForward + norms;
  return {
    embedding,
    positions,
    attention,
    feedForward,
    norms,
    head,
    nonEmbedding,
    total: embedding + positions + nonEmbedding + head,
  };
}

/**
 * FLOPs of one forward pass over one sequence of `context` tokens, 2 a multiply-add: matrix products only, the head included,
 * full (not causal) attention scores. Training costs three times as much.
 */
export function forwardFlops(shape: TransformerShape): number {
  const { layers, width, context, feedForward, vocabulary } = shape;
  const projections = 2 * context * width * (4 * width);
  const scores = 4 * context * context * width;
  const hidden = 2 * context * width * feedForward * (shape.gated ? 3 : 2);
  return layers * (projections + scores + hidden) + 2 * context * width * vocabulary;
}

/**
 * FLOPs of training on one sequence as MosaicML counts them for its utilisation: 6·N·s + 12·L·d·s², N all parameters.
 * Recomputed activations are not counted.
 */
export function mosaicFlops(shape: TransformerShape): number {
  const { layers, width, context } = shape;
  return 6 * transformerParams(shape).total * context + 12 * layers * width * context * context;
}

/** What every shape of a search shares. */
export type ShapeStyle = Pick<
  TransformerShape,
  'gated' | 'vocabulary' | 'context' | 'tiedHead' | 'learnedPositions' | 'biases'
> & { readonly headWidth: number };

/** A vocabulary of 50,304 (GPT-2's, padded to 128), a tied head, a two-matrix feed-forward of four widths, heads of 128. */
export const defaultStyle: ShapeStyle = {
  gated: false,
  vocabulary: 50_304,
  context: 2048,
  tiedHead: true,
  learnedPositions: false,
  biases: false,
  headWidth: 128,
};

/** The shape of so many layers and heads. The feed-forward width is 4·d, or with a gate ⅔ of that, up to a multiple of 128. */
export function shapeOf(layers: number, heads: number, { headWidth, ...style }: ShapeStyle): TransformerShape {
  const width = heads * headWidth;
  const feedForward = style.gated ? Math.ceil((8 * width) / 3 / 128) * 128 : 4 * width;
  return { ...style, layers, heads, width, feedForward };
}

/** Widths of one layer per layer: from 16 (GPT-2's smallest has 64, Chinchilla 102, GPT-3 128) to 256. */
const leastAspect = 16;
const mostAspect = 256;
/** What models in print from 70 B on have. Loss hardly depends on it (Kaplan et al. 2020, section 3.1). */
const usualAspect = 100;

/**
 * Shapes a little smaller or larger than a target, every aspect ratio width ÷ layers from 16 to 256: for each number of heads the layers
 * that come nearest to the target size. Small targets get heads of 64, or 32, so that there are several.
 * @param params target size. @param sizeOf the count that has to meet it.
 */
export function shapesNear(
  params: number,
  style: ShapeStyle,
  sizeOf: (shape: TransformerShape) => number = (shape) => transformerParams(shape).total,
): readonly TransformerShape[] {
  const shapes: TransformerShape[] = [];
  for (let heads = 1; heads <= 1024; heads++) {
    const one = sizeOf(shapeOf(1, heads, style));
    const perLayer = sizeOf(shapeOf(2, heads, style)) - one;
    if (one > 2 * params) break;
    const exact = 1 + (params - one) / perLayer;
    for (const layers of new Set([Math.floor(exact), Math.ceil(exact)])) {
      const shape = shapeOf(Math.max(1, layers), heads, style);
      const aspect = shape.width / shape.layers;
      if (layers >= 1 && aspect >= leastAspect && aspect <= mostAspect) shapes.push(shape);
    }
  }
  if (shapes.length < 4 && style.headWidth > 8)
    return shapesNear(params, { ...style, headWidth: style.headWidth / 2 }, sizeOf);
  return shapes;
}

/**
 * The shape that stands for a target size: of those within 2 % of it the one of the most usual aspect ratio, or the nearest in size where there
 * is none.
 * @throws {RangeError} when no transformer is that small.
 */
export function snapShape(
  params: number,
  style: ShapeStyle,
  sizeOf: (shape: TransformerShape) => number = (shape) => transformerParams(shape).total,
): TransformerShape {
  const shapes = shapesNear(params, style, sizeOf);
  const error = (shape: TransformerShape): number => Math.abs(Math.log(sizeOf(shape) / params));
  const oddness = ({ width, layers }: TransformerShape): number => Math.abs(Math.log(width / layers / usualAspect));
  const close = shapes.filter((shape) => error(shape) < 0.02);
  const [best] =
    close.length > 0
      ? close.toSorted((a, b) => oddness(a) - oddness(b))
      : shapes.toSorted((a, b) => error(a) - error(b));
  if (!best)
    throw new RangeError(
      `expected a target size that a transformer with a vocabulary of ${style.vocabulary} can have, got ${params.toPrecision(3)} parameters`,
    );
  return best;
}

/** Bytes of a training on each of `devices` devices, and their parts. */
export interface TrainingMemory {
  /** Weights, gradients and Adam's states: 16 bytes a parameter (bf16 weights and gradients, fp32 copy and two moments), fully sharded. */
  readonly stateBytes: number;
  /** Inputs of every layer, one layer's inside and the logits, for one sequence: activations are recomputed. */
  readonly activationBytes: number;
  readonly totalBytes: number;
}

/**
 * Memory that training needs at least on each device: states sharded over all of them (ZeRO stage 3, Rajbhandari et al.
 * 2020), one sequence at a time with activations recomputed layer by layer (34·s·d bytes inside a layer, Korthikanti et al.
 * 2022, eq. 2 without the s² term, which fused attention does not store), logits in single precision beside their gradient.
 */
export function trainingMemory(shape: TransformerShape, devices: number): TrainingMemory {
  const { layers, width, context, vocabulary } = shape;
  const stateBytes = (16 * transformerParams(shape).total) / devices;
  const activationBytes = 2 * layers * context * width + 34 * context * width + 8 * context * vocabulary;
  return { stateBytes, activationBytes, totalBytes: stateBytes + activationBytes };
}
