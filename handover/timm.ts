import { type Block, blocksOf, type InvertedBlock, type SqueezeExciteLayer } from '../models/blocks.ts';
import { ConfigError } from '../core/errors.ts';
import type { Graph, Parameter } from '../models/graph.ts';
import type { Activation, NetworkSpec, Stage } from '../models/spec.ts';
import { isTransformer, type ModelSpec } from '../models/transformer.ts';
import { indented, pythonFile, pythonString } from './python-text.ts';
import { sourceDocstring, type SourceOptions, torchCheck, torchLoad } from './source.ts';
import { stateKey } from './state-dict.ts';

/** Thrown where timm's EfficientNet has no form for a part of a network; the message names the part. */
function refuse(part: string, expected: string, got: string): never {
  throw new ConfigError(
    `--format timm: ${part}: expected ${expected}, got ${got}; --format pytorch takes every network`,
  );
}

const activations: Readonly<Record<Activation, { readonly layer: string; readonly code: string }>> = {
  relu: { layer: 'nn.ReLU', code: 're' },
  relu6: { layer: 'nn.ReLU6', code: 'r6' },
  silu: { layer: 'nn.SiLU', code: 'sw' },
  'hard-swish': { layer: 'nn.Hardswish', code: 'hs' },
};

/**
 * A network as a definition for timm's EfficientNet (`timm.models.efficientnet`, checked with timm 1.0.29): the block
 * strings, and the settings that make it ours. Stochastic depth differs by one block: timm's first block is never dropped.
 * @throws {ConfigError} naming the part of the network that timm's EfficientNet cannot be told.
 */
export function timmSource(spec: ModelSpec, options: SourceOptions): string {
  const network = expectFit(spec);
  const squeezeExciteLayer = squeezeExciteLayerOf(network);
  return pythonFile([
    [
      sourceDocstring(
        spec,
        `timm 1.0.29 or later${options.withWeights ? ', and safetensors to load the weights' : ''}`,
      ),
      '',
      ...(options.withWeights ? ['import sys'] : []),
      'from functools import partial',
      ...(options.withWeights ? ['from pathlib import Path'] : []),
      '',
      ...(options.withWeights ? ['import torch', 'from safetensors.torch import load_file'] : []),
      ...(squeezeExciteLayer ? ['from timm.models._efficientnet_blocks import SqueezeExcite'] : []),
      'from timm.models._efficientnet_builder import decode_arch_def',
      'from timm.models.efficientnet import EfficientNet',
      'from torch import nn',
      '',
      'ARCH_DEF = [',
      ...indented(archDef(network).map((strings) => `[${strings.map(pythonString).join(', ')}],`)),
      ']',
    ].join('\n'),
    networkFunction(network, squeezeExciteLayer),
    options.withWeights && torchLoad('network()', 'EfficientNet'),
    options.withWeights && torchCheck('expected["image"]', options),
  ]);
}

function networkFunction(spec: NetworkSpec, squeezeExciteLayer: string | undefined): string {
  const { input, stem, stages, head, classes, survival, batchNorm } = spec;
  const stride = stages.reduce((product, stage) => product * stage.stride, stem.stride);
  const settings: Readonly<Record<string, string | number | undefined>> = {
    num_classes: 'classes',
    num_features: head.width,
    in_chans: input.channels,
    stem_size: stem.width,
    stem_kernel_size: stem.kernel === 3 ? undefined : stem.kernel,
    fix_stem: 'True',
    // Beyond it timm would dilate instead.
    output_stride: stride > 32 ? stride : undefined,
    pad_type: '"same"',
    round_chs_fn: 'lambda channels: channels',
    act_layer: activations[stem.activation].layer,
    norm_layer: `partial(nn.BatchNorm2d, eps=${batchNorm.epsilon})`,
    se_layer: squeezeExciteLayer,
    drop_rate: head.dropout > 0 ? head.dropout : undefined,
    drop_path_rate: survival < 1 ? Number((1 - survival).toPrecision(11)) : undefined,
    global_pool: head.pooling === 'average-max' ? '"catavgmax"' : undefined,
  };
  return [
    `def network(classes: int = ${classes}) -> EfficientNet:`,
    ...indented([
      `"""\`[n, ${input.channels}, ${input.resolution}, ${input.resolution}]\` float32, normalised, to logits \`[n, ${classes}]\`."""`,
      'return EfficientNet(',
      '    decode_arch_def(ARCH_DEF),',
      ...Object.entries(settings).flatMap(([name, value]) => (value === undefined ? [] : [`    ${name}=${value},`])),
      ')',
    ]),
  ].join('\n');
}

