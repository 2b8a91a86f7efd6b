import type { Dimension, Graph } from './graph.ts';
import { OperatorGraph } from './operator-graph.ts';
import type { TransformerSpec } from './transformer.ts';

/** Name of a transformer's input: int64 `[batch, context]`. */
export const tokensInput = 'tokens';
const logits = 'logits';

/** ε of every norm. */
export const normEpsilon = 1e-5;

/** Sequence operators with the settings of one spec. */
class SequenceGraph extends OperatorGraph {
  readonly #spec: TransformerSpec;

  constructor(spec: TransformerSpec, batch: Dimension) {
    super(batch);
    this.#spec = spec;
  }

  tokens(): string {
    return this.addInput(tokensInput, 'int64', [this.#spec.context]);
  }

  embedding(tokens: string): string {
    const { vocabulary, width } = this.#spec;
    const table = this.addParameter('embedding.weight', [vocabulary, width], 'embedding', 'embedding');
    return this.add('embedding', 'embedding', [tokens, table], {}, [...this.shape(tokens), width]);
  }

  positions(x: string): string {
    const table = this.addParameter('positions.weight', this.extents(x), 'embedding', 'positions');
    return this.add('add-positions', 'positions', [x, table], {}, this.shape(x));
  }

  norm(name: string, x: string): string {
    const { width, norm, biases } = this.#spec;
    const parameters = [this.addParameter(`${name}.scale`, [width], 'scale', name)];
    if (biases) parameters.push(this.addParameter(`${name}.shift`, [width], 'shift', name));
    const attributes = { epsilon: normEpsilon, centred: norm === 'layer-norm' };
    return this.add('layer-norm', name, [x, ...parameters], attributes, this.shape(x));
  }

  dense(name: string, x: string, width: number): string {
    const inputs = this.extents(x).at(-1) as number;
    const parameters = [this.addParameter(`${name}.weight`, [inputs, width], 'weight', name)];
    if (this.#spec.biases) parameters.push(this.addParameter(`${name}.bias`, [width], 'bias', name));
    return this.add('dense', name, [x, ...parameters], {}, [...this.shape(x).slice(0, -1), width]);
  }

  /** The rows of the embedding again, or a matrix of its own; never a bias. */
  head(x: string): string {
    const { vocabulary, width, tiedHead } = this.#spec;
    const shape = [...this.shape(x).slice(0, -1), vocabulary];
    if (tiedHead) return this.add('dense', logits, [x, 'embedding.weight'], { transposed: true }, shape);
    const weight = this.addParameter('head.weight', [width, vocabulary], 'weight', 'head');
    return this.add('dense', logits, [x, weight], {}, shape);
  }

  attention(name: string, x: string): string {
    const { width, heads } = this.#spec;
    const [q, k, v] = ['query', 'key', 'value'].map((part) => this.dense(`${name}.${part}`, x, width)) as [
      string,
      string,
      string,
    ];
    const mixed = this.add('causal-attention', `${name}.attention`, [q, k, v], { heads }, this.shape(x));
    return this.dense(`${name}.output`, mixed, width);
  }

  feedForward(name: string, x: string): string {
    const { width, feedForward, gated } = this.#spec;
    const up = this.dense(`${name}.up`, x, feedForward);
    if (!gated) return this.dense(`${name}.down`, this.#unary('gelu', `${name}.gelu`, up), width);
    const gate = this.#unary('silu', `${name}.silu`, this.dense(`${name}.gate`, x, feedForward));
    const product = this.add('multiply', `${name}.product`, [gate, up], {}, this.shape(up));
    return this.dense(`${name}.down`, product, width);
  }

  residual(name: string, x: string, branch: string): string {
    return this.add('add', name, [x, branch], {}, this.shape(x));
  }

  #unary(op: 'gelu' | 'silu', name: string, x: string): string {
    return this.add(op, name, [x], {}, this.shape(x));
  }
}

/**
 * A transformer as a graph: input `tokens` int64 `[batch, context]`, output `logits` `[batch, context, vocabulary]`, at every
 * position of the token that follows it.
 */
export function buildTransformer(spec: TransformerSpec, batch: Dimension): Graph {
  const graph = new SequenceGraph(spec, batch);
  let x = graph.embedding(graph.tokens());
  if (spec.learnedPositions) x = graph.positions(x);
  for (let layer = 0; layer < spec.layers; layer++) {
    const name = `layer${layer}`;
    const seen = graph.attention(`${name}.self`, graph.norm(`${name}.self.norm`, x));
    x = graph.residual(`${name}.self.residual`, x, seen);
    const thought = graph.feedForward(`${name}.feed-forward`, graph.norm(`${name}.feed-forward.norm`, x));
    x = graph.residual(`${name}.feed-forward.residual`, x, thought);
  }
  return graph.finish([graph.head(graph.norm('final-norm', x))]);
}
