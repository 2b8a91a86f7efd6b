import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { defaultAugmentation } from '../../data/augment.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { parseTransformerSpec } from '../../models/transformer.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { plannedMacs, planStages, type RunSettings } from '../../training/stage-plan.ts';
import { trainingScheduleSchema } from '../../training/training-schedule.ts';

const spec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 32 },
    classes: 4,
    stem: { kernel: 3, stride: 1, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 16 },
  },
  'test network',
);
const run = (changes: Partial<RunSettings<typeof spec>> = {}): RunSettings<typeof spec> => ({
  spec,
  recipe: defaultRecipe(),
  augmentation: defaultAugmentation,
  examples: 3200,
  threads: 1,
  ...changes,
});
const plan = (stages: readonly object[], changes: Partial<RunSettings<typeof spec>> = {}) =>
  planStages(trainingScheduleSchema.parse({ stages }), run(changes));

const macs = (resolution: number): number =>
  countGraph(buildNetwork({ ...spec, input: { ...spec.input, resolution } }, 1)).macs;

describe('the plan of a schedule', () => {
  it('divides the examples by share, to whole updates that never drift from the shares', () => {
    const updates = plan([{ share: 1 }, { share: 1 }, { share: 1 }], { examples: 3200 }).map((stage) => stage.updates);
    expect(updates).toEqual([33, 34, 33]);
    const batches = plan([{ share: 0.5, batchSize: 96 }, { share: 0.3 }, { share: 0.2, batchSize: 16 }]);
    expect(batches.map((stage) => stage.updates)).toEqual([17, 29, 40]);
  });

  it('leaves stages without an update out of a short run, never the last', () => {
    const stages = [{ share: 1, batchSize: 256 }, { share: 1, batchSize: 64 }, { share: 1 }];
    expect(plan(stages, { examples: 40 }).map(({ recipe, updates }) => [recipe.batchSize, updates])).toEqual([[32, 2]]);
  });

  it('takes resolutions as shares or pixels', () => {
    const sides = plan([
      { share: 1, resolution: 0.4 },
      { share: 1, resolution: 24 },
      { share: 1, resolution: 1 },
    ]);
    expect(sides.map((stage) => stage.spec.input.resolution)).toEqual([13, 24, 32]);
  });

  it('rounds shares to what space-to-depth divides, and refuses pixels that it does not', () => {
    const folded = { ...spec, stem: { ...spec.stem, spaceToDepth: 4 } };
    const sides = [0.1, 0.3, 0.5, 0.7].flatMap((resolution) => {
      return plan([{ share: 1, resolution }], { spec: folded }).map((stage) => stage.spec.input.resolution);
    });
    expect(sides).toEqual([4, 8, 16, 24]);
    expect(() => plan([{ share: 1 }, { share: 1, resolution: 18 }], { spec: folded })).toThrow(
      /stages\[1\]\.resolution: expected a multiple of 4, .* got 18/,
    );
  });

  it('builds at every share where a region is folded by learned space-to-depth', () => {
    const learned = parseNetworkSpec(
      {
        input: { resolution: 32 },
        classes: 4,
        stem: { kernel: 3, stride: 2, width: 8 },
        stages: [
          { operator: 'mbconv', kernel: 3, stride: 1, expansion: 2, width: 8, repeats: 1, learnedSpaceToDepth: true },
          { operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 16, repeats: 1 },
        ],
        head: { width: 16 },
      },
      'learned',
    );
    for (let resolution = 0.2; resolution <= 1; resolution += 0.05)
      for (const stage of plan([{ share: 1, resolution }], { spec: learned })) buildNetwork(stage.spec, 2);
  });

  it('changes what a stage names and nothing else, the learning rate with the batch', () => {
    const augmentation = { ...defaultAugmentation, mixup: 0.2 };
    const [first, second] = plan(
      [
        {
          share: 1,
          batchSize: 64,
          weightDecay: 0,
          survival: 0.8,
          dropout: 0.3,
          augmentation: { mixup: 0, cutout: 0.5 },
        },
        {
          share: 1,
          learningRateScale: 0.5,
          labelSmoothing: 0,
          microBatches: 4,
          rematerialise: true,
          threads: 2,
          graphOptimization: 'all',
        },
      ],
      { augmentation },
    );
    const recipe = defaultRecipe();
    expect(first?.recipe).toEqual({ ...recipe, batchSize: 64, weightDecay: 0, learningRate: 2 * recipe.learningRate });
    expect(first?.spec).toEqual({ ...spec, survival: 0.8, head: { ...spec.head, dropout: 0.3 } });
    expect(first?.augmentation).toEqual({ ...augmentation, mixup: 0, cutout: 0.5 });
    expect(second?.recipe).toEqual({
      ...recipe,
      labelSmoothing: 0,
      microBatches: 4,
      rematerialise: true,
      learningRate: recipe.learningRate / 2,
    });
    expect(second).toMatchObject({ spec, augmentation, threads: 2, optimization: 'all' });
  });

  it('puts a crop in the place of the shift', () => {
    const [stage] = plan([{ share: 1, augmentation: { crop: {} } }]);
    expect(stage?.augmentation.shift).toBe(0);
    expect(stage?.augmentation.crop).toBeDefined();
  });

  it('costs the multiply-adds of its own resolutions', () => {
    const plans = plan([{ share: 1, resolution: 0.5 }, { share: 1 }]);
    expect(plannedMacs(plans)).toBe(1600 * (macs(16) + macs(32)));
  });
});