/** @returns the spec, of which stem and head fit. */
function expectFit(spec: ModelSpec): NetworkSpec {
  if (isTransformer(spec)) return refuse('the network', 'one of pictures', 'a transformer');
  const { stem, head } = spec;
  if (stem.stride !== 2) refuse('stem', 'stride 2', `stride ${stem.stride}`);
  if (stem.spaceToDepth)
    refuse('stem', 'a convolution of the pixels', `blocks of ${stem.spaceToDepth} × ${stem.spaceToDepth} pixels`);
  if (stem.maxPool) refuse('stem', 'no max-pooling', `max-pooling of ${stem.maxPool.kernel} × ${stem.maxPool.kernel}`);
  if (head.hidden) refuse('head', 'no hidden layer behind the pooling', `one of width ${head.hidden}`);
  if (head.width > 0 && head.activation !== stem.activation)
    refuse('head', `the stem’s activation ${stem.activation}`, head.activation);
  return spec;
}

/** timm gives all squeeze-excites one gate, and either one activation or each its block's. */
function squeezeExciteLayerOf(spec: NetworkSpec): string | undefined {
  let first: { readonly name: string; readonly layer: SqueezeExciteLayer; readonly settings: string } | undefined;
  for (const { name, activation, squeezeExcite: layer } of blocksOf(spec)) {
    if (!layer) continue;
    const own = layer.activation === activation ? '' : `, force_act_layer=${activations[layer.activation].layer}`;
    const settings = `gate_layer=${layer.gate === 'sigmoid' ? 'nn.Sigmoid' : 'nn.Hardsigmoid'}${own}`;
    first ??= { name, layer, settings };
    if (first.settings !== settings)
      refuse(name, `a squeeze-excite like that of ${first.name} (${first.settings})`, settings);
  }
  return !first || first.settings === 'gate_layer=nn.Sigmoid' ? undefined : `partial(SqueezeExcite, ${first.settings})`;
}

/** Block strings by stage; equal ones that follow each other are one with repeats. */
function archDef(spec: NetworkSpec): string[][] {
  const blocks = blocksOf(spec);
  return spec.stages.map((stage, index) => {
    const runs: { readonly string: string; count: number }[] = [];
    for (const block of blocks.filter((block) => block.stage === index)) {
      const string = blockString(block, stage, spec.stem.activation);
      const last = runs.at(-1);
      if (last?.string === string) last.count++;
      else runs.push({ string, count: 1 });
    }
    return runs.map(({ string, count }) => string.replace('_', `_r${count}_`));
  });
}

/** One block, without its repeats. Stride and skip are the stage's: timm gives the former to its first block alone. */
function blockString(block: Block, stage: Stage, networkActivation: Activation): string {
  const inverted = expectBlock(block);
  const { name, kernel, width, activation, squeezeExcite } = inverted;
  const kind = kindOf(inverted);
  if (kind === 'cn' && squeezeExcite)
    refuse(name, 'no squeeze-excite in a fused-mbconv of expansion 1', `one of width ${squeezeExcite.width}`);
  return [
    kind,
    `k${kernel}`,
    `s${stage.stride}`,
    ...(kind === 'ir' || kind === 'er' ? [`e${expansionOf(inverted, stage)}`] : []),
    `c${width}`,
    ...(squeezeExcite ? [`se${squeezeRatio(inverted, squeezeExcite, stage)}`] : []),
    ...(activation === networkActivation ? [] : [`n${activations[activation].code}`]),
    ...skipToken(stage, kind),
  ].join('_');
}

function expectBlock(block: Block): InvertedBlock {
  const { name, operator, stride, dilation } = block;
  if (!('expands' in block)) return refuse(name, 'mbconv or fused-mbconv', operator);
  if (block.spaceToDepth) refuse(name, 'no learned space-to-depth', 'one');
  if (dilation !== 1) refuse(name, 'no dilation', `a dilation of ${dilation}`);
  if (stride > 2) refuse(name, 'stride 1 or 2', `stride ${stride}`);
  if (block.projectStride > 1) refuse(name, 'the stride in the fused convolution', 'it in the projection');
  return block;
}

