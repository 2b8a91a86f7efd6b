import { describe, expect, test } from 'vitest';
import { rankBases, reasonText, rewardFor, rewardsByTarget, targetRewards } from '../../../study/search/base-choice.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';

const study = (search: object = {}, limit?: string) =>
  resolveStudy(
    {
      study: 'two',
      targets: {
        slow: { device: 'simulated', ...(limit && { limit, allow: 'predicted' }) },
        fast: { device: 'tpu-v5e', ...(limit && { limit, allow: 'predicted' }) },
      },
      family: { slow: ['1x'], fast: ['1x'] },
      search,
    },
    'two.yaml',
  );
const network = (accuracy: number, slow: number, fast: number) => ({
  accuracy,
  'latencyMs.slow': slow,
  'latencyMs.fast': fast,
});

/** One that each device would take, and one that neither would and that costs neither much. */
const networks = [network(0.8, 100, 0.1), network(0.79, 1, 10), network(0.8, 5, 0.5), network(0.4, 4, 0.4)];

const order = (search: object) => {
  const config = study(search);
  return rankBases(
    config,
    networks.map((metrics) => targetRewards(config, metrics)),
  ).order;
};

describe('a base for several targets', () => {
  test('by default it is the least bad for the target that is worst off', () => {
    expect(order({})[0]).toBe(2);
    expect(order({}).at(-1)).toBe(3);
  });

  test('on average it may leave one target badly off', () => {
    const config = study({ across: 'mean' });
    // Ten thousand times as fast on one, a thousand times as slow on the other.
    const extremes = [network(0.8, 1e3, 1e-4), network(0.8, 1, 1), network(0.8, 30, 0.05)];
    const rewards = extremes.map((metrics) => targetRewards(config, metrics));
    expect(rankBases(config, rewards).order[0]).toBe(0);
    expect(rankBases(study(), rewards).order[0]).toBe(2);
  });

  test('neither the speed of a device nor its unit matters', () => {
    const config = study();
    const scaled = networks.map((one) => ({ ...one, 'latencyMs.fast': 1000 * one['latencyMs.fast'] }));
    const ranked = (all: typeof networks) =>
      rankBases(
        config,
        all.map((metrics) => targetRewards(config, metrics)),
      ).order;
    expect(ranked(scaled)).toEqual(ranked(networks));
  });

  test('the reason tells what each target pays', () => {
    const config = study();
    const rewards = networks.map((metrics) => targetRewards(config, metrics));
    const {
      order: [first = 0],
      regrets,
    } = rankBases(config, rewards);
    expect(reasonText(config, { rewards: rewards[first] ?? [], regrets: regrets[first] ?? [] }, 2)).toBe(
      "least worst regret over 2 seeds (with the first its reward is below the best candidate's for each target alone by 9.5 % for slow, 10.7 % for fast)",
    );
  });

  test('a network that learned nothing is last, whatever its latency', () => {
    const config = study();
    const rewards = [network(0, 1e-3, 1e-3), network(0.1, 1e3, 1e3)].map((metrics) => targetRewards(config, metrics));
    expect(rankBases(config, rewards).order).toEqual([1, 0]);
  });

  test('what controllers learn from does not weigh latency more for being told of more targets', () => {
    const weights = rewardFor(study()).costs.map((cost) => ('above' in cost ? cost.above : NaN));
    expect(weights).toEqual([-0.035, -0.035]);
    expect(rewardsByTarget(study()).map(({ costs }) => costs)).toMatchObject([[{ above: -0.07 }], [{ above: -0.07 }]]);
  });

  test('rewards that aim at a latency take each target’s limit', () => {
    const rewards = rewardsByTarget(study({ reward: 'one-sided' }, 'p50 < 3ms'));
    expect(rewards).toMatchObject([{ costs: [{ target: 3, weight: -0.1 }] }, { costs: [{ target: 3, weight: -0.1 }] }]);
    expect(() => rewardFor(study({ reward: 'one-sided' }))).toThrow('give targets.slow.limit');
  });
});
