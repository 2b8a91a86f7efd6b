import { convGeometry, type ConvGeometry, type TrainingGraph, type TrainingNodeOf } from '../training-graph.ts';
import { channelLayout, denseWeightLayout, depthwiseWeightLayout, imageWeightLayout, type Layout } from './layout.ts';

/**
 * How a convolution is done in blocks: over an image as it is fed (less than B channels), over all
 * channels at one pixel, over each channel alone, or over all channels in a window.
 */
export type ConvKind = 'image' | 'pointwise' | 'depthwise' | 'dense';

/** Any node of a convolution: the forward pass or one of its gradients. */
export type ConvNode = TrainingNodeOf<'conv' | 'conv-input-gradient' | 'conv-weight-gradient'>;

/** Kinds by the names of the weights and of the weights' gradients; without a kind, the plain rule serves. */
export function convKinds(graph: TrainingGraph, block: number): ReadonlyMap<string, ConvKind> {
  const convs = graph.nodes.filter((node) => node.op === 'conv');
  const shape = (tensor: string) => graph.tensors.get(tensor)?.shape as readonly number[];
  const kinds = convs.flatMap((node): [string, ConvKind][] => {
    const [x, weight] = node.inputs as [string, string];
    const g = convGeometry(shape(x), shape(weight), shape(node.outputs[0] as string), node.attributes);
    const isShared = convs.filter(({ inputs }) => inputs[1] === weight).length > 1;
    const isFed = graph.inputs.some(({ name }) => name === x);
    const kind = isShared ? undefined : kindOf(g, isFed && g.inChannels < block);
    return kind === undefined ? [] : [[weight, kind]];
  });
  const ofGradients = kinds.flatMap(([weight, kind]): [string, ConvKind][] => {
    const gradient = graph.loss?.gradients.get(weight);
    return gradient === undefined ? [] : [[gradient, kind]];
  });
  return new Map([...kinds, ...ofGradients]);
}

function kindOf(g: ConvGeometry, isImage: boolean): ConvKind | undefined {
  if (g.dilation !== 1) return undefined;
  if (g.groups > 1) return g.groups === g.inChannels && g.groups === g.outChannels ? 'depthwise' : undefined;
  if (isImage) return 'image';
  const isPointwise = g.kernelHeight === 1 && g.kernelWidth === 1 && g.stride === 1 && g.pads.every((pad) => pad === 0);
  return isPointwise ? 'pointwise' : 'dense';
}

/** Layouts of the parameters that blocked rules read, by name. */
export function parameterLayouts(
  graph: TrainingGraph,
  block: number,
  kinds: ReadonlyMap<string, ConvKind>,
): Map<string, Layout> {
  const shape = (tensor: string) => graph.tensors.get(tensor)?.shape as readonly number[];
  const ofWeights = {
    image: imageWeightLayout,
    pointwise: denseWeightLayout,
    dense: denseWeightLayout,
    depthwise: depthwiseWeightLayout,
  };
  const layouts = new Map<string, Layout>();
  for (const node of graph.nodes) {
    const [x, first, second] = node.inputs as [string, string, string | undefined];
    const kind = node.op === 'conv' ? kinds.get(first) : undefined;
    const perChannel = (name: string) => layouts.set(name, channelLayout(shape(name)[0] as number, block));
    if (kind) {
      layouts.set(first, ofWeights[kind](shape(first), block));
      if (second !== undefined) perChannel(second);
    }
    if (node.op === 'batch-norm-training' && shape(x).length === 4) {
      perChannel(first);
      perChannel(second as string);
    }
  }
  return layouts;
}
