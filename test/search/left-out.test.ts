import { expect, it } from 'vitest';
import { rankCorrelation } from '../../core/rank-correlation.ts';
import { Random } from '../../core/random.ts';
import { leftOutExpectations } from '../../search/left-out.ts';

const random = new Random('left out');
const choices = Array.from({ length: 40 }, (_, index) => ({
  width: 8 * (1 + random.integer(4)),
  operator: random.pick(['a', 'b', 'c']),
  // Not reachable in every trial.
  ...(index % 2 === 0 && { ratio: random.integer(2) }),
}));
const lossOf = ({ width, operator }: (typeof choices)[number]) => -width / 32 + (operator === 'a' ? 0.7 : 0);

it('a trial that is left out is expected to be what its choices make of the others', () => {
  const losses = choices.map(lossOf);
  expect(rankCorrelation(leftOutExpectations(choices, losses), losses)).toBeGreaterThan(0.9);
});

it('what is left out does not tell of itself', () => {
  const losses = choices.map(lossOf);
  const [first = 0] = leftOutExpectations(choices.slice(0, 9), losses.slice(0, 9));
  // Below ten trials nothing is fitted, so that of its own loss nothing is left at all.
  const [changed = 1] = leftOutExpectations(choices.slice(0, 9), [99, ...losses.slice(1, 9)]);
  expect(changed).toBe(first);
});

it('losses that are noise are not foreseen', () => {
  const noise = new Random('noise');
  // Leaving one out moves the mean away from it, so that without signal the order is if anything reversed. 4 σ of 400 trials.
  const expected: number[] = [];
  const losses: number[] = [];
  for (let run = 0; run < 10; run++) {
    const drawn = choices.map(() => noise.normal());
    expected.push(...leftOutExpectations(choices, drawn));
    losses.push(...drawn);
  }
  expect(rankCorrelation(expected, losses)).toBeLessThan(4 / Math.sqrt(400));
});
