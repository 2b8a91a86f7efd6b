import type { Block, InvertedBlock, ResidualBlock } from '../models/blocks.ts';
import type { Activation } from '../models/spec.ts';
import type { PythonCode } from './python-text.ts';

/** What a framework calls the non-linearities and gates. */
export type ActivationNames = Readonly<Record<Activation | 'sigmoid' | 'hard-sigmoid', string>>;

/** What source calls to make a block. What a block does not have, or has as most do, is left out. */
export interface BlockCall {
  readonly kind: Block['operator'];
  /** Channels after those that come in: of the middle, where there is one, and those that go out. */
  readonly widths: readonly number[];
  readonly named: Readonly<Record<string, PythonCode | undefined>>;
}

/** A block as a call, apart from its shortcut, whose form differs between frameworks. */
export function blockCall(block: Block, names: ActivationNames): BlockCall {
  return 'expands' in block ? invertedCall(block, names) : residualCall(block, names);
}

function invertedCall(block: InvertedBlock, names: ActivationNames): BlockCall {
  const { operator, expandedWidth, width, stride, projects, projectStride, skip } = block;
  return {
    kind: operator,
    widths: [expandedWidth, width],
    named: {
      ...commonArguments(block, names),
      stride: unless(stride / projectStride, 1),
      project: unless(projects, true),
      project_stride: unless(projectStride, 1),
      skip: unless(skip, false),
      drop: skip ? dropRate(block) : undefined,
    },
  };
}

function residualCall(block: ResidualBlock, names: ActivationNames): BlockCall {
  const { operator, innerWidth, width, stride, groups } = block;
  return {
    kind: operator,
    widths: operator === 'basic' ? [width] : [innerWidth, width],
    named: {
      ...commonArguments(block, names),
      stride: unless(stride, 1),
      groups: unless(groups, 1),
      drop: dropRate(block),
    },
  };
}

function commonArguments(
  { kernel, activation, dilation, squeezeExcite }: Block,
  names: ActivationNames,
): BlockCall['named'] {
  return {
    kernel,
    dilation: unless(dilation, 1),
    ...(squeezeExcite && {
      squeezed: squeezeExcite.width,
      squeeze_activation: squeezeExcite.activation === activation ? undefined : names[squeezeExcite.activation],
      gate: squeezeExcite.gate === 'sigmoid' ? undefined : names[squeezeExcite.gate],
    }),
  };
}

/** Rounded: what is left of binary fractions after the eleventh digit is noise. */
function dropRate({ survival }: Block): number | undefined {
  return survival < 1 ? Number((1 - survival).toPrecision(11)) : undefined;
}

function unless<Value>(value: Value, byDefault: Value): Value | undefined {
  return value === byDefault ? undefined : value;
}
