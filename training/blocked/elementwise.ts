import { lowerNode } from '../plain/lower.ts';
import type { TrainingNode, TrainingNodeOf } from '../training-graph.ts';
import type { Activation, BlockedGraph } from './graph.ts';

const rectifiers = {
  relu: { activation: { string: 'Relu' } },
  relu6: { activation: { string: 'Clip' }, activation_params: { floats: [0, 6] } },
} satisfies Record<string, Activation>;

/** In the kernel that makes x, where that has not run. */
export function lowerRectifier(node: TrainingNodeOf<'relu' | 'relu6'>, graph: BlockedGraph): void {
  const [[x], [y]] = [node.inputs as [string], node.outputs as [string]];
  if (!graph.fuseActivation(x, y, rectifiers[node.op])) lowerElementwise(node, graph);
}

/**
 * The plain rule on blocked values: of a kind that leaves zeros zero. Inputs are made in their order, so
 * that a slope is not computed, and kept, before the gradient it is to meet.
 */
export function lowerElementwise(node: TrainingNode, graph: BlockedGraph): void {
  for (const input of node.inputs) graph.blocked(input);
  graph.inBlocks(() => lowerNode(node, graph));
}

/** y = x · gate in one pass. Of x and the gate nothing is kept: on the way back both are made anew. */
export function lowerSilu(node: TrainingNodeOf<'silu-training'>, graph: BlockedGraph): void {
  const [[x], [y, gate]] = [node.inputs as [string], node.outputs as [string, string]];
  const again = graph.keepInput(y, x);
  graph.bindBlocked(y, graph.op('QuickGelu', [graph.blocked(x)], { alpha: { float: 1 } }, 'com.microsoft'));
  graph.bindDeferred(gate, () => graph.op('Sigmoid', [again()]));
}

/** dx = dy · gate · (1 + x − y): onnxruntime's binary operators never work in place, its convolution does. */
export function lowerSiluGradient(node: TrainingNodeOf<'silu-gradient'>, graph: BlockedGraph): void {
  const [dy, y, gate] = node.inputs as [string, string, string];
  const input = graph.keptInput(y);
  if (!input) return lowerElementwise(node, graph);
  const gradient = graph.blocked(dy);
  const x = input();
  const channels = graph.channels(y);
  const constants = (value: number): string =>
    graph.floats(`${channels} of ${value}`, [channels], () => new Float32Array(channels).fill(value));
  const gates = graph.blocked(gate);
  const rest = graph.conv(graph.blocked(y), graph.view(constants(-1), [channels, 1, 1, 1]), {
    bias: constants(1),
    plus: x,
    group: channels,
  });
  const slope = graph.op('Mul', [gates, rest]);
  graph.bindBlocked(node.outputs[0] as string, graph.op('Mul', [slope, gradient]));
}

/** A sigmoid of padding is ½, and padding must be 0 wherever a weight's gradient is formed. */
export function lowerSigmoid(node: TrainingNodeOf<'sigmoid' | 'hard-sigmoid'>, graph: BlockedGraph): void {
  const [y] = node.outputs as [string];
  lowerElementwise(node, graph);
  const channels = graph.channels(y);
  const used = graph.shape(y)[1] as number;
  if (channels === used) return;
  const isUsed = () => Float32Array.from({ length: channels }, (_, channel) => (channel < used ? 1 : 0));
  const factor = graph.floats(`channels ${used} of ${channels}`, [channels], isUsed);
  const masked = graph.conv(graph.blocked(y), graph.view(factor, [channels, 1, 1, 1]), { group: channels });
  graph.bindBlocked(y, masked);
}

/** In the kernel that makes one of the two, where that has not run. */
export function lowerAdd(node: TrainingNodeOf<'add'>, graph: BlockedGraph): void {
  const [[a, b], [y]] = [node.inputs as [string, string], node.outputs as [string]];
  if (!graph.fuseSum(a, b, y) && !graph.fuseSum(b, a, y)) lowerElementwise(node, graph);
}

/** A mask of whole examples is a factor a plane. */
export function lowerDrop(node: TrainingNodeOf<'drop-training'>, graph: BlockedGraph): void {
  const [x, mask] = node.inputs as [string, string];
  const [y] = node.outputs as [string];
  const [batch] = graph.shape(x) as [number];
  if (graph.shape(mask).every((extent, axis) => extent === graph.shape(x)[axis])) return lowerElementwise(node, graph);
  const perExample = graph.view(graph.value(mask), [1, batch, 1]);
  const blocks = graph.blocks(x);
  const spread = (perChannel: string): string =>
    graph.op('Mul', [graph.view(perChannel, [blocks, 1, graph.block]), perExample]);
  const affine = graph.affine(x);
  if (affine?.value !== undefined && affine.per === 'channel') {
    const { value, factor, offset } = affine;
    const ones = () =>
      graph.floats(`ones ${blocks * graph.block}`, [blocks * graph.block], () =>
        new Float32Array(blocks * graph.block).fill(1),
      );
    return graph.bindAffine(y, {
      value,
      factor: spread(factor ?? ones()),
      ...(offset !== undefined && { offset: spread(offset) }),
      per: 'plane',
    });
  }
  const factor = graph.op('Expand', [perExample, graph.ints([blocks, batch, graph.block])]);
  graph.bindAffine(y, { value: graph.blocked(x), factor, per: 'plane' });
}

/** y = x · s: a factor a plane. */
export function lowerGate(node: TrainingNodeOf<'gate'>, graph: BlockedGraph): void {
  const [x, s] = node.inputs as [string, string];
  graph.bindAffine(node.outputs[0] as string, { value: graph.blocked(x), factor: graph.blocked(s), per: 'plane' });
}

/** dx = dy · s; ds: each plane of dy by that of x as a kernel of its size. */
export function lowerGateGradient(node: TrainingNodeOf<'gate-gradient'>, graph: BlockedGraph): void {
  const [dy, x, s] = node.inputs as [string, string, string];
  const [dx, ds] = node.outputs as [string, string];
  const [batch, , height, width] = graph.shape(x) as [number, number, number, number];
  const planes = graph.channels(x) * batch;
  const size = height * width;
  graph.bindAffine(dx, { value: graph.blocked(dy), factor: graph.blocked(s), per: 'plane' });
  const image = graph.view(graph.blocked(dy), [1, planes, 1, size]);
  graph.bindBlocked(ds, graph.conv(image, graph.view(graph.blocked(x), [planes, 1, 1, size]), { group: planes }));
}

/** Mean of every plane. */
export function lowerGlobalAveragePool(node: TrainingNodeOf<'global-average-pool'>, graph: BlockedGraph): void {
  const [x] = node.inputs as [string];
  const [batch, , height, width] = graph.shape(x) as [number, number, number, number];
  const planes = graph.view(graph.blocked(x), [1, graph.channels(x) * batch, 1, height * width]);
  graph.bindBlocked(node.outputs[0] as string, graph.mean(planes));
}

/** An equal share for every pixel, left to whoever reads it. */
export function lowerGlobalAveragePoolGradient(
  node: TrainingNodeOf<'global-average-pool-gradient'>,
  graph: BlockedGraph,
): void {
  const [dy] = node.inputs as [string];
  const [dx] = node.outputs as [string];
  const [, , height, width] = graph.shape(dx) as [number, number, number, number];
  const share = graph.op('Mul', [graph.blocked(dy), graph.scalar(1 / (height * width))]);
  graph.bindAffine(dx, { offset: share, per: 'plane' });
}
