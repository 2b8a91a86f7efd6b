import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { fileFolder } from '../cases/file-folder.ts';
import { smallBase } from '../scaling/base.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
writeFileSync(join(cwd, 'base.yaml'), stringify({ ...smallBase(24), classes: 4 }));
const law = {
  schema: 1,
  kind: 'scaling-laws',
  convention: 'made up',
  paramsCount: 'total',
  fittedFlops: [1e9, 1e13],
  selected: 'chinchilla',
  laws: [
    {
      law: 'chinchilla',
      values: { A: 12, B: 8, E: 0.4, alpha: 0.25, beta: 0.45 },
      holdOutError: null,
      draws: [],
    },
  ],
};
writeFileSync(join(cwd, 'laws.yaml'), stringify(law));
const data = '{format: rendered, classes: 4, train: 200, test: 50, resolution: 32}';

describe('ridgepoint plan --base', () => {
  it('trains the scaling that it names on the examples that go with it, and says how far the law was off', async () => {
    const args = ['--base=base.yaml', '--law=laws.yaml', '--flops=1e10', `--data=${data}`, '--instantiate=trained'];
    const { code, stdout, stderr } = await ridgepoint(['plan', ...args, '--json'], cwd);
    expect(stderr).not.toMatch(/error/);
    expect(code).toBe(0);
    const { allocations, instantiated } = JSON.parse(stdout) as {
      allocations: readonly [{ data: number; macs: number; loss: number; epochs: number }];
      instantiated: { examples: number; predictedNats: number; excess: number; holdout: { crossEntropy: number } };
    };
    const [{ data: examples, macs, loss, epochs }] = allocations;
    expect(6 * macs * examples).toBeCloseTo(1e10, -2);
    // A tenth of the 200 is held out.
    expect(epochs).toBeGreaterThan(examples / 200);
    expect(instantiated.examples).toBe(Math.round(examples));
    expect(instantiated.predictedNats).toBe(loss);
    expect(instantiated.excess).toBeCloseTo(instantiated.holdout.crossEntropy / loss - 1, 12);
    expect(existsSync(join(cwd, 'trained', 'model.onnx'))).toBe(true);
  }, 60_000);

  it('says in words what a budget buys', async () => {
    const { code, stdout } = await ridgepoint(
      ['plan', '--base=mobilenet-v2', '--law=laws.yaml', '--flops=1e13', '--rule=dWr', '-o', 'plan.html'],
      cwd,
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/1\.000e\+13 FLOPs for scalings of mobilenet-v2 by dWr/);
    expect(stdout).toMatch(
      /law +d · w · r +side +N +MACs +D +FLOPs +loss\nlaws\.yaml#chinchilla +[\d.]+ · [\d.]+ · [\d.]+ +\d+ px/,
    );
    expect(existsSync(join(cwd, 'plan.html'))).toBe(true);
  });

  it('refuses what does not go together, and trains nothing', async () => {
    const base = ['--base=base.yaml', '--flops=1e10'];
    const cases = [
      [[...base], /--base: expected --law with it, .*published laws are of text/],
      [[...base, '--law=laws.yaml', '--context=64'], /--context: expected none with --base/],
      [[...base, '--law=laws.yaml', '--instantiate=no'], /--instantiate: expected --data with it/],
      [[...base, '--law=laws.yaml', '--rule=tall'], /scaling rule: expected efficientnet, dWr/],
      [
        [...base, '--law=laws.yaml', `--data=${data.replace('classes: 4', 'classes: 3')}`],
        /--base: expected 3 classes/,
      ],
      [[...base, '--law=approach-1'], /expected a law of the loss for a convolutional base/],
      [['--flops=1e20', '--rule=dWr'], /--rule: expected a --base/],
    ] as const;
    const ended = await Promise.all(cases.map(([args]) => ridgepoint(['plan', ...args], cwd)));
    for (const [i, { code, stderr }] of ended.entries()) {
      expect(code).toBe(2);
      expect(stderr).toMatch(cases[i]?.[1] ?? /never/);
    }
    expect(existsSync(join(cwd, 'no'))).toBe(false);
  });
});
