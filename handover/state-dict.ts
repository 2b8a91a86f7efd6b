import type { Graph, Parameter, Weights } from '../models/graph.ts';
import type { StoredWeights } from '../models/safetensors.ts';

/** What the two kinds of norm call their values in PyTorch. */
const suffixes: Readonly<Partial<Record<Parameter['role'], string>>> = {
  scale: 'weight',
  shift: 'bias',
  'running-mean': 'running_mean',
  'running-variance': 'running_var',
};

/**
 * A parameter's key in a handed-over weights file, which is what PyTorch calls it in the source that `pytorch.ts` writes:
 * `stage1.block0.squeeze-excite.squeeze.weight` is `stages.1.0.squeeze_excite.squeeze.weight`, and norms have the suffixes
 * of PyTorch's. A learned space-to-depth is the first module of its stage, the stage's blocks the next ones.
 */
export function stateKey(graph: Graph, { name, role }: Pick<Parameter, 'name' | 'role'>): string {
  const suffix = suffixes[role];
  return (suffix ? name.replace(/[^.]+$/, suffix) : name)
    .replace(/^stage(\d+)\.block(\d+)\.(space-to-depth\.)?/, (_, stage: string, block: string, own?: string) => {
      const shift = own === undefined && hasSpaceToDepth(graph, stage) ? 1 : 0;
      return `stages.${stage}.${Number(block) + shift}.`;
    })
    .replace(/^head\.hidden\./, 'hidden.')
    .replace(/^layer(\d+)\.self\./, 'layers.$1.attention.')
    .replace(/^layer(\d+)\./, 'layers.$1.')
    .replaceAll('-', '_');
}

function hasSpaceToDepth(graph: Graph, stage: string): boolean {
  return graph.tensors.has(`stage${stage}.block0.space-to-depth.conv.weight`);
}

/**
 * Trained weights as PyTorch keeps them: batch norms unfolded, with their running statistics; matrices `[out, in]` where
 * ours are `[in, out]`; the 1×1 convolution of a hidden layer behind the pooling as a matrix. `load_state_dict` takes it
 * strictly (of the counters that batch norms keep, PyTorch fills in those that are absent).
 * @param metadata text by key, kept in the file.
 * @param keyOf the key of each parameter; {@link stateKey} by default.
 */
export function stateDict(
  graph: Graph,
  weights: Weights,
  metadata: StoredWeights['metadata'],
  keyOf: (graph: Graph, parameter: Parameter) => string = stateKey,
): StoredWeights {
  const values = new Map<string, Float32Array>();
  const shapes = new Map<string, readonly number[]>();
  for (const parameter of graph.parameters) {
    const value = weights.get(parameter.name);
    if (!value) throw new Error(`no value for parameter ${parameter.name}`);
    const key = keyOf(graph, parameter);
    const [rows = 1, columns = 1] = parameter.shape;
    if (parameter.role === 'weight' && parameter.shape.length === 2) {
      values.set(key, transposed(value, rows, columns));
      shapes.set(key, [columns, rows]);
    } else {
      values.set(key, value);
      shapes.set(key, parameter.name === 'head.hidden.weight' ? [rows, columns] : parameter.shape);
    }
  }
  return { weights: values, shapes, metadata };
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  return matrix.map((_, index) => matrix[(index % rows) * columns + Math.floor(index / rows)] as number);
}
