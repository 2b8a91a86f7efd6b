import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCsv } from '../../core/csv.ts';
import { nonDominated } from '../../search/pareto.ts';
import {
  accuracyRegrets,
  byMeanRegret,
  byWorstRegret,
  deviceFront,
  type DeviceMeasures,
  deviceTransfer,
  latencyRegrets,
  leastRegretFront,
  leastRegretWithin,
  scoreRegrets,
} from '../../search/regret.ts';
import { publicTable } from '../cases/public-tables.ts';

// Few values, so that equal accuracies and latencies are common.
const value = fc.integer({ min: 1, max: 8 });
const networks = (devices: number) =>
  fc.array(fc.record({ accuracy: value, latencies: fc.tuple(...Array.from({ length: devices }, () => value)) }), {
    minLength: 1,
    maxLength: 14,
  });
const at = ({ latencies }: DeviceMeasures, device: number): number => latencies[device] ?? NaN;

/** F_d(t), by looking at every network. */
const bestWithin = (all: readonly DeviceMeasures[], device: number, ms: number): number =>
  Math.max(...all.filter((one) => at(one, device) <= ms).map(({ accuracy }) => accuracy));

describe('regret of networks on several devices', () => {
  test('a device’s front is what nothing dominates there', () => {
    fc.assert(
      fc.property(networks(2), (all) => {
        for (const device of [0, 1])
          expect(deviceFront(all, device)).toEqual(
            nonDominated(
              all.map((one) => [one.accuracy, at(one, device)]),
              ['max', 'min'],
            ),
          );
      }),
    );
  });

  test('regrets are what looking at every pair gives', () => {
    fc.assert(
      fc.property(networks(3), (all) => {
        const lost = accuracyRegrets(all);
        const late = latencyRegrets(all);
        for (const [index, one] of all.entries())
          for (const device of [0, 1, 2]) {
            const within = bestWithin(all, device, at(one, device));
            const fastest = Math.min(...all.filter((o) => o.accuracy >= one.accuracy).map((o) => at(o, device)));
            expect(lost[index]?.[device]).toBe(within - one.accuracy);
            expect(late[index]?.[device]).toBeCloseTo(Math.log(at(one, device) / fastest), 12);
          }
      }),
    );
  });

  test('both regrets are none exactly on a device’s own front', () => {
    fc.assert(
      fc.property(networks(2), (all) => {
        const lost = accuracyRegrets(all);
        const late = latencyRegrets(all);
        for (const device of [0, 1]) {
          const front = new Set(deviceFront(all, device));
          for (const index of all.keys())
            expect(lost[index]?.[device] === 0 && late[index]?.[device] === 0).toBe(front.has(index));
        }
      }),
    );
  });

  test('accuracy regret knows only the order of latencies, latency regret only their ratios', () => {
    fc.assert(
      fc.property(networks(2), (all) => {
        const map = (change: (ms: number) => number) =>
          all.map(({ accuracy, latencies }) => ({ accuracy, latencies: latencies.map(change) }));
        expect(accuracyRegrets(map((ms) => 3 + ms ** 2))).toEqual(accuracyRegrets(all));
        const scaled = latencyRegrets(map((ms) => 1000 * ms));
        for (const [index, row] of latencyRegrets(all).entries())
          for (const [device, regret] of row.entries()) expect(scaled[index]?.[device]).toBeCloseTo(regret, 12);
      }),
    );
  });

  test('a device’s choice costs it nothing, and overlaps go both ways', () => {
    fc.assert(
      fc.property(networks(3), (all) => {
        const matrix = deviceTransfer(all);
        for (const [from, row] of matrix.entries())
          for (const [to, transfer] of row.entries()) {
            expect(transfer.overlap).toBe(matrix[to]?.[from]?.overlap);
            expect(transfer.meanLoss).toBeGreaterThanOrEqual(0);
            expect(transfer.slowdown).toBeGreaterThanOrEqual(1);
            expect(transfer.worstLoss).toBeGreaterThanOrEqual(transfer.meanLoss);
            if (from === to) expect(transfer).toMatchObject({ overlap: 1, meanLoss: 0, worstLoss: 0, slowdown: 1 });
          }
      }),
    );
  });

  test('at each level the least-regret front has the smallest worst case that any network within it has', () => {
    fc.assert(
      fc.property(networks(2), fc.tuple(value, value), (all, scales) => {
        const front = leastRegretFront(all, scales);
        const levelOf = (one: DeviceMeasures) => Math.max(...scales.map((scale, device) => at(one, device) / scale));
        for (const level of all.map(levelOf)) {
          const budget = (device: number) => level * (scales[device] ?? NaN) * (1 + 1e-12);
          const worst = ({ accuracy }: DeviceMeasures) =>
            Math.max(...scales.map((_, device) => bestWithin(all, device, budget(device)) - accuracy));
          const least = Math.min(...all.filter((one) => levelOf(one) <= level).map(worst));
          const chosen = front.findLast((one) => one.level <= level);
          expect(worst(all[chosen?.network ?? -1] as DeviceMeasures)).toBe(least);
        }
      }),
    );
  });

  test('within budgets no network has a smaller worst regret, and none is chosen only where none is within', () => {
    const latency = fc.oneof(value, fc.constant(Infinity));
    const some = fc.array(fc.record({ accuracy: value, latencies: fc.tuple(latency, latency) }), { maxLength: 12 });
    fc.assert(
      fc.property(some, fc.tuple(value, value), (all, budgets) => {
        const within = all.filter((one) => budgets.every((budget, device) => at(one, device) <= budget));
        const regretsOf = ({ accuracy }: DeviceMeasures) =>
          budgets.map((budget, device) => bestWithin(all, device, budget) - accuracy);
        const chosen = leastRegretWithin(all, budgets);
        expect(chosen === undefined).toBe(within.length === 0);
        if (!chosen) return;
        const one = all[chosen.network] as DeviceMeasures;
        expect(within).toContain(one);
        expect(chosen.regrets).toEqual(regretsOf(one));
        expect(Math.max(...chosen.regrets)).toBe(Math.min(...within.map((other) => Math.max(...regretsOf(other)))));
      }),
    );
  });

  test('the least-regret front is that of accuracy against the latency that is worst for its device', () => {
    fc.assert(
      fc.property(networks(2), fc.tuple(value, value), (all, scales) => {
        const points = all.map((one) => [
          one.accuracy,
          Math.max(...scales.map((scale, device) => at(one, device) / scale)),
        ]);
        const kept = new Set(nonDominated(points, ['max', 'min']).map((index) => points[index]?.join(' ')));
        const front = leastRegretFront(all, scales);
        expect(new Set(front.map(({ network }) => points[network]?.join(' ')))).toEqual(kept);
        for (const { regrets } of front) for (const regret of regrets) expect(regret).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  test('with one device the least-regret front is its own, without regret', () => {
    fc.assert(
      fc.property(networks(1), (all) => {
        for (const { network, regrets } of leastRegretFront(all, [2])) {
          expect(regrets).toEqual([0]);
          expect(deviceFront(all, 0)).toContain(network);
        }
      }),
    );
  });

  test('no latency, and devices that differ in number, are refused', () => {
    expect(() => deviceFront([{ accuracy: 1, latencies: [Infinity] }], 0)).toThrow(RangeError);
    expect(() =>
      accuracyRegrets([
        { accuracy: 1, latencies: [1] },
        { accuracy: 1, latencies: [1, 2] },
      ]),
    ).toThrow('expected an accuracy and 1 positive latencies, got 1 and [1, 2]');
    expect(() => leastRegretFront([{ accuracy: 1, latencies: [1] }], [0])).toThrow('1 positive scales');
    expect(() => deviceTransfer([])).toThrow('expected networks');
  });
});

const scores = (judges: number) =>
  fc.array(fc.tuple(...Array.from({ length: judges }, () => fc.integer({ min: -9, max: 9 }))), {
    minLength: 1,
    maxLength: 9,
  });

describe('the least bad for all judges', () => {
  test('it has the smallest largest regret', () => {
    fc.assert(
      fc.property(scores(3), (all) => {
        const [first = -1] = byWorstRegret(all);
        const worst = scoreRegrets(all).map((regrets) => Math.max(...regrets));
        expect(worst[first]).toBe(Math.min(...worst));
      }),
    );
  });

  test('on average, the order is that of mean scores', () => {
    fc.assert(
      fc.property(scores(3), (all) => {
        const sum = (index: number): number => (all[index] ?? []).reduce((total, score) => total + score, 0);
        expect(byMeanRegret(all)).toEqual([...all.keys()].sort((a, b) => sum(b) - sum(a)));
      }),
    );
  });

  test('with one judge the order is that of its scores, the first of equals first', () => {
    fc.assert(
      fc.property(scores(1), (all) => {
        const expected = [...all.keys()].sort((a, b) => (all[b]?.[0] ?? 0) - (all[a]?.[0] ?? 0));
        expect(byWorstRegret(all)).toEqual(expected);
      }),
    );
  });

  test('what a judge adds to all its scores changes nothing', () => {
    fc.assert(
      fc.property(scores(2), (all) => {
        expect(byWorstRegret(all.map(([a = 0, b = 0]) => [a + 50, b - 7]))).toEqual(byWorstRegret(all));
      }),
    );
  });

  test('what one judge cannot use is last, and ties keep their order', () => {
    expect(
      byWorstRegret([
        [-Infinity, 9],
        [1, -1],
        [0, 0],
      ]),
    ).toEqual([2, 1, 0]);
    expect(byWorstRegret([[-Infinity], [-Infinity]])).toEqual([0, 1]);
  });
});

describe('on ImageNet networks of the half of Accel-NASBench', () => {
  const file = 'accel-nasbench-half.csv';
  const networks = publicTable(file);
  const title =
    'fronts of A100 and TPUv3 overlap by about .14, of A100 and RTX 3090 by about .62, as published for the whole';
  test.skipIf(networks === undefined)(title, () => {
    const columns = ['throughput_a100_mean', 'throughput_3090_mean', 'throughput_tpuv3_mean'];
    const measured = parseCsv(networks ?? '', file)
      .rows.map(({ cells }) => ({
        accuracy: Number(cells['val_top1']),
        latencies: columns.map((column) => 1e3 / Number(cells[column])),
      }))
      .filter(({ latencies }) => latencies.every(Number.isFinite));
    const [a100] = deviceTransfer(measured);
    // The table is a random half of the networks that the published figures are of.
    expect(Math.abs((a100?.[1]?.overlap ?? NaN) - 0.62)).toBeLessThan(0.03);
    expect(Math.abs((a100?.[2]?.overlap ?? NaN) - 0.14)).toBeLessThan(0.03);
  });
});
