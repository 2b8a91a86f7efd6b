import { fitConvolutionTime } from '../../scaling/step-time.ts';
import { countSpec } from '../evaluation/evaluate.ts';
import type { StudyRecord } from '../journal/record.ts';
import { plainWork, type TrainingWork } from './final-training.ts';

/** How long this study's trainings take, learnt from those that are done; null where they took none. */
export interface TrainingSpeed {
  /** Seconds of one training slot for one example, waiting for the host lock included. */
  readonly secondsPerExample: PerExample | null;
  /** As charged to the budget: eight accelerators for an hour are eight. */
  readonly deviceHoursPerExample: PerExample | null;
}

type PerExample = (work: TrainingWork) => number;

/**
 * The speed of a study's own trials by the step-time model: time grows with parameters, with what layers write and with
 * multiply-adds. Trials have one batch, the recipe's, and batches are counted in it: the parameters' part is of an update.
 */
export function trainingSpeed(record: StudyRecord): TrainingSpeed {
  const trained = record.trials.flatMap(({ id, spec }) => {
    const outcome = record.outcome(id);
    if (outcome?.status !== 'ok' || outcome.cost.examples === 0) return [];
    const { trainS, waitS = 0, deviceHours = trainS / 3600, examples } = outcome.cost;
    // A host on which others measure makes trainings wait; the final ones will wait as long.
    return [{ ...plainWork(countSpec(spec)), perExampleS: (trainS + waitS) / examples, hours: deviceHours / examples }];
  });
  const fitted = (timesOf: (one: (typeof trained)[number]) => number): PerExample | null => {
    const timed = trained.map((one) => ({ ...one, seconds: timesOf(one) })).filter(({ seconds }) => seconds > 0);
    if (timed.length === 0) return null;
    const predict = fitConvolutionTime(timed);
    return (work) => predict(work) / work.batch;
  };
  return {
    secondsPerExample: fitted(({ perExampleS }) => perExampleS),
    deviceHoursPerExample: fitted(({ hours }) => hours),
  };
}
