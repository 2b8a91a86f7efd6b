import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { NetworkSpec } from '../../../models/spec.ts';
import { applyMultipliers } from '../../../scaling/apply.ts';
import { Journal, journalPath } from '../../../study/journal/journal.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import { resolveRecipe } from '../../../study/evaluation/recipe.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import { finalWork } from '../../../study/train/final-training.ts';
import { trainingSpeed } from '../../../study/train/training-speed.ts';
import type { ScheduleChoice } from '../../../training/heuristic-schedules.ts';
import { planStages } from '../../../training/stage-plan.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { smallBase } from '../../scaling/base.ts';

const { recipe, augmentation } = resolveRecipe({});
const examples = 64 * recipe.batchSize * 8;

/** Seconds of an update on a machine whose optimizer is slow: it touches every parameter once an update. */
function updateS(spec: NetworkSpec, batch: number): number {
  const { params, activations, macs } = countSpec(spec);
  return 3e-6 * params + batch * (2e-9 * activations + 1e-10 * macs);
}

/** Seconds of an example in a training on that machine, update by update. */
function exampleS(spec: NetworkSpec, schedule: ScheduleChoice): number {
  const plans = planStages(schedule, { spec, recipe, augmentation, examples, threads: 1 });
  const seconds = plans.reduce((sum, plan) => sum + plan.updates * updateS(plan.spec, plan.recipe.batchSize), 0);
  return seconds / plans.reduce((sum, plan) => sum + plan.updates * plan.recipe.batchSize, 0);
}

/** A record of trials trained on that machine: networks of several shapes. */
function trained(): StudyRecord {
  const folder = join(fileFolder(), 'study');
  mkdirSync(folder, { recursive: true });
  const record = new StudyRecord(new Journal(journalPath(folder)));
  for (const resolution of [16, 24, 32])
    for (const width of [1, 1.5, 2]) {
      const { spec } = applyMultipliers(
        smallBase(resolution),
        { depth: 1, width, resolution: 1 },
        { maxResolution: 64 },
      );
      const fidelity = { examples: 1000, seed: 0 };
      const origin = { by: 'test', because: 'test' };
      const { id } = record.issue({ phase: 'search', choices: {}, spec, fidelity, origin });
      const trainS = 1000 * exampleS(spec, 'fixed');
      const cost = { trainS, measureS: 0, examples: 1000, flops: 1, peakRssBytes: 1 };
      record.answer(id, { status: 'ok', metrics: { accuracy: 0.5 }, cost });
    }
  return record;
}

const spec = smallBase(32);
const workBy = (schedule: ScheduleChoice) =>
  finalWork(resolveStudy({ study: 'x', final: { examples, schedule } }, 'x.yaml'), spec);

describe('the time of a final training, learnt from trials', () => {
  const { secondsPerExample, deviceHoursPerExample } = trainingSpeed(trained());

  it.each<[ScheduleChoice]>([
    ['fixed'],
    ['multigrid'],
    ['progressive-resize'],
    [{ stages: [{ share: 1, batchSize: 4 * recipe.batchSize }, { share: 1 }] }],
  ])('is that of its updates by the schedule %j, larger batches being fewer of them', (schedule) => {
    const work = workBy(schedule);
    const expected = exampleS(spec, schedule);
    expect((secondsPerExample?.(work) ?? NaN) / expected).toBeCloseTo(1, 6);
    expect((deviceHoursPerExample?.(work) ?? NaN) / (expected / 3600)).toBeCloseTo(1, 6);
  });

  it('counts batches in those of the recipe', () => {
    expect(workBy('fixed').batch).toBe(1);
    // Equally many updates of 8, 4, 2 and 1 batches.
    expect(workBy('multigrid').batch).toBeCloseTo(15 / 4, 1);
  });
});
