import * as fc from 'fast-check';
import type { Family, StageInput } from '../../models/families/family.ts';
import type { Activation } from '../../models/spec.ts';

/** A network as a person writes it. */
export type SpecInput = Family['base'];

const activation = fc.constantFrom<Activation>('relu', 'relu6', 'silu', 'hard-swish');
const width = fc.integer({ min: 1, max: 12 });
const kernel = fc.integer({ min: 1, max: 5 });

const squeezeExcite = fc.oneof(
  fc.constantFrom(0, 0.25, 1),
  fc.record(
    {
      ratio: fc.constantFrom(0.1, 0.5),
      of: fc.constantFrom('input' as const, 'expanded' as const),
      multiple: fc.constantFrom(1, 8),
      activation,
      gate: fc.constantFrom('sigmoid' as const, 'hard-sigmoid' as const),
    },
    { requiredKeys: ['ratio'] },
  ),
);

/** A stride and a dilation that may stand together. */
const steps = fc.oneof(
  fc.record({ stride: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ stride: fc.constant(1), dilation: fc.integer({ min: 1, max: 3 }) }),
);
const shape = fc.record({ kernel, width, repeats: fc.integer({ min: 1, max: 2 }), activation });

const inverted: fc.Arbitrary<StageInput> = fc
  .tuple(
    shape,
    steps,
    fc.record({ expansion: fc.constantFrom(1, 1.5, 3), squeezeExcite, skip: fc.boolean() }),
    fc.constantFrom('mbconv', 'fused-mbconv', 'fused-mbconv, strided projection'),
  )
  .map(([own, step, particular, kind]): StageInput => {
    const settings = { ...own, ...step, ...particular };
    if (kind === 'mbconv') return { operator: 'mbconv', ...settings };
    if (kind === 'fused-mbconv') return { operator: 'fused-mbconv', ...settings };
    return { operator: 'fused-mbconv', ...settings, expansion: 2, strideAt: 'project' };
  });

const residual: fc.Arbitrary<StageInput> = fc
  .tuple(
    shape,
    steps,
    fc.constantFrom('convolution' as const, 'average-pool' as const),
    fc.constantFrom('basic', 'bottleneck', 'grouped bottleneck'),
    fc.record({ groupWidth: fc.integer({ min: 1, max: 3 }), groups: fc.integer({ min: 1, max: 3 }) }),
    squeezeExcite,
  )
  .map(([own, step, shortcut, kind, { groupWidth, groups }, squeeze]): StageInput => {
    const settings = { ...own, ...step, shortcut };
    if (kind === 'basic') return { operator: 'basic', ...settings };
    const bottleneck = { operator: 'bottleneck' as const, ...settings, bottleneckRatio: 0.5, squeezeExcite: squeeze };
    return kind === 'bottleneck' ? bottleneck : { ...bottleneck, width: 2 * groupWidth * groups, groupWidth };
  });

/** Stages from a learned space-to-depth to the stage that ends it. */
const region: fc.Arbitrary<readonly StageInput[]> = fc.array(inverted, { minLength: 2, maxLength: 3 }).map((stages) =>
  stages.map((stage, index): StageInput => ({
    ...stage,
    dilation: 1,
    stride: index === stages.length - 1 ? 2 : 1,
    ...(index === 0 && { learnedSpaceToDepth: true }),
  })),
);

/** Small valid networks of every kind of block and every option, at most 24 pixels a side. */
export const arbitrarySpec: fc.Arbitrary<SpecInput> = fc
  .record({
    channels: fc.integer({ min: 1, max: 3 }),
    blocks: fc.integer({ min: 4, max: 8 }),
    stem: fc.record(
      {
        kernel,
        stride: fc.integer({ min: 1, max: 2 }),
        width,
        activation,
        spaceToDepth: fc.integer({ min: 1, max: 3 }),
        maxPool: fc.record({ kernel: fc.integer({ min: 1, max: 4 }), stride: fc.integer({ min: 1, max: 3 }) }),
      },
      { requiredKeys: ['kernel', 'stride', 'width'] },
    ),
    stages: fc
      .array(
        fc.oneof(
          inverted.map((stage) => [stage]),
          residual.map((stage) => [stage]),
          region,
        ),
        {
          minLength: 1,
          maxLength: 3,
        },
      )
      .map((parts) => parts.flat()),
    head: fc.record(
      {
        width: fc.constantFrom(0, 10),
        activation,
        dropout: fc.constantFrom(0, 0.2),
        pooling: fc.constantFrom('average' as const, 'average-max' as const),
        hidden: fc.constantFrom(0, 6),
      },
      { requiredKeys: ['width'] },
    ),
    survival: fc.constantFrom(1, 0.8),
    fixedEnds: fc.boolean(),
  })
  .map(({ channels, blocks, ...spec }) => ({
    ...spec,
    // A multiple of the stem's pixel blocks.
    input: { channels, resolution: blocks * (spec.stem.spaceToDepth ?? 3) },
    classes: 3,
  }));
