import type { NetworkCount } from '../models/counts.ts';
import { fitConvolutionTime } from '../scaling/step-time.ts';
import { countSpec } from './evaluate.ts';
import type { StudyRecord } from './record.ts';

/** How long this study's trainings take, learnt from those that are done. */
export interface TrainingSpeed {
  /** Seconds of one training slot for one example, waiting for the host lock included. */
  readonly secondsPerExample: (count: NetworkCount) => number;
  /** As charged to the budget: eight accelerators for an hour are eight. */
  readonly deviceHoursPerExample: (count: NetworkCount) => number;
}

/**
 * The speed of a study's own trials by the step-time model: time grows with parameters, with what layers write and with
 * multiply-adds. Its batch is the same throughout, so an example stands for its share of a step.
 * @returns null while no training has ended, or none took time.
 */
export function trainingSpeed(record: StudyRecord): TrainingSpeed | null {
  const trained = record.trials.flatMap(({ id, spec }) => {
    const outcome = record.outcome(id);
    if (outcome?.status !== 'ok' || outcome.cost.examples === 0) return [];
    const { trainS, waitS = 0, deviceHours = trainS / 3600, examples } = outcome.cost;
    // A host on which others measure makes trainings wait; the final ones will wait as long.
    return [{ ...countSpec(spec), batch: 1, perExampleS: (trainS + waitS) / examples, hours: deviceHours / examples }];
  });
  const timed = trained.filter(({ perExampleS, hours }) => perExampleS > 0 && hours > 0);
  if (timed.length === 0) return null;
  const seconds = fitConvolutionTime(timed.map((one) => ({ ...one, seconds: one.perExampleS })));
  const hours = fitConvolutionTime(timed.map((one) => ({ ...one, seconds: one.hours })));
  return {
    secondsPerExample: (count) => seconds({ ...count, batch: 1 }),
    deviceHoursPerExample: (count) => hours({ ...count, batch: 1 }),
  };
}
