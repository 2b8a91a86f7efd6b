import { describe, expect, it } from 'vitest';
import { allocate, allocationIntervals, fittedMapping, publishedMapping } from '../../scaling/allocate.ts';
import type { FileLaw } from '../../scaling/fit-file.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { lossAt, thetaOf } from '../../scaling/laws/law.ts';
import { type Cluster, plan, type PlanRequest, tokensPerS } from '../../scaling/plan.ts';
import { stepTimePrior } from '../../scaling/step-time.ts';
import { defaultStyle, transformerParams } from '../../scaling/transformer-shape.ts';

const laws = ['chinchilla', 'chinchilla-epoch', 'approach-1', 'approach-2', 'kaplan'].map(publishedMapping);
const h100s: Cluster = {
  device: 'h100-sxm',
  count: 64,
  peakFlopsPerS: 989.5e12,
  memoryBytes: 80e9,
  mfu: 0.4,
  stepTime: null,
};
const measured = { ...h100s, stepTime: stepTimePrior({ gigabytesPerS: 3350, peakTflops: 989.5 }) };
const base: PlanRequest = { budget: { flops: 5.76e23 }, mappings: laws, style: defaultStyle, batchTokens: 2 ** 21 };
const fitted: FileLaw = {
  law: chinchilla,
  theta: thetaOf(chinchilla, { A: 482, B: 2085, E: 1.8, alpha: 0.35, beta: 0.37 }),
  draws: [],
  paramsCount: 'total',
  fittedFlops: [1e18, 1e22],
  selected: true,
};

describe('a plan for FLOPs', () => {
  it('gives the tuples in print, by every law', () => {
    const { allocations } = plan(base);
    const target = Object.fromEntries(allocations.map(({ law, target }) => [law, target]));
    // Hoffmann et al. (2022), table 3: 67 B and 1.5 T by approach 1; Epoch: 72.4 B and 1.327 T.
    expect((target['approach-1']?.params ?? 0) / 67e9).toBeCloseTo(1, 1);
    expect(Math.abs((target['chinchilla-epoch']?.params ?? 0) / 72.4e9 - 1)).toBeLessThan(0.001);
    expect(Math.abs((target['chinchilla-epoch']?.data ?? 0) / 1.327e12 - 1)).toBeLessThan(0.001);
    expect(target['kaplan']?.params).toBeGreaterThan(5e11);
  });

  it('snaps sizes to shapes and spends the budget with the data', () => {
    for (const { shape, params, data, flops, paramsCount, target, tokensPerParam } of plan(base).allocations) {
      expect(params).toBe(transformerParams(shape)[paramsCount === 'total' ? 'total' : 'nonEmbedding']);
      expect(Math.abs(Math.log(params / target.params))).toBeLessThan(0.03);
      expect(flops / 5.76e23).toBeCloseTo(1, 9);
      expect(tokensPerParam).toBeCloseTo(data / params, 9);
    }
  });

  it('states the loss of the model that can be built, and none for a power law', () => {
    const [first, , third] = plan(base).allocations;
    const { rule } = laws[0] ?? {};
    if (!first || rule?.kind !== 'law') throw new Error('chinchilla is a law of the loss');
    expect(first.loss).toBe(lossAt(rule.law, rule.theta, first));
    expect(third?.loss).toBeNull();
  });

  it('warns of budgets far from the runs of a law', () => {
    expect(plan(base).warnings.join('\n')).toMatch(/chinchilla: 5\.76e\+23 FLOPs are far outside/);
    expect(plan({ ...base, budget: { flops: 1e21 } }).warnings).toEqual([]);
  });

  it('counts time by the baselines of others', () => {
    const [one] = plan({ ...base, cluster: h100s, mappings: laws.slice(0, 1) }).allocations;
    const seconds = 5.76e23 / (0.4 * 989.5e12 * 64);
    expect((one?.baselines?.flopsS ?? 0) / seconds).toBeCloseTo(1, 9);
    expect(((one?.baselines?.megatronDays ?? 0) * 86_400) / seconds).toBeCloseTo(8 / 6, 9);
    expect((one?.timeS ?? 0) / seconds).toBeCloseTo(1, 9);
  });

  it('says what does not fit the memory', () => {
    const one = plan({ ...base, cluster: { ...h100s, count: 1 }, mappings: laws.slice(0, 1) });
    expect(one.allocations[0]?.memory?.fits).toBe(false);
    expect(one.warnings.join()).toMatch(/do not fit the devices’ memory/);
    const many = plan({ ...base, cluster: h100s, mappings: laws.slice(0, 1) });
    expect(many.allocations[0]?.memory?.fits).toBe(true);
  });
});

describe('a plan with inference', () => {
  it('trains smaller models longer and pays for both from one budget', () => {
    const [without] = plan({ ...base, mappings: laws.slice(0, 1) }).allocations;
    const [served] = plan({ ...base, mappings: laws.slice(0, 1), inferenceData: 5e12 }).allocations;
    if (!without || !served) throw new Error('two plans');
    expect(served.params).toBeLessThan(without.params);
    expect(served.tokensPerParam).toBeGreaterThan(without.tokensPerParam);
    expect((served.flops + 2 * served.params * 5e12) / 5.76e23).toBeCloseTo(1, 9);
  });

  it('leaves out power laws, and says so', () => {
    const result = plan({ ...base, inferenceData: 1e12 });
    expect(result.allocations.map(({ law }) => law)).toEqual(['chinchilla', 'chinchilla-epoch']);
    expect(result.warnings.join('\n')).toMatch(/approach-1: left out/);
    expect(() => plan({ ...base, mappings: laws.slice(2), inferenceData: 1e12 })).toThrow(/got power laws only/);
    expect(() => plan({ ...base, mappings: [] })).toThrow('expected a law to plan by, got none');
  });
});

