import { type Block, blocksOf, type ResidualBlock } from '../models/blocks.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { isTransformer, type ModelSpec } from '../models/transformer.ts';
import { type ActivationNames, blockCall } from './block-call.ts';
import { indented, pythonCall, pythonFile, usedParts, wrapped } from './python-text.ts';
import { pytorchModules } from './pytorch-modules.ts';
import { transformerSource } from './pytorch-transformer.ts';
import { sourceDocstring, type SourceOptions, torchCheck, torchImports, torchLoad, torchNeeds } from './source.ts';

/**
 * A network as one file of PyTorch source that needs torch alone: the kinds of block that it has as modules with SAME
 * padding, then `Network`. Its parameters have the keys of the weights file (`state-dict.ts`), so that `load_state_dict`
 * takes that strictly. Input and output are those of the ONNX file, at any resolution that SAME padding knows.
 */
export function pytorchSource(spec: ModelSpec, options: SourceOptions): string {
  return isTransformer(spec) ? transformerSource(spec, options) : pictureSource(spec, options);
}

function pictureSource(spec: NetworkSpec, options: SourceOptions): string {
  const network = networkClass(spec);
  const modules = usedParts(pytorchModules, network);
  const usesMath = modules.some((text) => text.includes('math.'));
  const imports = torchImports(options, usesMath);
  return pythonFile([
    `${sourceDocstring(spec, torchNeeds(options))}\n\n${imports}\n\nEPSILON = ${spec.batchNorm.epsilon}  # of every batch norm`,
    ...modules,
    network,
    options.withWeights && torchLoad('Network()', 'Network'),
    options.withWeights && torchCheck('expected["image"]', options),
  ]);
}

const activations: ActivationNames = {
  relu: 'nn.ReLU',
  relu6: 'nn.ReLU6',
  silu: 'nn.SiLU',
  'hard-swish': 'nn.Hardswish',
  sigmoid: 'nn.Sigmoid',
  'hard-sigmoid': 'nn.Hardsigmoid',
};

function networkClass(spec: NetworkSpec): string {
  const { input, classes } = spec;
  const { channels, resolution } = input;
  const lines = [
    `"""\`[n, ${channels}, ${resolution}, ${resolution}]\` float32, normalised, to logits \`[n, ${classes}]\`."""`,
    '',
    ...constructorLines(spec),
    '',
    'def forward(self, image: Tensor) -> Tensor:',
    ...indented(forwardLines(spec)),
  ];
  return ['class Network(nn.Module):', ...indented(lines)].flatMap(wrapped).join('\n');
}

function forwardLines({ stem, head }: NetworkSpec): string[] {
  const pooled = head.pooling === 'average-max' ? 'torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)' : 'x.mean((2, 3))';
  return [
    `x = self.stem(${stem.spaceToDepth ? `space_to_depth(image, ${stem.spaceToDepth})` : 'image'})`,
    ...(stem.maxPool ? [`x = max_pool(x, ${stem.maxPool.kernel}, ${stem.maxPool.stride})`] : []),
    'x = self.stages(x)',
    ...(head.width > 0 ? ['x = self.head(x)'] : []),
    `x = ${pooled}`,
    ...(head.hidden ? ['x = self.activation(self.hidden(x))'] : []),
    `return self.classifier(${head.dropout > 0 ? 'self.dropout(x)' : 'x'})`,
  ];
}

function constructorLines(spec: NetworkSpec): string[] {
  const { input, stem, head, classes } = spec;
  const blocks = blocksOf(spec);
  const lastWidth = blocks.at(-1)?.width ?? stem.width;
  const planes = head.width > 0 ? head.width : lastWidth;
  const pooled = head.pooling === 'average-max' ? 2 * planes : planes;
  const stemInput = input.channels * (stem.spaceToDepth ?? 1) ** 2;
  const headActivation = activations[head.activation];
  return [
    `def __init__(self, classes: int = ${classes}):`,
    ...indented([
      'super().__init__()',
      `self.stem = ${pythonCall('ConvNorm', [stemInput, stem.width, stem.kernel, stem.stride], { activation: activations[stem.activation] })}`,
      'self.stages = nn.Sequential(',
      ...spec.stages.flatMap((_, stage) =>
        indented([
          'nn.Sequential(',
          ...indented(blocks.filter((block) => block.stage === stage).flatMap(moduleLines)),
          '),',
        ]),
      ),
      ')',
      ...(head.width > 0
        ? [`self.head = ${pythonCall('ConvNorm', [lastWidth, head.width], { activation: headActivation })}`]
        : []),
      ...(head.hidden
        ? [`self.hidden = nn.Linear(${pooled}, ${head.hidden})`, `self.activation = ${headActivation}()`]
        : []),
      ...(head.dropout > 0 ? [`self.dropout = nn.Dropout(${head.dropout})`] : []),
      `self.classifier = nn.Linear(${head.hidden ? head.hidden : pooled}, classes)`,
    ]),
  ];
}

const moduleNames = { mbconv: 'MBConv', 'fused-mbconv': 'FusedMBConv', basic: 'BasicBlock', bottleneck: 'Bottleneck' };

/** A block as the modules of its stage. */
function moduleLines(block: Block): string[] {
  const { kind, widths, named } = blockCall(block, activations);
  const activation = activations[block.activation];
  const shortcut = 'shortcut' in block ? shortcutModule(block) : undefined;
  const module = pythonCall(moduleNames[kind], [block.inWidth, ...widths, activation], { ...named, shortcut });
  if (!('spaceToDepth' in block) || !block.spaceToDepth) return [`${module},`];
  return [`${pythonCall('ConvNorm', [block.inWidth / 4, block.inWidth, 2, 2], { activation })},`, `${module},`];
}

function shortcutModule({ shortcut, inWidth, width, stride }: ResidualBlock): string | undefined {
  if (shortcut === 'identity') return undefined;
  if (stride === 1) return pythonCall('ConvNorm', [inWidth, width]);
  if (shortcut === 'convolution') return pythonCall('ConvNorm', [inWidth, width, 1, stride]);
  return pythonCall('PooledConvNorm', [inWidth, width], { pool: stride });
}
