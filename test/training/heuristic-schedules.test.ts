import { describe, expect, it } from 'vitest';
import { defaultAugmentation } from '../../data/augment.ts';
import { builtInNetwork } from '../../scaling/built-in-networks.ts';
import { efficientNetV2Sides, evenly, type HeuristicName, scheduleFor } from '../../training/heuristic-schedules.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { planStages } from '../../training/stage-plan.ts';
import { randAugmentSchema } from '../../data/rand-augment.ts';

const recipe = defaultRecipe();
const at = (resolution: number) => ({ resolution, recipe, augmentation: defaultAugmentation });

/** Mean over examples of side² against the target's: what a convolution's work is in proportion to. */
function meanArea(name: HeuristicName, resolution: number): number {
  const { stages } = scheduleFor(name, at(resolution));
  const whole = stages.reduce((sum, { share }) => sum + share, 0);
  return stages.reduce((sum, { share, resolution: side = 1 }) => sum + (share / whole) * side ** 2, 0);
}

describe('EfficientNetV2’s schedule', () => {
  it.each([
    ['S', 300, [171, 214, 257, 300]],
    ['M and L', 384, [192, 256, 320, 384]],
  ])('has the published sizes of %s', (_name, target, sides) => {
    expect(efficientNetV2Sides(target)).toEqual(sides);
  });

  it('saves the FLOPs that its sizes say: .642 of S are left, 1.56 times fewer, and .597 of M and L', () => {
    expect(meanArea('efficientnetv2', 300)).toBeCloseTo(0.642, 3);
    expect(1 / meanArea('efficientnetv2', 300)).toBeCloseTo(1.56, 2);
    expect(meanArea('efficientnetv2', 384)).toBeCloseTo(0.597, 3);
  });

  it('takes the same shares of small targets', () => {
    expect(efficientNetV2Sides(32)).toEqual([16, 21, 27, 32]);
    expect(efficientNetV2Sides(48)).toEqual([24, 32, 40, 48]);
  });

  it('interpolates as published: magnitudes 5, 10, 15, 20 and mixup 0, .167, .333, .5 of L', () => {
    expect(evenly(5, 20, 4)).toEqual([5, 10, 15, 20]);
    evenly(0, 0.5, 4).forEach((value, index) => expect(value).toBeCloseTo(index / 6, 12));
  });

  it('grows the run’s own RandAugment and mixup, ends with them, and adds none of its own', () => {
    const randAugment = randAugmentSchema.parse({ magnitude: 8 });
    const augmentation = { ...defaultAugmentation, randAugment, mixup: 0.3 };
    const { stages } = scheduleFor('efficientnetv2', { ...at(300), augmentation });
    expect(stages.map((stage) => stage.augmentation?.randAugment?.magnitude)).toEqual([5, 6, 7, 8]);
    expect(stages.map((stage) => stage.augmentation?.mixup?.toFixed(3))).toEqual(['0.000', '0.100', '0.200', '0.300']);
    for (const { augmentation: own } of scheduleFor('efficientnetv2', at(300)).stages) expect(own).toEqual({});
  });
});

describe('progressive resizing', () => {
  it('is Composer’s: half the side for half the run, the whole side for the last fifth, multiples of 4 between', () => {
    const { stages } = scheduleFor('progressive-resize', at(32));
    expect(stages.map(({ resolution = 1 }) => 32 * resolution)).toEqual([16, 20, 24, 28, 32]);
    expect(stages[0]?.share).toBe(0.5);
    expect(stages.at(-1)?.share).toBe(0.2);
    expect(stages.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
  });

  it.each([64, 224, 384])('has about half the mean area (%i px)', (side) => {
    expect(meanArea('progressive-resize', side)).toBeGreaterThan(0.47);
    expect(meanArea('progressive-resize', side)).toBeLessThan(0.52);
    expect(scheduleFor('progressive-resize', at(side)).stages.length).toBeLessThanOrEqual(10);
  });

  it.each([4, 6, 8, 12])('keeps shares of a whole run on tiny pictures (%i px)', (side) => {
    const { stages } = scheduleFor('progressive-resize', at(side));
    expect(stages.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
  });
});

describe('multigrid', () => {
  it('keeps batch × side², with as many updates at every size and the learning rate in proportion', () => {
    const { stages } = scheduleFor('multigrid', at(224));
    expect(stages.map(({ batchSize }) => batchSize)).toEqual([256, 128, 64, 32]);
    for (const { batchSize = 0, resolution = 0, share, learningRateScale } of stages) {
      expect(batchSize * resolution ** 2).toBeCloseTo(32, 10);
      expect(share / batchSize).toBe(1 / 32);
      expect(learningRateScale).toBe(batchSize / 32);
    }
    expect(meanArea('multigrid', 224)).toBeCloseTo(4 / 15, 12);
  });
});

it.each([
  ['fixed', 1],
  ['efficientnetv2', 4],
  ['progressive-resize', 8],
  ['multigrid', 4],
] as const)('%s ends at the network’s own resolution and recipe', (name, count) => {
  const spec = builtInNetwork('resnet-18');
  if (!spec) throw new Error('expected resnet-18');
  const plans = planStages(name, { spec, recipe, augmentation: defaultAugmentation, examples: 32_000, threads: 1 });
  expect(plans).toHaveLength(count);
  const last = plans.at(-1);
  expect(last?.spec).toEqual(spec);
  expect(last?.recipe).toEqual(recipe);
  expect(last?.augmentation).toEqual(defaultAugmentation);
});
