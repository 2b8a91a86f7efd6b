import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import { type Elasticity, fitElasticity, powerLawText } from '../../scaling/elasticity.ts';
import { latencyDesign } from '../../scaling/latency-design.ts';
import type { Multipliers } from '../../scaling/multipliers.ts';
import { smallBase } from './base.ts';

const designOf = (count: number) =>
  latencyDesign(smallBase(), { maxResolution: 64 }, 4, count).map(({ realised }) => realised);
const design = designOf(15);
const powerLaw = ({ depth, width, resolution }: Multipliers) => 0.8 * depth ** 0.9 * width ** 1.3 * resolution ** 1.9;
const saturated = (multipliers: Multipliers) => Math.max(1.2, powerLaw(multipliers));
const unseen: Multipliers = { depth: 2, width: 1.5, resolution: 1.4 };
const truth = { depth: 0.9, width: 1.3, resolution: 1.9 };

const noisy = (points: readonly Multipliers[], sd: number, random: Random, of = powerLaw) =>
  points.map((multipliers) => ({ multipliers, latencyMs: of(multipliers) * Math.exp(sd * random.normal()) }));

describe('the elasticity of latency', () => {
  test('has the exponents of ordinary least squares, solved here by its normal equations', () => {
    const observations = noisy(design, 0.05, new Random('normal equations'));
    const rows = observations.map(({ multipliers: { depth, width, resolution } }) => [
      1,
      Math.log(depth),
      Math.log(width),
      Math.log(resolution),
    ]);
    const logs = observations.map(({ latencyMs }) => Math.log(latencyMs));
    const gram = [0, 1, 2, 3].map((i) =>
      [0, 1, 2, 3].map((j) => sum(rows.map((row) => (row[i] ?? 0) * (row[j] ?? 0)))),
    );
    const inverse = invert(gram);
    const moment = [0, 1, 2, 3].map((i) => sum(rows.map((row, k) => (row[i] ?? 0) * (logs[k] ?? 0))));
    const beta = inverse.map((row) => sum(row.map((value, i) => value * (moment[i] ?? 0))));
    const residuals = rows.map((row, k) => (logs[k] ?? 0) - sum(row.map((value, i) => value * (beta[i] ?? 0))));
    const s2 = sum(residuals.map((value) => value ** 2)) / (rows.length - 4);
    const { exponents, residualSd, rSquared, determined } = fitElasticity(observations);
    expect(determined).toBe(true);
    expect(residualSd).toBeCloseTo(Math.sqrt(s2), 9);
    const mean = sum(logs) / logs.length;
    expect(rSquared).toBeCloseTo(1 - (s2 * (rows.length - 4)) / sum(logs.map((log) => (log - mean) ** 2)), 9);
    // 97.5 % point of t with 11 degrees of freedom, from tables.
    expect(rows).toHaveLength(15);
    for (const [index, axis] of (['depth', 'width', 'resolution'] as const).entries()) {
      expect(exponents[axis].value).toBeCloseTo(beta[index + 1] ?? 0, 9);
      const half = 2.20099 * Math.sqrt(s2 * (inverse[index + 1]?.[index + 1] ?? 0));
      expect((exponents[axis].hi - exponents[axis].lo) / 2).toBeCloseTo(half, 5);
    }
  });

  test('has intervals that hold the truth as often as they say', () => {
    const runs = 300;
    const held = { depth: 0, width: 0, resolution: 0 };
    for (let run = 0; run < runs; run++) {
      const { exponents } = fitElasticity(noisy(design, 0.04, new Random('coverage').child(run)));
      for (const axis of ['depth', 'width', 'resolution'] as const)
        if (exponents[axis].lo <= truth[axis] && truth[axis] <= exponents[axis].hi) held[axis]++;
    }
    // 95 % of 300 is 285 with a deviation of 3.8; four of them.
    for (const count of Object.values(held)) expect(Math.abs(count - 0.95 * runs)).toBeLessThan(15.1);
  });

  test('predicts what was not measured, noise of 3 % included', () => {
    const { leaveOneOutError, predict } = fitElasticity(noisy(design, 0.03, new Random('latency')));
    expect(leaveOneOutError).toBeLessThan(0.09);
    expect(Math.abs(Math.log(predict(unseen).latencyMs / powerLaw(unseen)))).toBeLessThan(0.09);
    const { lo, hi } = predict(unseen).intervalMs;
    expect(lo).toBeLessThan(powerLaw(unseen));
    expect(hi).toBeGreaterThan(powerLaw(unseen));
  });

  test.each([
    { grows: 'never', power: 0 },
    { grows: 'with-depth', power: 1 },
  ])('finds an overhead that grows $grows, and so does not take large networks for fast', ({ grows, power }) => {
    const of = (multipliers: Multipliers) => 1.5 * multipliers.depth ** power + powerLaw(multipliers);
    const elasticity = fitElasticity(design.map((multipliers) => ({ multipliers, latencyMs: of(multipliers) })));
    expect(elasticity.overhead.grows).toBe(grows);
    expect(elasticity.overhead.ms).toBeCloseTo(1.5, 0);
    const huge = { depth: 4, width: 1, resolution: 1.75 };
    expect(Math.abs(Math.log(elasticity.predict(huge).latencyMs / of(huge)))).toBeLessThan(0.03);
    // Doubling the width of a network that is mostly overhead hardly costs: the exponent at the base says so.
    expect(elasticity.atBase.width).toBeLessThan(0.6);
    expect(elasticity.atBase.width).toBeLessThan(elasticity.exponents.width.value);
  });

  test('tells a bend from a straight line: launches that bound small inputs only', () => {
    const points = designOf(24);
    const straight = fitElasticity(noisy(points, 0.02, new Random('straight')));
    const bent = fitElasticity(noisy(points, 0.02, new Random('bent'), saturated));
    expect(bends(straight)).toEqual([false, false, false]);
    expect(bent.curvature.resolution?.bends).toBe(true);
    expect(bent.curvature.resolution?.to.exponent).toBeGreaterThan(
      (bent.curvature.resolution?.from.exponent ?? 9) + 0.3,
    );
  });

  test('from the base alone it still ranks by size, with a wide interval, and says that a prior helps', () => {
    const elasticity = fitElasticity([{ multipliers: { depth: 1, width: 1, resolution: 1 }, latencyMs: 2 }]);
    const { latencyMs, intervalMs } = elasticity.predict(unseen);
    expect(latencyMs).toBeGreaterThan(4);
    expect(intervalMs.hi / intervalMs.lo).toBeGreaterThan(1.5);
    expect(elasticity.determined).toBe(false);
    expect(powerLawText(elasticity)).toMatch(/^d\^1\.00 · w\^1\.50 · r\^1\.80 \(± .*, a prior included\)$/);
  });

  test('an axis that the points do not move, or move with another, keeps its prior', () => {
    const flat = design.map((multipliers) => ({ ...multipliers, resolution: 1 }));
    const still = fitElasticity(noisy(flat, 0.02, new Random('flat')));
    expect(still.determined).toBe(false);
    expect(still.exponents.resolution.value).toBeCloseTo(1.8, 6);
    expect(still.exponents.width.value).toBeCloseTo(1.3, 1);
    const tied = design.map((multipliers) => ({ ...multipliers, width: multipliers.depth }));
    expect(fitElasticity(noisy(tied, 0.02, new Random('tied'))).determined).toBe(false);
  });

  test('without any latency there is nothing to fit', () => {
    expect(() => fitElasticity([])).toThrow('at least one observed latency');
  });
});

function bends({ curvature }: Elasticity) {
  return Object.values(curvature).map((one) => one?.bends);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Inverse of a small matrix by Gauss–Jordan elimination. */
function invert(matrix: readonly (readonly number[])[]): readonly (readonly number[])[] {
  const rows = matrix.map((row, i) => [...row, ...matrix.map((_, j) => (i === j ? 1 : 0))]);
  for (const [i, row] of rows.entries()) {
    const pivot = row[i] ?? 1;
    for (let j = 0; j < row.length; j++) row[j] = (row[j] ?? 0) / pivot;
    for (const [k, other] of rows.entries()) {
      const factor = other[i] ?? 0;
      if (k !== i) for (let j = 0; j < other.length; j++) other[j] = (other[j] ?? 0) - factor * (row[j] ?? 0);
    }
  }
  return rows.map((row) => row.slice(matrix.length));
}
