import { z } from 'zod';
import { ConfigError } from '../core/errors.ts';
import { roundChannels } from './rounding.ts';
import { type Activation, type NetworkSpec, parseNetworkSpec } from './spec.ts';

/**
 * Networks in the notation of timm's EfficientNet builder (Wightman, PyTorch Image Models): stages of strings such as
 * `ir_r2_k3_s2_e6_c24_se0.25`, read as that builder reads them. What a {@link NetworkSpec} cannot say is refused by the
 * string that asks for it. As there, channels of the stem and of blocks become multiples of 8, those of the last convolution
 * stay as they are. We differ in the padding: SAME, as for every network here, where timm pads equally on all sides
 * unless told otherwise; parameters and multiply-adds are the same.
 */
const archDefinitionSchema = z.strictObject({
  name: z.string().optional(),
  /** `efficientnet`: the last convolution comes before pooling. `mobilenetv3`: it comes after, and squeeze-excite is Howard et al.'s. */
  model: z.enum(['efficientnet', 'mobilenetv3']).default('efficientnet'),
  /** Stages, each a list of blocks; only the first block of a stage has a stride. */
  arch_def: z.array(z.array(z.string()).min(1)).min(1),
  /** Channels after the 3×3 convolution of stride 2. */
  stem_size: z
    .int()
    .min(1)
    .max(8192)
    .default(32)
    .transform((wanted) => roundChannels(wanted)),
  /** Channels of the last 1×1 convolution; 0 for none. */
  num_features: z.int().min(0).max(65_536).default(1280),
  act_layer: z.enum(['relu', 'relu6', 'swish', 'silu', 'hard_swish']).default('relu'),
  num_classes: z.int().min(2).max(100_000).default(1000),
  in_chans: z.int().min(1).max(64).default(3),
  /** Pixels of a side. */
  img_size: z.int().min(4).max(4096).default(224),
  drop_rate: z.number().min(0).max(0.9).default(0),
  drop_path_rate: z.number().min(0).lt(1).default(0),
  bn_eps: z.number().positive().default(1e-5),
});
type ArchDefinition = z.output<typeof archDefinitionSchema>;
type StageInput = Readonly<Record<string, unknown>>;

/** Whether YAML or JSON is such a definition, rather than a spec. */
export function isArchDefinition(data: object): boolean {
  return 'arch_def' in data;
}

/**
 * Reads a definition.
 * @param where names the source in errors.
 * @throws {ConfigError} naming the key or the block that is wrong, or that no spec can say.
 */
export function parseArchDefinition(data: unknown, where: string): NetworkSpec {
  const parsed = archDefinitionSchema.safeParse(data);
  if (!parsed.success) throw new ConfigError(`${where}: not a timm definition\n${z.prettifyError(parsed.error)}`);
  const definition = parsed.data;
  const { name, model, act_layer: layer, num_features: features, drop_rate: dropout } = definition;
  const activation = activations[layer];
  const { blocks, width } = trunkOf(definition, where);
  const isLate = model === 'mobilenetv3';
  return parseNetworkSpec(
    {
      ...(name === undefined ? {} : { name }),
      input: { channels: definition.in_chans, resolution: definition.img_size },
      classes: definition.num_classes,
      stem: { kernel: 3, stride: 2, width: definition.stem_size, activation },
      stages: stagesOf(blocks, definition, where),
      head: { width: isLate ? width : features, hidden: isLate ? features : 0, activation, dropout },
      survival: 1 - definition.drop_path_rate,
      batchNorm: { epsilon: definition.bn_eps },
    },
    where,
  );
}

/** What a string says of one or several equal blocks. */
interface Block {
  readonly text: string;
  readonly type: string;
  readonly repeats: number;
  readonly kernel: number;
  readonly stride: number;
  readonly width: number;
  readonly expansion: number;
  /** Channels that `expansion` is of, where that is not the input. */
  readonly from: number | undefined;
  readonly squeeze: number;
  readonly activation: Activation;
  readonly skip: boolean | undefined;
}

const activations = {
  relu: 'relu',
  relu6: 'relu6',
  swish: 'silu',
  silu: 'silu',
  hard_swish: 'hard-swish',
} as const satisfies Record<ArchDefinition['act_layer'], Activation>;
const ownActivations: Readonly<Record<string, Activation>> = { re: 'relu', r6: 'relu6', hs: 'hard-swish', sw: 'silu' };
const blockTypes = ['ir', 'ds', 'er', 'cn'] as const;

