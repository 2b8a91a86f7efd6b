import { describe, expect, test } from 'vitest';
import { cholesky } from '../../core/linear-algebra.ts';
import { Random } from '../../core/random.ts';
import { type NetworkSpec, specDigest } from '../../models/spec.ts';
import { applyMultipliers, realisedKey } from '../../scaling/apply.ts';
import type { ScalingObservation } from '../../scaling/candidates.ts';
import { proposeGlobalScalings } from '../../scaling/global-scaling.ts';
import { latencyDesign } from '../../scaling/latency-design.ts';
import { activationsRatio, macsRatio, type Multipliers } from '../../scaling/multipliers.ts';
import { proposeScalings, type ScalingProblem } from '../../scaling/optimizer.ts';
import { smallBase } from './base.ts';

const base = smallBase();
const constraints = { maxResolution: 80 };
const sizes = [
  { name: '2x', targetMs: 2 },
  { name: '4x', targetMs: 4 },
];

type Cost = (multipliers: Multipliers) => number;

function designObservations(latencyOf: Cost, reach = 4): readonly ScalingObservation[] {
  return latencyDesign(base, constraints, reach).map(({ realised }) => ({
    multipliers: realised,
    latencyMs: latencyOf(realised),
  }));
}

function problem(changes: Partial<ScalingProblem> = {}): ScalingProblem {
  const observations = designObservations(macsRatio);
  return { base, sizes, observations, constraints, count: 4, seed: 1, ...changes };
}

/** The loop a study runs: propose, measure, train what keeps its target, observe. */
function search(latencyOf: Cost, accuracyOf: Cost, targetMs: number, rounds: number): Multipliers {
  let observations = designObservations(latencyOf, targetMs);
  let best = { multipliers: { depth: 1, width: 1, resolution: 1 }, accuracy: -Infinity };
  for (let round = 0; round < rounds; round++) {
    const [result] = proposeScalings(problem({ sizes: [{ name: 'only', targetMs }], observations, count: 4 }));
    for (const { realised } of result?.proposals ?? []) {
      const latencyMs = latencyOf(realised);
      const accuracy = latencyMs <= targetMs ? accuracyOf(realised) : undefined;
      observations = [...observations, { multipliers: realised, latencyMs, accuracy }];
      if (accuracy !== undefined && accuracy > best.accuracy) best = { multipliers: realised, accuracy };
    }
  }
  return best.multipliers;
}

function narrowStem(spec: NetworkSpec): boolean {
  return spec.stem.width <= 16;
}

function baseSized(spec: NetworkSpec): boolean {
  return spec.stages.every(({ repeats, width }) => repeats <= 3 && width <= 40);
}

/** Every doubling of depth, width and resolution helps, each a little less than the one before. */
function accuracy({ depth, width, resolution }: Multipliers): number {
  return 1 / (1 + Math.exp(-(gain(depth, 0.3) + gain(width, 0.55) + gain(resolution, 0.6))));
}

function gain(value: number, slope: number): number {
  return slope * Math.log(value) - 0.12 * Math.log(value) ** 2;
}

function wideHelps({ depth, width, resolution }: Multipliers): number {
  return 0.5 + 0.2 * Math.log(width) + 0.01 * Math.log(depth * resolution);
}

/** Of the information that points hold on a constant, three slopes, their squares and products. */
function logDeterminant(points: readonly Multipliers[]): number {
  const rows = points.map(({ depth, width, resolution }) => {
    const [d, w, r] = [Math.log(depth), Math.log(width), Math.log(resolution)];
    return [1, d, w, r, d * d, w * w, r * r, d * w, d * r, w * r];
  });
  const information = Array.from({ length: 10 }, (_outer, i) =>
    Array.from({ length: 10 }, (_, j) =>
      rows.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), i === j ? 1e-9 : 0),
    ),
  );
  return 2 * cholesky(information).reduce((sum, row, i) => sum + Math.log(row[i] ?? 0), 0);
}