/** timm's name of the block: inverted residual, depthwise separable, edge residual, convolution alone. */
function kindOf({ operator, expands, projects }: InvertedBlock): 'ir' | 'ds' | 'er' | 'cn' {
  if (operator === 'mbconv') return expands ? 'ir' : 'ds';
  return projects ? 'er' : 'cn';
}

/** timm skips where shapes allow unless it is told not to, and in a convolution alone only where it is told to. */
function skipToken(stage: Stage, kind: string): string[] {
  const skips = 'skip' in stage && stage.skip;
  if (kind === 'cn') return skips ? ['skip'] : [];
  return skips ? [] : ['noskip'];
}

function expansionOf({ name, expandedWidth }: InvertedBlock, stage: Stage): number {
  if (divisibleBy8(expandedWidth) !== expandedWidth)
    refuse(name, 'expanded channels in multiples of 8, as timm rounds them', String(expandedWidth));
  return 'expansion' in stage ? stage.expansion : 1;
}

/** As timm rounds expanded channels. */
function divisibleBy8(channels: number): number {
  const rounded = Math.max(8, Math.floor((channels + 4) / 8) * 8);
  return rounded < 0.9 * channels ? rounded + 8 : rounded;
}

/** The spec's own ratio where timm rounds it to the same width, or else the one that it does. */
function squeezeRatio({ inWidth, expandedWidth }: InvertedBlock, { width }: SqueezeExciteLayer, stage: Stage): number {
  const ratio = 'squeezeExcite' in stage && typeof stage.squeezeExcite === 'number' ? stage.squeezeExcite : undefined;
  const rounded = (squeeze: number) => Math.round(expandedWidth * (squeeze / (expandedWidth / inWidth)));
  return ratio !== undefined && rounded(ratio) === width ? ratio : Number((width / inWidth).toPrecision(12));
}

/** A parameter's key in a timm model. */
export function timmKey(spec: NetworkSpec): (graph: Graph, parameter: Parameter) => string {
  const kinds = new Map<string, keyof typeof layerNames>(
    blocksOf(spec).flatMap((block) =>
      'expands' in block ? [[`stages.${block.stage}.${block.index}`, kindOf(block)] as const] : [],
    ),
  );
  return (graph, parameter) => {
    const key = stateKey(graph, parameter);
    const [, place = '', layer = ''] = /^(stages\.\d+\.\d+)\.(.*)$/.exec(key) ?? [];
    const kind = kinds.get(place);
    if (kind) return `${place.replace('stages', 'blocks')}.${renamed(layer, layerNames[kind])}`;
    return renamed(key, endNames);
  };
}

function renamed(key: string, names: Readonly<Record<string, string>>): string {
  const from = Object.keys(names).find((prefix) => key.startsWith(`${prefix}.`));
  return from === undefined ? key : `${names[from]}${key.slice(from.length)}`;
}

const endNames = { 'stem.conv': 'conv_stem', 'stem.norm': 'bn1', 'head.conv': 'conv_head', 'head.norm': 'bn2' };
const gateNames = { 'squeeze_excite.squeeze': 'se.conv_reduce', 'squeeze_excite.excite': 'se.conv_expand' };
const layerNames = {
  ir: {
    'expand.conv': 'conv_pw',
    'expand.norm': 'bn1',
    'depthwise.conv': 'conv_dw',
    'depthwise.norm': 'bn2',
    'project.conv': 'conv_pwl',
    'project.norm': 'bn3',
    ...gateNames,
  },
  ds: {
    'depthwise.conv': 'conv_dw',
    'depthwise.norm': 'bn1',
    'project.conv': 'conv_pw',
    'project.norm': 'bn2',
    ...gateNames,
  },
  er: {
    'fused.conv': 'conv_exp',
    'fused.norm': 'bn1',
    'project.conv': 'conv_pwl',
    'project.norm': 'bn2',
    ...gateNames,
  },
  cn: { 'fused.conv': 'conv', 'fused.norm': 'bn1' },
} as const;