describe('the plan of a schedule that grows the network', () => {
  const grown = { ...spec, stages: spec.stages.map((stage) => ({ ...stage, width: 24, repeats: 3 })) };
  const shapes = (plans: readonly { readonly spec: typeof spec }[]) =>
    plans.map(({ spec: { stem, stages, head } }) => [stem.width, stages[0]?.width, stages[0]?.repeats, head.width]);

  it('has stages of parts of it, as scaling rounds', () => {
    const stages = [
      { share: 1, depth: 0.3, width: 0.5, resolution: 0.5 },
      { share: 1, depth: 0.4, width: 0.75 },
      { share: 1 },
    ];
    const plans = plan(stages, { spec: grown });
    expect(shapes(plans)).toEqual([
      [8, 16, 1, 8],
      [8, 24, 2, 16],
      [8, 24, 3, 16],
    ]);
    expect(plans[0]?.spec.input.resolution).toBe(16);
    expect(plans[2]?.spec).toEqual(grown);
    const macsOf = plans.map((each) => each.updates * 32 * countGraph(buildNetwork(each.spec, 1)).macs);
    expect(plannedMacs(plans)).toBe(macsOf.reduce((a, b) => a + b));
  });

  it('is refused where the network cannot grow so, naming stage and place', () => {
    const plain = { ...grown, stages: grown.stages.map((stage) => ({ ...stage, skip: false })) };
    expect(() => plan([{ share: 1, depth: 0.5 }, { share: 1 }], { spec: plain })).toThrow(ConfigError);
    expect(() => plan([{ share: 1, depth: 0.5 }, { share: 1 }], { spec: plain })).toThrow(
      /^stages\[0\]: the network cannot grow from here: head\.conv: expected a residual connection around every new layer/,
    );
    expect(plan([{ share: 1, width: 0.5 }, { share: 1 }], { spec: plain })).toHaveLength(2);
  });
});

describe('a schedule that cannot be', () => {
  it.each([
    [[], /expected array to have >=1 items/],
    [[{ share: 0 }], /expected number to be >0/],
    [[{}], /share/],
    [[{ share: 1, resolution: 2.5 }], /a share of the network’s resolution, above 0 up to 1, or whole pixels, from 4/],
    [[{ share: 1, precision: 'fp16' }], /expected fp32: weights, gradients and their moments are kept in 32 bits/],
    [[{ share: 1, depth: 0.5 }], /expected the whole network in the last stage, 1, got 0.5/],
    [[{ share: 1, width: 1.5 }, { share: 1 }], /expected number to be <=1/],
    [[{ share: 1 }, { share: 1, width: 0.5 }, { share: 1 }], /expected at least the 1 of the stage before, got 0.5/],
    [
      [{ share: 1, depth: 0.5 }, { share: 1, depth: 0.4 }, { share: 1 }],
      /at least the 0.5 of the stage before, got 0.4/,
    ],
    [[{ share: 1, augmentation: { mixUp: 1 } }], /Unrecognized key.*mixUp/],
  ])('is refused when it is read: %j', (stages, message) => {
    expect(() => trainingScheduleSchema.parse({ stages })).toThrow(message);
  });

  it.each([
    [{ microBatches: 5 }, /^stages\[1\]: microBatches: expected a divisor of the batch of 32, got 5$/],
    [{ augmentation: { crop: {}, shift: 0.2 } }, /^stages\[1\]\.augmentation: expected either a crop or a shift/],
    [{ batchSize: 1, augmentation: { mixup: 0.2 } }, /^stages\[1\]: expected at least 2 examples in a batch/],
  ])('is refused when it is planned: %j', (stage, message) => {
    expect(() => plan([{ share: 1 }, { share: 1, ...stage }])).toThrow(ConfigError);
    expect(() => plan([{ share: 1 }, { share: 1, ...stage }])).toThrow(message);
  });
});

describe('the plan of a transformer’s training', () => {
  const transformer = parseTransformerSpec(
    { kind: 'transformer', vocabulary: 8, context: 4, layers: 1, width: 8, heads: 2 },
    'test model',
  );
  const text = { ...run(), spec: transformer };

  it('has stages of what text has', () => {
    const stages = [
      { share: 1, batchSize: 64 },
      { share: 1, weightDecay: 0 },
    ];
    const plans = planStages({ stages }, text);
    expect(plans.map(({ recipe, updates }) => [recipe.batchSize, recipe.weightDecay, updates])).toEqual([
      [64, 5e-4, 25],
      [32, 0, 50],
    ]);
    expect(planStages('fixed', text)).toHaveLength(1);
  });

  it('has stages of fewer layers and, with a head of its own, of fewer heads', () => {
    const deep = parseTransformerSpec(
      { kind: 'transformer', vocabulary: 8, context: 4, layers: 4, width: 16, heads: 4, tiedHead: false },
      'test model',
    );
    const stages = [{ share: 1, depth: 0.5, width: 0.25 }, { share: 1, depth: 0.5 }, { share: 1 }];
    const plans = planStages({ stages }, { ...text, spec: deep });
    expect(plans.map(({ spec: { layers, width, heads, feedForward } }) => [layers, width, heads, feedForward])).toEqual(
      [
        [2, 4, 1, 16],
        [2, 16, 4, 64],
        [4, 16, 4, 64],
      ],
    );
    expect(() => planStages({ stages }, { ...text, spec: { ...deep, tiedHead: true } })).toThrow(
      /^stages\[0\]: the network cannot grow from here: logits: expected weights of its own/,
    );
  });

  it('refuses pictures’ settings, naming them', () => {
    expect(() => planStages('multigrid', text)).toThrow(
      /expected fixed or stages of your own for a transformer, got multigrid/,
    );
    expect(() => planStages({ stages: [{ share: 1, resolution: 0.5 }] }, text)).toThrow(
      /stages\[0\]\.resolution: expected no setting of pictures for a transformer/,
    );
  });
});