describe('the latency design', () => {
  test.each([8, 15, 30])('is %i distinct networks that move every axis alone and together', (count) => {
    const design = latencyDesign(base, constraints, 4, count);
    expect(design).toHaveLength(count);
    expect(new Set(design.map(({ spec }) => specDigest(spec))).size).toBe(design.length);
    for (const axis of ['depth', 'width', 'resolution'] as const)
      expect(
        design.some(
          ({ realised }) => realised[axis] > 1.3 && Object.values(realised).filter((v) => v === 1).length === 2,
        ),
      ).toBe(true);
  });

  test('tells more of a quadratic model than as many scalings drawn from the same range', () => {
    const design = latencyDesign(base, constraints, 4, 24).map(({ realised }) => realised);
    const random = new Random('design');
    for (let draw = 0; draw < 20; draw++) {
      const others = Array.from({ length: 24 }, () => {
        const [a, b, c] = [random.uniform(), random.uniform(), random.uniform()];
        const whole = Math.max(1, a + b + c);
        const reach = Math.log(4) / whole;
        const multipliers = {
          depth: Math.exp(a * reach),
          width: Math.exp((b * reach) / 1.5),
          resolution: Math.exp((c * reach) / 1.8),
        };
        return applyMultipliers(base, multipliers, constraints).realised;
      });
      expect(logDeterminant(design)).toBeGreaterThan(logDeterminant(others) + 2);
    }
  });

  test('keeps within the native side, the limits, and what a spec can hold', () => {
    for (const { spec } of latencyDesign(base, { maxResolution: 32 }, 1e9))
      expect(spec.input.resolution).toBeLessThanOrEqual(32);
    const narrow = latencyDesign(base, { ...constraints, admits: (spec) => spec.head.width <= 128 }, 4);
    expect(narrow.every(({ spec }) => spec.head.width <= 128)).toBe(true);
  });
});

describe('proposals', () => {
  test('for each size are distinct networks predicted within 80–100 % of the target and inside the limits', () => {
    const results = proposeScalings(problem());
    expect(results.map(({ size, status }) => [size.name, status])).toEqual([
      ['2x', 'in-band'],
      ['4x', 'in-band'],
    ]);
    for (const { size, proposals } of results) {
      expect(new Set(proposals.map(({ spec }) => specDigest(spec))).size).toBe(4);
      for (const { latencyMs, spec } of proposals) {
        expect(latencyMs).toBeLessThanOrEqual(size.targetMs);
        expect(latencyMs).toBeGreaterThanOrEqual(0.8 * size.targetMs);
        expect(spec.input.resolution).toBeLessThanOrEqual(80);
      }
    }
  });

  test('before accuracies are known they spread over depth, width and resolution', () => {
    const [, result] = proposeScalings(problem());
    const logs = (result?.proposals ?? []).map(({ realised: { depth, width, resolution } }) => [
      Math.log(depth),
      2 * Math.log(width),
      2 * Math.log(resolution),
    ]);
    const leaders = logs.map((values) => values.indexOf(Math.max(...values)));
    expect(new Set(leaders)).toEqual(new Set([0, 1, 2]));
    expect(result?.proposals.every(({ reason }) => reason === 'spread')).toBe(true);
  });

  test('are a function of the problem', () => {
    expect(proposeScalings(problem())).toEqual(proposeScalings(problem()));
  });

  test('are never networks already scored, nor ones measured above the target', () => {
    const first = proposeScalings(problem())[0]?.proposals ?? [];
    const told = first.map(({ realised }, index) =>
      index % 2 === 0
        ? { multipliers: realised, latencyMs: 1.9, accuracy: 0.5 }
        : { multipliers: realised, latencyMs: 2.1 },
    );
    const observations = [...problem().observations, ...told];
    const second = proposeScalings(problem({ observations, count: 50 }))[0]?.proposals ?? [];
    const keys = new Set(second.map(({ realised }) => realisedKey(realised)));
    expect(second.length).toBeGreaterThan(4);
    for (const { realised } of first) expect(keys.has(realisedKey(realised))).toBe(false);
  });

  test('are never networks that were tried in vain', () => {
    const first = proposeScalings(problem())[0]?.proposals ?? [];
    const diverged = first.map(({ realised, latencyMs }) => ({ multipliers: realised, latencyMs, tried: true }));
    const refused = [{ multipliers: { depth: 1.5, width: 1.25, resolution: 1 }, tried: true }];
    const observations = [...problem().observations, ...diverged, ...refused];
    const second = proposeScalings(problem({ observations }))[0]?.proposals ?? [];
    const keys = [...diverged, ...refused].map(({ multipliers }) => realisedKey(multipliers));
    expect(second.length).toBe(4);
    for (const { realised } of second) expect(keys).not.toContain(realisedKey(realised));
  });

  test('respect further limits', () => {
    const [, result] = proposeScalings(problem({ constraints: { ...constraints, admits: narrowStem } }));
    expect(result?.status).toBe('in-band');
    for (const { spec } of result?.proposals ?? []) expect(spec.stem.width).toBeLessThanOrEqual(16);
  });

  test('a target every network misses gives the nearest and says so', () => {
    const [result] = proposeScalings(problem({ sizes: [{ name: 'tiny', targetMs: 0.01 }] }));
    expect(result?.status).toBe('unreachable');
    expect(result?.message).toContain('every network is predicted above 0.01 ms');
    expect(result?.proposals).toHaveLength(1);
  });

  test('a target no admitted network comes near from below gives the nearest and says so', () => {
    const [result] = proposeScalings(
      problem({ sizes: [{ name: 'huge', targetMs: 500 }], constraints: { ...constraints, admits: baseSized } }),
    );
    expect(result?.status).toBe('below-band');
    expect(result?.proposals).toHaveLength(1);
  });

  test('the base itself is a candidate for a target it meets', () => {
    const [result] = proposeScalings(problem({ sizes: [{ name: '1x', targetMs: 1 }], count: 500 }));
    expect(result?.proposals.some(({ spec }) => specDigest(spec) === specDigest(base))).toBe(true);
  });

  test('when everything a target allows was tried, nothing is proposed', () => {
    const only = { ...constraints, admits: (spec: NetworkSpec) => specDigest(spec) === specDigest(base) };
    const observations = [{ multipliers: { depth: 1, width: 1, resolution: 1 }, latencyMs: 1, accuracy: 0.5 }];
    const [result] = proposeScalings(problem({ observations, constraints: only }));
    expect(result).toMatchObject({ status: 'exhausted', proposals: [] });
  });

  test('limits that admit nothing exhaust the search instead of hanging it', () => {
    const none = { ...constraints, admits: () => false };
    expect(proposeScalings(problem({ constraints: none })).map(({ status }) => status)).toEqual([
      'exhausted',
      'exhausted',
    ]);
  });

  test('without any latency observed there is nothing to predict from', () => {
    expect(() => proposeScalings(problem({ observations: [] }))).toThrow('at least one observed latency');
  });
});

