import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  activationsRatio,
  compose,
  identity,
  macsRatio,
  type Multipliers,
  paramsRatio,
  power,
} from '../../scaling/multipliers.ts';

const factor = fc.double({ min: 0.5, max: 4, noNaN: true });
const multipliers: fc.Arbitrary<Multipliers> = fc.record({ depth: factor, width: factor, resolution: factor });

test('composing with the identity changes nothing', () => {
  fc.assert(
    fc.property(multipliers, (m) => {
      expect(compose(m, identity)).toEqual(m);
    }),
  );
});

test('every cost of a composition is the product of the costs', () => {
  fc.assert(
    fc.property(multipliers, multipliers, (a, b) => {
      for (const cost of [macsRatio, activationsRatio, paramsRatio])
        expect(cost(compose(a, b)) / (cost(a) * cost(b))).toBeCloseTo(1, 9);
    }),
  );
});

test('EfficientNet coefficients cost 1.920 multiply-adds per step of φ, not 2', () => {
  const coefficients = { depth: 1.2, width: 1.1, resolution: 1.15 };
  expect(macsRatio(coefficients)).toBeCloseTo(1.92, 3);
  expect(macsRatio(power(coefficients, 3))).toBeCloseTo(1.92027 ** 3, 3);
});