function readBlock(text: string, fallback: Activation, where: string): Block {
  const [type = '', ...options] = text.split('_');
  const refuse = (got: string): never => {
    throw new ConfigError(`${where}: block ${text}: ${got}`);
  };
  if (!blockTypes.some((known) => known === type)) refuse(`expected ${blockTypes.join(', ')} first, got ${type}`);
  const numbers = new Map<string, number>();
  let activation = fallback;
  let skip: boolean | undefined;
  for (const option of options) {
    const [, key, value] = /^(r|k|s|c|fc)([1-9]\d*)$/.exec(option) ?? /^(e|se)([\d.]+)$/.exec(option) ?? [];
    const own = ownActivations[option.slice(1)];
    if (option === 'skip' || option === 'noskip') skip = option === 'skip';
    else if (option.startsWith('n') && own) activation = own;
    else if (key === undefined || value === undefined || !Number.isFinite(Number(value)))
      refuse(`expected options such as r2, k3, s2, e6, c24, se0.25, fc24, nre, skip or noskip, got ${option}`);
    else numbers.set(key, Number(value));
  }
  const needed = (key: string, fallback?: number): number =>
    numbers.get(key) ?? fallback ?? refuse(`expected also ${key}, as in ${key}1`);
  const fullInput = numbers.get('fc');
  return {
    text,
    type,
    repeats: needed('r'),
    kernel: needed('k'),
    stride: needed('s'),
    width: roundChannels(needed('c')),
    expansion: needed('e', type === 'ds' || type === 'cn' ? 1 : undefined),
    from: fullInput === undefined ? undefined : roundChannels(fullInput),
    squeeze: numbers.get('se') ?? 0,
    activation,
    skip,
  };
}

/** All blocks but MobileNetV3's last convolution before pooling, which a spec has in its head. */
function trunkOf(
  { arch_def: stages, act_layer: layer, model }: ArchDefinition,
  where: string,
): { readonly blocks: readonly Block[]; readonly width: number } {
  const blocks = stages.flatMap((stage) =>
    stage.map((text, index) => {
      const block = readBlock(text, activations[layer], where);
      return index === 0 ? block : { ...block, stride: 1 };
    }),
  );
  const last = blocks.at(-1);
  if (model !== 'mobilenetv3' || last?.type !== 'cn') return { blocks, width: 0 };
  if (last.kernel !== 1 || last.stride !== 1 || last.repeats !== 1)
    throw new ConfigError(`${where}: block ${last.text}: expected cn_r1_k1_s1 as the last of a mobilenetv3`);
  return { blocks: blocks.slice(0, -1), width: last.width };
}

function stagesOf(blocks: readonly Block[], definition: ArchDefinition, where: string): StageInput[] {
  let channels = definition.stem_size;
  return blocks.flatMap((block) => {
    const first = stageOf({ ...block, repeats: 1 }, channels, definition.model, where);
    channels = block.width;
    if (block.repeats === 1) return [first];
    const rest = stageOf({ ...block, stride: 1, repeats: block.repeats - 1 }, channels, definition.model, where);
    // Expanded widths are multiples of 8, so that equal expansions of unequal inputs may come out unequal.
    return first['expansion'] === rest['expansion'] ? [{ ...first, repeats: block.repeats }] : [first, rest];
  });
}

/** Equal blocks that all begin with so many channels. */
function stageOf(block: Block, channels: number, model: ArchDefinition['model'], where: string): StageInput {
  const { text, type, kernel, stride, width, repeats, activation, skip } = block;
  const shape = { kernel, stride, width, repeats, activation };
  if (type === 'cn') return { operator: 'fused-mbconv', ...shape, expansion: 1, skip: skip ?? false };
  const expanded = type === 'ds' ? channels : roundChannels((block.from ?? channels) * block.expansion);
  if (type !== 'ds' && expanded === channels)
    throw new ConfigError(
      `${where}: block ${text}: expected more than ${channels} expanded channels: a spec has no convolution for an expansion of 1, where timm keeps one; ${type === 'ir' ? 'ds' : 'cn'} has none`,
    );
  return {
    operator: type === 'er' ? 'fused-mbconv' : 'mbconv',
    ...shape,
    expansion: expanded / channels,
    squeezeExcite: squeezeOf(block, channels, model, where),
    skip: skip ?? true,
  };
}

function squeezeOf(
  { squeeze, text }: Block,
  channels: number,
  model: ArchDefinition['model'],
  where: string,
): number | object {
  if (squeeze === 0) return 0;
  if (model === 'mobilenetv3')
    return { ratio: squeeze, of: 'expanded', multiple: 8, activation: 'relu', gate: 'hard-sigmoid' };
  const width = channels * squeeze;
  // A spec rounds down where timm rounds to the nearest.
  if (Math.round(width) !== Math.floor(width))
    throw new ConfigError(`${where}: block ${text}: expected a squeeze to whole channels, got ${width} of ${channels}`);
  return squeeze;
}
