import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  boxAround,
  extent,
  legend,
  linearScale,
  linearTicks,
  logScale,
  logTicks,
  marker,
  niceStep,
  placeLabels,
  seriesStyle,
} from '../../report/svg.ts';

describe('ticks', () => {
  it('steps by 1, 2 or 5 times a power of ten', () => {
    expect([niceStep(10, 5), niceStep(0.12, 5), niceStep(2300, 5), niceStep(1, 5)]).toEqual([2, 0.02, 500, 0.2]);
  });

  it('are written without the dust of binary fractions', () => {
    expect(linearTicks(0.1, 0.5, 4)).toEqual([0.1, 0.2, 0.3, 0.4, 0.5]);
  });

  it('of a logarithmic axis are powers of ten when there are enough of them', () => {
    expect(logTicks(0.5, 2000)).toEqual([1, 10, 100, 1000]);
  });

  it('of a logarithmic axis get denser as the range narrows', () => {
    expect(logTicks(0.4, 4)).toEqual([0.5, 1, 2]);
    expect(logTicks(0.38, 2.1)).toEqual([0.5, 1, 2]);
    expect(logTicks(1.02, 1.11)).toEqual([1.02, 1.04, 1.06, 1.08, 1.1]);
  });

  it('of a logarithmic axis over many decades stay few', () => {
    expect(logTicks(1e-6, 1e9).length).toBeLessThanOrEqual(7);
  });

  it('lie inside any domain, in order, two or more', () => {
    const low = fc.double({ min: 1e-3, max: 1e3, noNaN: true });
    fc.assert(
      fc.property(low, fc.double({ min: 1.05, max: 1e4, noNaN: true }), (from, ratio) => {
        for (const ticks of [linearTicks(from, from * ratio, 5), logTicks(from, from * ratio)]) {
          expect(ticks.length).toBeGreaterThanOrEqual(2);
          expect(ticks).toEqual(ticks.toSorted((a, b) => a - b));
          expect(Math.min(...ticks)).toBeGreaterThanOrEqual(from * (1 - 1e-6));
          expect(Math.max(...ticks)).toBeLessThanOrEqual(from * ratio * (1 + 1e-6));
        }
      }),
    );
  });
});

describe('scales', () => {
  it('widen a linear domain to round ticks', () => {
    const y = linearScale([0.712, 0.804], [300, 0]);
    expect(y.domain).toEqual([0.7, 0.82]);
    expect([y.at(0.7), y.at(0.82)]).toEqual([300, 0]);
  });

  it('place equal ratios at equal distances on a logarithmic axis', () => {
    const x = logScale([0.5, 8], [0, 100]);
    expect(x.at(2) - x.at(1)).toBeCloseTo(x.at(4) - x.at(2), 9);
  });

  it('make room around a single value', () => {
    expect(linearScale([0.7], [0, 100]).at(0.7)).toBeGreaterThan(0);
    expect(logScale([0.421], [0, 100]).at(0.421)).toBeCloseTo(50, 6);
    expect(linearScale([0], [0, 100]).at(0)).toBeCloseTo(50, 6);
  });

  it('keep every value inside the range', () => {
    const values = fc.array(fc.double({ min: 1e-3, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(values, (all) => {
        for (const scale of [linearScale(all, [10, 90]), logScale(all, [10, 90])])
          for (const value of all) {
            expect(scale.at(value)).toBeGreaterThanOrEqual(10 - 1e-6);
            expect(scale.at(value)).toBeLessThanOrEqual(90 + 1e-6);
          }
      }),
    );
  });

  it('refuse what they cannot show', () => {
    expect(() => extent([])).toThrow('expected at least one value');
    expect(() => logScale([0, 1], [0, 1])).toThrow('expected positive values');
  });
});

describe('marks', () => {
  it('carry their tooltip escaped', () => {
    expect(marker(1, 2, seriesStyle(0), '<b> & "c"').markup).toContain('<title>&lt;b&gt; &amp; &quot;c&quot;</title>');
  });

  it('start styles over when there are more series than styles', () => {
    expect(seriesStyle(6)).toEqual(seriesStyle(0));
  });

  it('wrap a legend that is wider than its place', () => {
    const entries = ['first line', 'second line', 'third line'].map((name, index) => ({
      name,
      style: seriesStyle(index),
    }));
    expect(legend(entries, 0, 0, 1000).height).toBe(18);
    expect(legend(entries, 0, 0, 150).height).toBe(54);
    expect(legend([], 0, 0, 150).height).toBe(0);
  });

  it('place labels clear of obstacles and of each other', () => {
    const within = { left: 0, top: 0, right: 400, bottom: 200 };
    const above = { left: 100, right: 300, top: 60, bottom: 97 };
    const points = [0, 1].map(() => ({ x: 200, y: 100, text: 'size', color: 'black' }));
    const placed = placeLabels(points, [above, boxAround(200, 100, 6)], within).markup;
    const positions = [...placed.matchAll(/x="([\d.]+)" y="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);
    expect(positions).toHaveLength(2);
    expect(positions[0]).not.toEqual(positions[1]);
    for (const [, y] of positions) expect(y).toBeGreaterThan(100);
  });
});