describe('the search for a scaling', () => {
  test('comes within .01 of the best accuracy the target allows', () => {
    const found = search(macsRatio, accuracy, 4, 4);
    // The optimum of the continuous problem, by brute force.
    let best = 0;
    for (let depth = 0.75; depth <= 6; depth += 0.05)
      for (let width = 0.75; width <= 2.5; width += 0.05) {
        const resolution = Math.min(2.5, Math.sqrt(4 / (depth * width ** 2)));
        if (resolution >= 0.75) best = Math.max(best, accuracy({ depth, width, resolution }));
      }
    expect(accuracy(found)).toBeGreaterThan(best - 0.01);
  });

  test('paying for activations gives more depth and width and less resolution than paying for multiply-adds', () => {
    // The direction of EfficientNet-X against EfficientNet: traffic, not arithmetic, is what costs.
    const byMacs = search(macsRatio, accuracy, 5, 4);
    const byActivations = search((multipliers) => activationsRatio(multipliers) ** 1.15, accuracy, 5, 4);
    expect(byActivations.resolution).toBeLessThan(byMacs.resolution);
    expect(byActivations.width * byActivations.depth).toBeGreaterThan(byMacs.width * byMacs.depth);
  });
});

describe('one triple for all sizes', () => {
  test('carries each triple to every target', () => {
    const proposals = proposeGlobalScalings(problem({ count: 3 }));
    expect(proposals).toHaveLength(3);
    for (const { members, rule } of proposals) {
      expect(macsRatio(rule.multipliers(1))).toBeCloseTo(2, 9);
      for (const [index, member] of members.entries()) {
        const targetMs = sizes[index]?.targetMs ?? 0;
        expect(member?.latencyMs).toBeLessThanOrEqual(targetMs);
        expect(member?.latencyMs).toBeGreaterThan(0.5 * targetMs);
      }
    }
  });

  test('follows accuracy once some is known', () => {
    const observations = designObservations(macsRatio).map((observation) => ({
      ...observation,
      accuracy: wideHelps(observation.multipliers),
    }));
    const [best] = proposeGlobalScalings(problem({ observations, count: 1 }));
    const { depth, width, resolution } = best?.rule.multipliers(1) ?? { depth: 0, width: 0, resolution: 0 };
    expect(2 * Math.log(width)).toBeGreaterThan(Math.log(depth) + 2 * Math.log(resolution));
  });

  test('a target below the base has no member', () => {
    const [first] = proposeGlobalScalings(problem({ sizes: [{ name: 'small', targetMs: 0.5 }, ...sizes], count: 1 }));
    expect(first?.members[0]).toBeNull();
    expect(first?.members[1]).not.toBeNull();
  });
});
