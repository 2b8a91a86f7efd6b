import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Comparison, compare } from '../../../bench/training/compare.ts';
import { writeProblem } from '../../../bench/training/problem.ts';
import { parseNetworkSpec } from '../../../models/spec.ts';

const spec = parseNetworkSpec(
  {
    input: { resolution: 8 },
    classes: 4,
    stem: { kernel: 3, stride: 1, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 12, repeats: 2, squeezeExcite: 0.25 }],
    head: { width: 16 },
  },
  'tiny',
);

// Times are never tested: only that every lowering trains the same network.
describe('a comparison', () => {
  let folder: string;
  let comparison: Comparison;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ridgepoint-bench-test-'));
    const problem = await writeProblem(folder, { name: 'tiny', spec, batchSize: 4 });
    comparison = await compare({ folder, problem }, { threads: 1, turns: { rounds: 1, steps: 2 } });
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('runs each lowering in its turn', () => {
    expect(comparison.ours.map(({ name }) => name)).toEqual(['plain', 'chosen']);
    for (const { roundsMs } of comparison.ours) expect(roundsMs.map((steps) => steps.length)).toEqual([2]);
  });

  it('finds equal losses before an update, and after one', () => {
    const [[first, second]] = comparison.ours.map(({ losses }) => losses) as [[number, number]];
    expect(second).toBeLessThan(first);
    for (const { losses } of comparison.ours) {
      expect(losses[0] / first).toBeCloseTo(1, 5);
      expect(losses[1] / second).toBeCloseTo(1, 4);
    }
  });

  it('claims no speed-up over a PyTorch that did not run', () => {
    expect(comparison.theirs).toEqual([]);
    expect(comparison.speedup).toBeUndefined();
  });
});
