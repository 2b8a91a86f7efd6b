import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columnsOf, lossAt, type LossLaw, naturalValues, type Point, thetaOf } from '../../scaling/laws/law.ts';

/** What every law of the loss promises. @param values natural parameters about which it is tried. */
export function describeLossLaw(law: LossLaw, values: Readonly<Record<string, number>>): void {
  const theta = thetaOf(law, values);
  const point = fc
    .record({
      params: fc.double({ min: 13, max: 26, noNaN: true }),
      data: fc.double({ min: 16, max: 30, noNaN: true }),
      share: fc.double({ min: 0, max: 5, noNaN: true }),
    })
    .map(({ params, data, share }): Point => {
      const all = Math.exp(data);
      return { params: Math.exp(params), data: all, uniqueData: all / Math.exp(share) };
    })
    .filter(({ params, data }) => Number.isFinite(params * data));
  const shifted = fc.array(fc.double({ min: -0.1, max: 0.1, noNaN: true }), {
    minLength: theta.length,
    maxLength: theta.length,
  });

  describe(`the law ${law.name}`, () => {
    it('has the gradient that differences of its values show', () => {
      fc.assert(
        fc.property(fc.array(point, { minLength: 1, maxLength: 4 }), shifted, (points, shift) => {
          const at = theta.map((value, k) => value * (1 + (shift[k] ?? 0)));
          const columns = columnsOf(points);
          const jacobian = at.map(() => new Float64Array(points.length));
          const losses = new Float64Array(points.length);
          law.logLosses(at, columns, losses, jacobian);
          const plain = new Float64Array(points.length);
          law.logLosses(at, columns, plain);
          for (const [i, loss] of losses.entries()) expect(plain[i]).toBeCloseTo(loss, 12);
          for (const [k, column] of jacobian.entries()) {
            const step = 1e-5;
            const move = (by: number): Float64Array => {
              const out = new Float64Array(points.length);
              law.logLosses(at.with(k, (at[k] ?? 0) + by), columns, out);
              return out;
            };
            const [up, down] = [move(step), move(-step)];
            for (const [i, slope] of column.entries()) {
              const difference = ((up[i] ?? 0) - (down[i] ?? 0)) / (2 * step);
              expect(Math.abs(difference - slope)).toBeLessThan(1e-4 * Math.max(1, Math.abs(slope)));
            }
          }
        }),
        { numRuns: 60, seed: 7 },
      );
    });

    it('has an optimum that spends the budget and that no other size beats', () => {
      fc.assert(
        fc.property(fc.double({ min: 18, max: 25, noNaN: true }), (power) => {
          const flops = 10 ** power;
          const { params, data } = law.optimum(theta, flops);
          expect((6 * params * data) / flops).toBeCloseTo(1, 6);
          const best = lossAt(law, theta, { params, data });
          for (const factor of [0.5, 0.9, 1.1, 2])
            expect(lossAt(law, theta, { params: params * factor, data: data / factor })).toBeGreaterThanOrEqual(
              best * (1 - 1e-12),
            );
        }),
        { numRuns: 20, seed: 7 },
      );
    });

    it('has the exponents of that optimum, where it names any', () => {
      const exponents = law.exponents(theta);
      if (!exponents) return;
      const [small, large] = [law.optimum(theta, 1e20), law.optimum(theta, 1e22)];
      expect(Math.log(large.params / small.params) / Math.log(100)).toBeCloseTo(exponents.params, 6);
      expect(Math.log(large.data / small.data) / Math.log(100)).toBeCloseTo(exponents.data, 6);
    });

    it('turns natural values into theta and back', () => {
      const back = naturalValues(law, theta);
      for (const [name, value] of Object.entries(values)) expect((back[name] ?? 0) / value).toBeCloseTo(1, 12);
      const [first = ''] = Object.keys(values);
      expect(() => thetaOf(law, { ...values, [first]: Number.NaN })).toThrow(first);
    });

    it('says where it and its constants come from', () => {
      expect(law.source).toMatch(/\(20\d\d\)/);
      for (const constants of law.constants) {
        expect(constants.source.length).toBeGreaterThan(10);
        expect(() => thetaOf(law, constants.values)).not.toThrow();
      }
    });
  });
}
