import { describe, expect, test } from 'vitest';
import { familiesOf } from '../../bench/scaling/grids.ts';
import { Random } from '../../core/random.ts';
import { studentT } from '../../core/student-t.ts';
import { type AccuracyObservation, fitAccuracy } from '../../scaling/surrogate.ts';
import { publicTable } from '../cases/public-tables.ts';

const file = 'scaling-grids.csv';
const grids = publicTable(file);
const families = grids === undefined ? new Map() : familiesOf(grids, file);
const logit = (accuracy: number) => Math.log(accuracy / (1 - accuracy));

/** Root mean square error, and share of 80 % intervals that hold, for what was not among the smallest and 4 more of a family; 100 draws. */
function judge(name: string, further: readonly AccuracyObservation[] = []) {
  const [smallest, ...larger] = (families.get(name) ?? []) as readonly AccuracyObservation[];
  const errors: number[] = [];
  let covered = 0;
  for (let draw = 0; draw < 100; draw++) {
    const order = [...new Random('grid').child(draw).permutation(larger.length)].flatMap(
      (index) => larger[index] ?? [],
    );
    const { predict } = fitAccuracy([...(smallest ? [smallest] : []), ...order.slice(0, 4), ...further]);
    for (const { multipliers, accuracy } of order.slice(4)) {
      const expected = predict(multipliers);
      const error = logit(accuracy) - expected.logit;
      errors.push(error);
      if (Math.abs(error) <= studentT(0.8, Math.round(expected.degreesOfFreedom)) * expected.trainingLogitSd) covered++;
    }
  }
  return { error: Math.hypot(...errors) / Math.sqrt(errors.length), coverage: covered / errors.length };
}

describe.skipIf(grids === undefined)('the accuracy surrogate on public families of networks', () => {
  test('predicts a family from five of its networks within .06 logits, its 80 % intervals not too narrow', () => {
    for (const name of ['mobilenet_v1', 'mobilenet_v2', 'resnet_rs']) {
      const { error, coverage } = judge(name);
      expect(error, name).toBeLessThan(0.065);
      expect(coverage, name).toBeGreaterThan(0.8);
    }
  });

  test('is better by half with the family at another fidelity, and better with another family', () => {
    const alone = judge('mobilenet_v1').error;
    const quantised = (families.get('mobilenet_v1_int8') as readonly AccuracyObservation[]).map((each) => ({
      ...each,
      examplesRatio: Math.exp(-1),
    }));
    const other = (families.get('mobilenet_v2') as readonly AccuracyObservation[]).map((each) => ({
      ...each,
      isOther: true,
    }));
    expect(judge('mobilenet_v1', quantised).error).toBeLessThan(0.5 * alone);
    expect(judge('mobilenet_v1', other).error).toBeLessThan(alone);
  });
});
