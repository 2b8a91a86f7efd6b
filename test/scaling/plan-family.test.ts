import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { publishedMapping, type AllocationMapping } from '../../scaling/allocate.ts';
import { applyMultipliers } from '../../scaling/apply.ts';
import { builtInNetwork } from '../../scaling/built-in-networks.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { lossAt, thetaOf } from '../../scaling/laws/law.ts';
import type { Cluster } from '../../scaling/plan.ts';
import { type FamilyPlanRequest, planFamily } from '../../scaling/plan-family.ts';
import { parseRule } from '../../scaling/rules.ts';
import { smallBase } from './base.ts';

const theta = thetaOf(chinchilla, { A: 12, B: 30, E: 0.4, alpha: 0.25, beta: 0.45 });
const ownLaw: AllocationMapping = {
  name: 'own.yaml#chinchilla',
  source: 'own.yaml',
  confirmed: 'refit',
  paramsCount: 'total',
  fittedFlops: [1e10, 1e16],
  rule: { kind: 'law', law: chinchilla, theta, draws: [] },
};
const base = smallBase(32);
const rule = parseRule('efficientnet');
const request = (changes: Partial<FamilyPlanRequest>): FamilyPlanRequest => ({
  budget: { flops: 1e13 },
  mappings: [ownLaw],
  base,
  rule,
  batch: 32,
  ...changes,
});
const only = (changes: Partial<FamilyPlanRequest>) => {
  const plan = planFamily(request(changes));
  const [allocation] = plan.allocations;
  if (!allocation) throw new Error('no allocation');
  return { plan, allocation };
};
const cluster: Omit<Cluster, 'stepTime'> = { device: 'd', count: 4, peakFlopsPerS: 1e12, mfu: 0.25, memoryBytes: 1e9 };

describe('a plan over scalings of a convolution network', () => {
  it('uses the budget up by the multiply-adds of the network it names, not by 6·N·D', () => {
    const { allocation } = only({});
    const count = countGraph(buildNetwork(allocation.network, 1));
    expect(allocation).toMatchObject({ params: count.params, macs: count.macs });
    expect((6 * count.macs * allocation.data) / 1e13).toBeCloseTo(1, 12);
    expect(count.macs / count.params).toBeGreaterThan(3);
    expect(allocation.loss).toBeCloseTo(lossAt(chinchilla, theta, allocation), 12);
  });

  it('names the network of least loss of all that the rule makes, and larger ones for larger budgets', () => {
    let before = 0;
    for (const flops of [1e12, 1e13, 1e14]) {
      const { allocation } = only({ budget: { flops } });
      const losses = Array.from({ length: 400 }, (_, i) => {
        const { spec } = applyMultipliers(base, rule.multipliers(-5 + (i * 3) / 80), { maxResolution: Infinity });
        const { params, macs } = countGraph(buildNetwork(spec, 1));
        return lossAt(chinchilla, theta, { params, data: flops / (6 * macs) });
      });
      // A finer grid may hold a network in between.
      expect(allocation.loss).toBeLessThan(Math.min(...losses) * 1.001);
      expect(allocation.macs).toBeGreaterThan(before);
      before = allocation.macs;
    }
  }, 20_000);

  it('stays within the data’s resolution and the devices’ memory', () => {
    const capped = only({ maxResolution: 24 }).allocation;
    expect(capped.network.input.resolution).toBeLessThanOrEqual(24);
    const { needsBytes } = only({ cluster }).allocation.memory ?? { needsBytes: 0 };
    const tight = only({ cluster: { ...cluster, memoryBytes: needsBytes / 2 } }).allocation;
    expect(tight.memory?.needsBytes).toBeLessThanOrEqual(needsBytes / 2);
    expect(tight.macs).toBeLessThan(only({}).allocation.macs);
    expect(() => planFamily(request({ cluster: { ...cluster, memoryBytes: 1000 } }))).toThrow(
      /fits the devices' memory/,
    );
  });

  it('turns time into FLOPs by what the devices reach', () => {
    const { allocation } = only({ budget: { timeS: 10 }, cluster });
    expect(allocation.flops).toBeCloseTo(10 * 4 * 0.25 * 1e12, 0);
    expect(allocation.timeS).toBeCloseTo(10, 9);
    expect(() => planFamily(request({ budget: { timeS: 10 } }))).toThrow(/expected devices/);
  });

  it('has intervals where a fit has resamples, and says what to distrust', () => {
    const draws = Array.from({ length: 40 }, (_, i) =>
      theta.map((value, k) => (k === 0 ? value + (i - 20) / 20 : value)),
    );
    const drawn = { ...ownLaw, rule: { kind: 'law' as const, law: chinchilla, theta, draws } };
    const { allocation } = only({ mappings: [drawn] });
    const [lo, hi] = allocation.interval?.params ?? [0, 0];
    expect(lo).toBeLessThan(hi);
    expect(allocation.params).toBeGreaterThanOrEqual(lo);
    expect(allocation.params).toBeLessThanOrEqual(hi);
    const { plan } = only({
      mappings: [publishedMapping('chinchilla'), publishedMapping('approach-1')],
      uniqueData: 10,
    });
    expect(plan.warnings.join('\n')).toMatch(
      /approach-1: left out.*\n.*passes over the data.*\n.*not of convolution networks/s,
    );
    expect(() => planFamily(request({ mappings: [publishedMapping('kaplan')] }))).toThrow(/expected a law of the loss/);
  });

  it('says when the best may lie beyond the networks looked at', () => {
    expect(only({ budget: { flops: 1e9 } }).plan.warnings.join()).toMatch(/chose the smallest network/);
    expect(only({ base: builtInNetwork('mobilenet-v3-small') ?? base, budget: { flops: 1e15 } }).plan.warnings).toEqual(
      [],
    );
  });
});
