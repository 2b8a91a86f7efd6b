import { type Block, blocksOf } from '../models/blocks.ts';
import { ConfigError } from '../core/errors.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { isTransformer, type ModelSpec } from '../models/transformer.ts';
import { type ActivationNames, blockCall } from './block-call.ts';
import { kerasFunctions } from './keras-functions.ts';
import { indented, type PythonCode, pythonCall, pythonFile, pythonString, usedParts, wrapped } from './python-text.ts';
import { checkProgram, parityFileName, sourceDocstring, type SourceOptions, weightsFileName } from './source.ts';

const activations: ActivationNames = {
  relu: '"relu"',
  relu6: '"relu6"',
  silu: '"silu"',
  'hard-swish': '"hard_silu"',
  sigmoid: '"sigmoid"',
  'hard-sigmoid': '"hard_sigmoid"',
};

/**
 * A network as one file of Keras 3 source, channels last, for any of its backends: a function for each kind of block, then
 * `network()`. Layers are called as the keys of the weights file begin (`state-dict.ts`).
 * @throws {ConfigError} for a transformer.
 */
export function kerasSource(spec: ModelSpec, options: SourceOptions): string {
  if (isTransformer(spec))
    throw new ConfigError(
      '--format keras: expected a network of pictures, got a transformer; --format pytorch takes both kinds',
    );
  const network = networkFunction(spec);
  const imports = options.withWeights
    ? 'import sys\nfrom pathlib import Path\n\nimport keras\nimport numpy as np\nfrom keras import layers\nfrom safetensors.numpy import load_file'
    : 'import keras\nfrom keras import layers';
  const needs = `keras 3 with one of its backends${options.withWeights ? ', and safetensors to load the weights' : ''}`;
  return pythonFile([
    `${sourceDocstring(spec, needs)}\n\n${imports}\n\nEPSILON = ${spec.batchNorm.epsilon}  # of every batch norm`,
    ...usedParts(kerasFunctions, network),
    network,
    options.withWeights && loadFunctions,
    options.withWeights && checkFunction,
    options.withWeights && checkProgram(options.tolerance),
  ]);
}

/** A call whose result is the next `x`. */
function assigned(
  callee: string,
  positional: readonly PythonCode[],
  named: Readonly<Record<string, PythonCode | undefined>>,
): string {
  return `x = ${pythonCall(callee, positional, named)}`;
}

function networkFunction(spec: NetworkSpec): string {
  const { input, classes } = spec;
  const { channels, resolution } = input;
  const shape = `${resolution}, ${resolution}, ${channels}`;
  const lines = [
    `def network(classes: int = ${classes}) -> keras.Model:`,
    ...indented([
      `"""\`[n, ${shape}]\` float32, normalised, channels last, to logits \`[n, ${classes}]\`."""`,
      `image = keras.Input((${shape}), name="image")`,
      ...stemLines(spec.stem),
      ...blocksOf(spec).flatMap(blockLines),
      ...headLines(spec.head),
      'return keras.Model(image, layers.Dense(classes, name="classifier")(x))',
    ]),
  ];
  return lines.flatMap(wrapped).join('\n');
}

function stemLines({ spaceToDepth, width, kernel, stride, activation, maxPool }: NetworkSpec['stem']): string[] {
  const named = { activation: activations[activation], name: '"stem"' };
  return [
    ...(spaceToDepth ? [assigned('space_to_depth', ['image', spaceToDepth], {})] : []),
    assigned('conv_norm', [spaceToDepth ? 'x' : 'image', width, kernel, stride], named),
    ...(maxPool ? [`x = layers.MaxPooling2D(${maxPool.kernel}, ${maxPool.stride}, padding="same")(x)`] : []),
  ];
}

/** Up to the classifier's features. */
function headLines({ width, activation, pooling, hidden, dropout }: NetworkSpec['head']): string[] {
  const named = { activation: activations[activation], name: '"head"' };
  return [
    ...(width > 0 ? [assigned('conv_norm', ['x', width], named)] : []),
    pooling === 'average-max'
      ? 'x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])'
      : 'x = layers.GlobalAveragePooling2D()(x)',
    ...(hidden ? [`x = layers.Dense(${hidden}, ${activations[activation]}, name="hidden")(x)`] : []),
    ...(dropout > 0 ? [`x = layers.Dropout(${dropout})(x)`] : []),
  ];
}

const functionNames = {
  mbconv: 'mbconv',
  'fused-mbconv': 'fused_mbconv',
  basic: 'basic_block',
  bottleneck: 'bottleneck',
};

function hasSpaceToDepth(block: Block): boolean {
  return 'spaceToDepth' in block && block.spaceToDepth;
}

function blockLines(block: Block, _: number, blocks: readonly Block[]): string[] {
  const { kind, widths, named } = blockCall(block, activations);
  const shift = blocks.some((one) => one.stage === block.stage && hasSpaceToDepth(one)) ? 1 : 0;
  const activation = activations[block.activation];
  const isChanged = 'shortcut' in block && block.shortcut !== 'identity';
  const name = (index: number) => pythonString(`stages.${block.stage}.${index}`);
  const call = assigned(functionNames[kind], ['x', ...widths, activation], {
    ...named,
    shortcut: isChanged ? pythonString(block.shortcut.replace('-', '_')) : undefined,
    name: name(block.index + shift),
  });
  if (!hasSpaceToDepth(block)) return [call];
  return [assigned('conv_norm', ['x', block.inWidth, 2, 2], { activation, name: name(0) }), call];
}

const loadFunctions = `def values_of(layer: keras.Layer, tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
    """A layer's weights in its own order and layout; they are taken out of the tensors."""
    keys = ["weight", "bias", "running_mean", "running_var"]
    weight, *others = [tensors.pop(f"{layer.name}.{key}") for key in keys if f"{layer.name}.{key}" in tensors]
    if isinstance(layer, layers.DepthwiseConv2D):
        weight = weight.transpose(2, 3, 0, 1)
    elif isinstance(layer, layers.Conv2D):
        weight = weight.transpose(2, 3, 1, 0)
    elif isinstance(layer, layers.Dense):
        weight = weight.T
    return [weight, *others]


def load(weights: str | Path = Path(__file__).with_name("${weightsFileName}")) -> keras.Model:
    """The network with the weights that lie beside this file; none may be missing or left over."""
    model, tensors = network(), load_file(weights)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(values_of(layer, tensors))
    if tensors:
        raise ValueError(f"{weights}: tensors that no layer has: {sorted(tensors)}")
    return model`;

const checkFunction = `def check() -> float:
    """Largest difference from the logits that the ONNX file of the same weights gave, by the largest of them."""
    expected = load_file(Path(__file__).with_name("${parityFileName}"))
    logits = keras.ops.convert_to_numpy(load()(expected["image"].transpose(0, 2, 3, 1), training=False))
    return float(np.abs(logits - expected["logits"]).max() / np.abs(expected["logits"]).max())`;
