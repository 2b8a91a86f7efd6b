import { expect, it } from 'vitest';
import { tallyScores } from '../../training/scoring.ts';

it.each([3, 1_000_000])('tallies what is right and its nats among %s classes', (classes) => {
  const logits = new Float32Array(2 * classes).fill(-1000);
  const targets = new Float32Array(2 * classes);
  // Odds of 3 to 1 for the right one in the first row and for the wrong one in the second.
  logits.set([Math.log(3), 0]);
  logits.set([0, Math.log(3)], classes);
  targets.set([1], 0);
  targets.set([1], classes);
  const { rows, right, nats } = tallyScores(logits, { dtype: 'float32', shape: [2, classes], data: targets });
  expect({ rows, right }).toEqual({ rows: 2, right: 1 });
  expect(nats).toBeCloseTo(-Math.log(3 / 4) - Math.log(1 / 4), 6);
});
