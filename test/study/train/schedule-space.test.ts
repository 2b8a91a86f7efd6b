import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.ts';
import { defaultAugmentation } from '../../../data/augment.ts';
import { randAugmentSchema } from '../../../data/rand-augment.ts';
import { sampleChoices } from '../../../search/space.ts';
import {
  fixedChoices,
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
  augmentation: { ...defaultAugmentation, mixup: 0.2, randAugment: randAugmentSchema.parse({ magnitude: 8 }) },
};

describe('the space of training schedules', () => {
  it('leads from the first stage’s settings to the run’s own, the batch by factors of 2', () => {
    const { stages } = scheduleOfChoices(
      {
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
    expect(stages.map(({ augmentation }) => augmentation?.randAugment?.magnitude)).toEqual([0, 4, undefined]);
  });

  it('holds training without a schedule', () => {
    expect(scheduleOfChoices(fixedChoices, end)).toEqual({ stages: [{ share: 1 }] });
    const others = { ...fixedChoices, 'first.resolution': 0.5, 'last.share': 0.2 };
    expect(scheduleIdentity(others, end)).toBe(scheduleIdentity(fixedChoices, end));
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
      expect(plans.at(-1)).toMatchObject({ spec: tableSpec, recipe: end.recipe, augmentation: end.augmentation });
    }
  });
});
