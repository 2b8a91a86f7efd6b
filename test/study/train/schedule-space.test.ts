import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.ts';
import { defaultAugmentation } from '../../../data/augment.ts';
import { randAugmentSchema } from '../../../data/rand-augment.ts';
import { sampleChoices } from '../../../search/space.ts';
import {
  fixedChoices,
  levelSchedule,
  scheduleIdentity,
  scheduleOfChoices,
  scheduleSpace,
} from '../../../study/train/schedule-space.ts';
import { defaultRecipe } from '../../../training/recipe.ts';
import { planStages } from '../../../training/stage-plan.ts';
import { trainingScheduleSchema } from '../../../training/training-schedule.ts';
import { tableSpec } from '../../jobs/chaos/table-evaluator.ts';

const end = {
  recipe: defaultRecipe(),
  augmentation: {
    ...defaultAugmentation,
    cutout: 0.25,
    mixup: 0.2,
    randAugment: randAugmentSchema.parse({ magnitude: 8 }),
  },
};

describe('the space of training schedules', () => {
  it('leads from the first stage’s settings to the run’s own, the batch by factors of 2', () => {
    const { stages } = scheduleOfChoices(
      {
        ...fixedChoices,
        stages: 3,
        'last.share': 0.2,
        'first.resolution': 0.5,
        'first.batch': 4,
        'first.regularisation': 0,
      },
      end,
    );
    expect(stages.map(({ share }) => share)).toEqual([0.4, 0.4, 0.2]);
    expect(stages.map(({ resolution }) => resolution)).toEqual([0.5, 0.75, undefined]);
    expect(stages.map(({ batchSize }) => batchSize)).toEqual([128, 64, undefined]);
    expect(stages.map(({ labelSmoothing }) => labelSmoothing)).toEqual([0, 0.05, undefined]);
    expect(stages.map(({ augmentation }) => augmentation?.mixup)).toEqual([0, 0.1, undefined]);
    expect(stages.map(({ augmentation }) => augmentation?.shift)).toEqual([0, 0.0625, undefined]);
    expect(stages.map(({ augmentation }) => augmentation?.cutout)).toEqual([0, 0.125, undefined]);
    expect(stages.map(({ augmentation }) => augmentation?.randAugment?.magnitude)).toEqual([0, 4, undefined]);
  });

  it('holds training without a schedule', () => {
    expect(scheduleOfChoices(fixedChoices, end)).toEqual({ stages: [{ share: 1 }] });
    const others = { ...fixedChoices, 'first.resolution': 0.5, 'last.share': 0.2 };
    expect(scheduleIdentity(others, end)).toBe(scheduleIdentity(fixedChoices, end));
  });

  it('ends with half the run’s batch where that is chosen, and raises the rate of an example in all stages', () => {
    const choices = { ...fixedChoices, stages: 2, 'last.batch': 0.5, 'first.batch': 4, rate: 4 };
    const schedule = scheduleOfChoices(choices, end);
    expect(schedule.stages).toMatchObject([
      { batchSize: 64, learningRateScale: 8 },
      { batchSize: 16, learningRateScale: 2 },
    ]);
    expect(levelSchedule(schedule)).toEqual({ stages: [{ share: 1, batchSize: 16, learningRateScale: 2 }] });
    expect(levelSchedule(scheduleOfChoices({ ...choices, stages: 1 }, end))).toEqual(levelSchedule(schedule));
  });

  it('keeps batches whole micro-batches of pictures enough to mix', () => {
    const choices = { ...fixedChoices, 'last.batch': 0.5 };
    const batchOf = (batchSize: number, microBatches: number) => {
      const recipe = defaultRecipe({ batchSize, microBatches });
      return scheduleOfChoices(choices, { ...end, recipe }).stages[0]?.batchSize;
    };
    expect([batchOf(64, 4), batchOf(40, 8), batchOf(24, 8)]).toEqual([32, 24, 16]);
    // As small as it may be already.
    expect(batchOf(16, 8)).toBeUndefined();
  });

  it('decides on threads where there are cores to decide on', () => {
    expect(scheduleOfChoices({ ...fixedChoices, threads: 4 }, end)).toEqual({ stages: [{ share: 1, threads: 4 }] });
    expect(sampleChoices(scheduleSpace(1), new Random(1))).not.toHaveProperty('threads');
    expect(sampleChoices(scheduleSpace(4), new Random(1))).toHaveProperty('threads');
  });

  it('has schedules alone that can be read, planned and end as the run does', () => {
    const space = scheduleSpace(2);
    for (let draw = 0; draw < 200; draw++) {
      const schedule = scheduleOfChoices(sampleChoices(space, new Random(draw)), end);
      expect(trainingScheduleSchema.parse(schedule)).toEqual(schedule);
      const plans = planStages(schedule, { spec: tableSpec, ...end, examples: 8000, threads: 1 });
      const { labelSmoothing } = end.recipe;
      expect(plans.at(-1)).toMatchObject({
        spec: tableSpec,
        recipe: { labelSmoothing },
        augmentation: end.augmentation,
      });
    }
  });
});