describe('a plan with little data', () => {
  it('repeats it by the data-constrained law, and warns where a law takes repeats for new data', () => {
    const mappings = [publishedMapping('data-constrained'), ...laws.slice(0, 1)];
    const { allocations, warnings } = plan({ ...base, budget: { flops: 1e22 }, mappings, uniqueData: 2e10 });
    expect(allocations[0]?.epochs).toBeGreaterThan(1);
    const open = plan({ ...base, budget: { flops: 1e22 }, mappings: mappings.slice(0, 1) }).allocations[0];
    expect(allocations[0]?.loss).toBeGreaterThan(open?.loss ?? 0);
    expect(warnings.join('\n')).toMatch(/chinchilla: takes [\d.]+ passes over the data for as much new data/);
    expect(warnings.join('\n')).not.toMatch(/data-constrained: takes/);
  });
});

describe('a plan for time', () => {
  it('by MFU is the plan for the FLOPs that the time is worth', () => {
    const flops = 0.4 * 989.5e12 * 64 * 86_400;
    const byTime = plan({ ...base, budget: { timeS: 86_400 }, cluster: h100s }).allocations;
    const byFlops = plan({ ...base, budget: { flops }, cluster: h100s }).allocations;
    expect(byTime.map(({ shape, data }) => [shape, data])).toEqual(byFlops.map(({ shape, data }) => [shape, data]));
  });

  it('by step times uses the time up, and no neighbouring shape has a lower loss', () => {
    const mappings = laws.slice(0, 2);
    const { allocations } = plan({ ...base, budget: { timeS: 86_400 }, cluster: measured, mappings });
    for (const [k, { shape, timeS, params, data, loss }] of allocations.entries()) {
      expect(timeS).toBeCloseTo(86_400, 3);
      const { rule } = mappings[k] ?? {};
      if (rule?.kind !== 'law') throw new Error('a law of the loss');
      expect(data / (86_400 * tokensPerS(shape, measured, base.batchTokens, params))).toBeCloseTo(1, 9);
      for (const layers of [shape.layers - 4, shape.layers + 4]) {
        const other = { ...shape, layers };
        const size = transformerParams(other).total;
        if (shape.width / layers > 256) continue;
        const seen = 86_400 * tokensPerS(other, measured, base.batchTokens, size);
        expect(lossAt(rule.law, rule.theta, { params: size, data: seen })).toBeGreaterThanOrEqual((loss ?? 0) - 1e-4);
      }
    }
  });

  it('has intervals of the tuples that resamples choose in that time', () => {
    const { theta } = fitted;
    const request = { ...base, budget: { timeS: 86_400 }, cluster: measured };
    const withDraws = (draws: readonly (readonly number[])[]) => {
      const [allocation] = plan({
        ...request,
        mappings: [fittedMapping({ ...fitted, draws }, 'fit.yaml')],
      }).allocations;
      if (!allocation?.interval) throw new Error('an interval');
      return { ...allocation, interval: allocation.interval };
    };
    const { params, data, interval } = withDraws(Array.from({ length: 20 }, () => theta));
    expect(interval).toMatchObject({ params: [params, params], data: [data, data] });
    const spread = withDraws(Array.from({ length: 41 }, (_, i) => theta.with(0, (theta[0] ?? 0) + (i - 20) / 20)));
    expect(spread.interval.params[0]).toBeLessThan(params);
    expect(spread.interval.params[1]).toBeGreaterThan(params);
  });

  it('needs devices', () => {
    expect(() => plan({ ...base, budget: { timeS: 3600 } })).toThrow(/expected devices to spend it on/);
  });

  it('ends where nothing is small enough', () => {
    expect(() => plan({ ...base, budget: { flops: 1e9 } })).toThrow(/expected a target size that a transformer/);
  });
});

describe('allocation mappings', () => {
  it('are found by name', () => {
    expect(() => publishedMapping('moore')).toThrow(/expected a law \(chinchilla, .*got 'moore'/);
  });

  it('of fitted laws have intervals from their resamples', () => {
    const { theta } = fitted;
    const draws = Array.from({ length: 41 }, (_, i) => theta.with(0, (theta[0] ?? 0) + (i - 20) / 100));
    const mapping = fittedMapping({ ...fitted, draws }, 'fit.yaml');
    const best = allocate(mapping, { flops: 1e21 });
    const intervals = allocationIntervals(mapping, best, (by) => allocate(by, { flops: 1e21 }));
    expect(mapping.name).toBe('fit.yaml#chinchilla');
    expect(intervals?.params[0]).toBeLessThan(best.params);
    expect(intervals?.params[1]).toBeGreaterThan(best.params);
    expect(allocationIntervals(publishedMapping('chinchilla'), best, () => best)).toBeNull();
  });
});

describe('a reconstructed law', () => {
  it('says that it is one', () => {
    const { warnings } = plan({ ...base, mappings: [publishedMapping('information-bound')] });
    expect(warnings.join()).toMatch(/information-bound: a reconstruction of ours/);
  });
});
