import { describe, expect, it } from 'vitest';
import { curves } from '../../../bench/laws/page-data.ts';
import { chinchilla } from '../../../scaling/laws/chinchilla.ts';
import { fitEnvelope, type TrainingCurve } from '../../../scaling/laws/envelope.ts';
import { lossAt, thetaOf } from '../../../scaling/laws/law.ts';

const theta = thetaOf(chinchilla, { A: 482, B: 2085, E: 1.8169, alpha: 0.3478, beta: 0.3659 });
const sizes = Array.from({ length: 33 }, (_, i) => 1e7 * 10 ** (i / 8));

/** A run whose loss, before its rate has come down, is above that of a run that ends there. */
function curve(params: number, horizon: number, penalty: number): TrainingCurve {
  const points = Array.from({ length: 100 }, (_, i) => {
    const data = horizon * ((i + 1) / 100);
    return { data, loss: lossAt(chinchilla, theta, { params, data }) + penalty * (1 - data / horizon) };
  });
  return { params, horizon, points };
}

describe('approach 1', () => {
  it('finds the exponents where every length has a schedule of its own, from points near the ends', () => {
    const curves = sizes.flatMap((params) =>
      Array.from({ length: 25 }, (_, i) => curve(params, 20 * params * 2 ** ((i - 12) / 4), 0.05)),
    );
    const { law, envelope, warnings } = fitEnvelope(curves, { smoothing: 0, budgets: 300 });
    expect(warnings).toEqual([]);
    expect(Math.abs(law.paramsExponent - (chinchilla.exponents(theta)?.params ?? 0))).toBeLessThan(0.015);
    expect(envelope.filter(({ progress }) => progress > 0.85).length / envelope.length).toBeGreaterThan(0.9);
  });

  it('finds another exponent from checkpoints of one long schedule, and warns of it', () => {
    const { law, warnings } = fitEnvelope(sizes.map((params) => curve(params, 2e11, 0.3)));
    expect(warnings.join()).toMatch(/before the end of its run's schedule: the exponents are wrong/);
    expect(Math.abs(law.paramsExponent - (chinchilla.exponents(theta)?.params ?? 0))).toBeGreaterThan(0.05);
  });

  it('by the convex hull needs few curves', () => {
    const curves = sizes.filter((_, i) => i % 4 === 0).map((params) => curve(params, 20 * params, 0));
    const { law } = fitEnvelope(curves, { method: 'hull', smoothing: 0 });
    expect(Math.abs(law.paramsExponent - (chinchilla.exponents(theta)?.params ?? 0))).toBeLessThan(0.05);
  });

  it('smooths the noise of single steps', () => {
    const clean = curve(1e8, 2e9, 0);
    const noisy = {
      ...clean,
      points: clean.points.map(({ data, loss }, i) => ({ data, loss: loss + (i % 2 === 0 ? 0.2 : -0.2) })),
    };
    const longer = { ...curve(1e8, 2.2e9, 0), points: clean.points.map(({ data }) => ({ data: 1.1 * data, loss: 9 })) };
    const lowest = (options: { smoothing: number }) =>
      Math.min(...fitEnvelope([noisy, longer], options).envelope.map(({ loss }) => loss));
    expect(lowest({ smoothing: 0 })).toBeLessThan(lowest({ smoothing: 0.1 }) - 0.1);
  });

  it('finds the same exponent wherever the points of a curve were recorded', () => {
    const [logarithmic, linear] = [curves(false), curves(true)].map((recorded) => fitEnvelope(recorded));
    expect(logarithmic?.warnings).toEqual([]);
    expect(linear?.warnings).toEqual([]);
    // By the mean over ten points that was here before they were .455 and .348; without noise or smoothing .464 and .466.
    const exponents = [logarithmic, linear].map((fit) => fit?.law.paramsExponent ?? Number.NaN);
    expect(Math.abs((exponents[0] ?? 0) - (exponents[1] ?? 0))).toBeLessThan(0.005);
    for (const exponent of exponents) expect(Math.abs(exponent - 0.32 / 0.66)).toBeLessThan(0.025);
  });

  it('says when too few sizes touch the envelope', () => {
    expect(fitEnvelope([curve(1e8, 2e9, 0), curve(1e8, 8e9, 0)]).warnings.join()).toMatch(/touches only 1 model size/);
    expect(() => fitEnvelope([{ params: 1, horizon: 1, points: [{ data: 1, loss: 1 }] }])).toThrow(
      /at least 2 budgets/,
    );
  });
});
