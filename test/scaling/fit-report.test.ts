import { describe, expect, it } from 'vitest';
import { oneRatio } from '../../bench/laws/page-data.ts';
import { Random } from '../../core/random.ts';
import { fittedMapping } from '../../scaling/allocate.ts';
import { type FileLaw, parseFitFile, writeFitFile } from '../../scaling/fit-file.ts';
import { fitRuns } from '../../scaling/fit-report.ts';
import { parseRuns, type Run } from '../../scaling/fit-runs.ts';
import { logLosses } from '../../scaling/fit-selection.ts';
import { residualsOf } from '../../scaling/fit.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { columnsOf, lossAt, thetaOf, trainingFlops } from '../../scaling/laws/law.ts';
import { plan } from '../../scaling/plan.ts';
import { defaultStyle } from '../../scaling/transformer-shape.ts';

const truth = { A: 300, B: 900, E: 1.9, alpha: 0.31, beta: 0.34 };
const theta = thetaOf(chinchilla, truth);

function runsAt(ratios: readonly number[], noise = 0.003): readonly Run[] {
  const random = new Random('report');
  return [1e7, 3e7, 1e8, 3e8, 1e9]
    .flatMap((params) => ratios.map((ratio) => ({ params, data: params * ratio })))
    .map(({ params, data }, i) => ({
      params,
      data,
      flops: 6 * params * data,
      loss: lossAt(chinchilla, theta, { params, data }) * Math.exp(noise * random.normal()),
      line: i + 2,
    }));
}
const runs = runsAt([2, 8, 32, 128]);
/** The same at the ends of curves of three points. */
const curves = runs.flatMap((run, k) =>
  [0.25, 0.5, 1].map((share, i) => ({
    ...run,
    data: share * run.data,
    flops: share * run.flops,
    loss: run.loss * (1.2 - 0.2 * share),
    line: 3 * k + i + 2,
    curve: `c${k}`,
  })),
);
/** Five sizes at each of four budgets, without noise, and the same at the ends of curves. */
const profiles = [1e18, 1e19, 1e20, 1e21].flatMap((flops) =>
  [0.25, 0.5, 1, 2, 4].map((factor) => {
    const params = chinchilla.optimum(theta, flops).params * factor;
    const data = flops / (6 * params);
    return { params, data, flops, loss: lossAt(chinchilla, theta, { params, data }), line: 0 };
  }),
);
const profileCurves = profiles.flatMap((run, k) =>
  [0.25, 0.5, 0.75, 1].map((share) => ({
    ...run,
    data: run.data * share,
    flops: run.flops * share,
    curve: `c${k}`,
  })),
);

describe('a report of fits', () => {
  it('covers the truth with its intervals, at the budget too', async () => {
    const report = await fitRuns(runs, { laws: ['chinchilla'], draws: 60, budgetFlops: 1e20 });
    const [law] = report.laws;
    const exponent = law?.exponents?.params;
    expect(exponent?.interval?.[0]).toBeLessThan(0.34 / 0.65);
    expect(exponent?.interval?.[1]).toBeGreaterThan(0.34 / 0.65);
    const best = chinchilla.optimum(theta, 1e20);
    expect(law?.prediction?.intervals.params?.[0]).toBeLessThan(best.params);
    expect(law?.prediction?.intervals.params?.[1]).toBeGreaterThan(best.params);
    expect(law?.prediction?.loss).toBeCloseTo(lossAt(chinchilla, theta, best), 1);
    expect(report.warnings).toEqual([]);
    expect(report.selected).toBe('chinchilla');
  });

  it('selects the law that extrapolates best and says how far the laws are apart', async () => {
    const report = await fitRuns(runs, { laws: ['all'], draws: 0, budgetFlops: 1e20 });
    expect(report.laws.map(({ law }) => law)).toEqual(['chinchilla', 'joint', 'tied', 'kaplan']);
    const errors = new Map(report.laws.map(({ law, holdOut }) => [law, holdOut?.error ?? 0]));
    expect(errors.get(report.selected ?? '')).toBe(Math.min(...errors.values()));
    expect(errors.get('kaplan')).toBeGreaterThan(3 * (errors.get('chinchilla') ?? 0));
    expect(report.spread?.params).toBeGreaterThan(1);
  });

  it('is the same for the same seed', async () => {
    const request = { laws: ['tied'], draws: 25, seed: 3 };
    expect(await fitRuns(runs, request)).toEqual(await fitRuns(runs, request));
  });

  it('flags runs that all have the same data per parameter', async () => {
    const report = await fitRuns([...runsAt([20]), ...runsAt([20.1])], { laws: ['chinchilla'], draws: 0 });
    expect(report.warnings.join('\n')).toMatch(/design: expected data per parameter to vary[^]*collinear/);
  });

  it('fits every run, those with a curve of their own and those without', async () => {
    const rows = runs.map(({ params, data, loss }, i) => [params, data, loss, i < 8 ? `c${i}` : ''].join());
    const table = parseRuns(`n,d,loss,curve\n${rows.join('\n')}\n`, 'runs.csv');
    const report = await fitRuns(table, { laws: ['tied'], draws: 0 });
    expect(report.laws[0]?.residuals).toHaveLength(20);
    expect(report.runs).toMatchObject({ rows: 20, given: 20, used: 20, dropped: [] });
    await expect(fitRuns(table, { laws: ['approach-1'] })).rejects.toThrow(/expected training curves/);
  });

  it('counts runs, of which a table of curves has several rows each', async () => {
    const report = await fitRuns(curves, { laws: ['tied'], draws: 0 });
    expect(report.laws[0]?.residuals).toHaveLength(20);
    expect(report.runs).toMatchObject({ rows: 60, given: 20, used: 20, dropped: [] });
    // Of whole runs, not of their first points.
    expect(report.runs.flops[0]).toBe(Math.min(...runs.map(({ flops }) => flops)));
  });

  it('leaves out what the policy says, and names what it keeps but finds odd', async () => {
    const odd = runs.map((run, i) => (i === 4 || i === 17 ? { ...run, loss: run.loss * 1.4 } : run));
    const kept = await fitRuns(odd, { laws: ['chinchilla'], draws: 0 });
    expect(kept.warnings.join('\n')).toMatch(/more than six robust deviations off, lines 6, 19/);
    const dropped = await fitRuns(odd, {
      laws: ['chinchilla'],
      draws: 0,
      outliers: { kind: 'residual', deviations: 8 },
    });
    expect(dropped.runs).toMatchObject({ given: 20, used: 18, dropped: [6, 19] });
    const highest = await fitRuns(odd, { laws: ['chinchilla'], draws: 0, outliers: { kind: 'highest', count: 2 } });
    const worst = odd.toSorted((a, b) => b.loss - a.loss).slice(0, 2);
    expect(highest.runs.dropped).toEqual(worst.map(({ line }) => line).toSorted((a, b) => a - b));
  });

  it.each([
    { kind: 'highest', count: 1 },
    { kind: 'residual', deviations: 8 },
  ] as const)('judges runs by where their curves end, and leaves a curve out as a whole: $kind', async (outliers) => {
    const highest = curves.findLast(({ curve }) => curve === 'c0');
    const spoilt = curves.map((point) => (point === highest ? { ...point, loss: 1.5 * point.loss } : point));
    const request = { laws: ['chinchilla', 'approach-1'], draws: 0 };
    const report = await fitRuns(spoilt, { ...request, outliers });
    expect(report.runs).toMatchObject({ rows: 60, given: 20, used: 19, dropped: [highest?.line] });
    const without = await fitRuns(
      curves.filter(({ curve }) => curve !== 'c0'),
      request,
    );
    expect(report.laws).toEqual(without.laws);
    expect(report.mappings).toEqual(without.mappings);
  });

  it('names runs that ended before their schedule', async () => {
    const cut = runs.map((run, i) => ({ ...run, horizon: i === 7 ? run.data / 0.3 : run.data }));
    const { warnings } = await fitRuns(cut, { laws: ['chinchilla'], draws: 0 });
    expect(warnings).toEqual([
      '1 run ended before its schedule, which leaves its loss higher than a finished one of as much data has: line 9 (30 %)',
    ]);
  });

  it('warns of budgets far outside the runs', async () => {
    const report = await fitRuns(runs, { laws: ['tied'], draws: 0, budgetFlops: 1e26 });
    expect(report.warnings.join()).toMatch(/budget of 1.00e\+26 FLOPs is far outside the runs/);
  });

  it('refuses a law that has as many parameters as there are runs, and unknown laws', async () => {
    await expect(fitRuns(runs.slice(0, 5), { laws: ['chinchilla'] })).rejects.toThrow(
      'chinchilla: expected more than 5 runs for its 5 parameters, got 5',
    );
    await expect(fitRuns(runs, { laws: ['moore'] })).rejects.toThrow(/expected a law \(chinchilla, .*got 'moore'/);
    await expect(fitRuns(runs, { laws: ['approach-1'] })).rejects.toThrow(/expected training curves/);
    await expect(fitRuns(runs, { laws: ['approach-2'] })).rejects.toThrow(/approach-2: expected at least 2 budgets/);
  });

  it('stops when asked to', async () => {
    const controller = new AbortController();
    const stopping = fitRuns(
      runs,
      { laws: ['all'] },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    await expect(stopping).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('fits approach 2 to isoFLOP profiles and approach 1 to curves', async () => {
    const report = await fitRuns(profiles, { laws: ['all'], draws: 0, budgetFlops: 1e22 });
    const [mapping] = report.mappings;
    expect(mapping?.law).toBe('approach-2');
    expect(mapping?.mapping.paramsExponent).toBeCloseTo(0.34 / 0.65, 5);
    const enveloped = await fitRuns(profileCurves, { laws: ['approach-1'], draws: 0 });
    expect(enveloped.mappings[0]?.law).toBe('approach-1');
  });

  it('takes a budget in the FLOPs that the table counts, for every law', async () => {
    const request = { laws: ['chinchilla', 'approach-1', 'approach-2'], draws: 0 };
    const plain = await fitRuns(profileCurves, { ...request, budgetFlops: 1e22 });
    const hundredfold = profileCurves.map((run) => ({ ...run, flops: 100 * run.flops }));
    const report = await fitRuns(hundredfold, { ...request, budgetFlops: 1e24 });
    const tuples = ({ laws, mappings }: typeof plain) =>
      [...laws, ...mappings].map(({ law, prediction }) => [law, prediction?.params, prediction?.data]);
    expect(tuples(plain)).toHaveLength(3);
    for (const [k, [law, params, data]] of tuples(report).entries()) {
      const expected = tuples(plain)[k] ?? [];
      expect(law).toBe(expected[0]);
      expect(Number(params) / Number(expected[1])).toBeCloseTo(1, 9);
      expect(Number(data) / Number(expected[2])).toBeCloseTo(1, 9);
    }
    expect(report.spread?.params).toBeCloseTo(plain.spread?.params ?? 0, 6);
    expect(plain.convention).toMatch(/^training FLOPs are 6·N·D;/);
    expect(report.convention).toMatch(/^training FLOPs are the table's, 100 times 6·N·D;/);
    expect(report.warnings).toEqual(plain.warnings);
  });

  it('says how far the table is from a fixed multiple of 6·N·D', async () => {
    const counted = runs.map((run) => ({ ...run, flops: run.flops * (1e7 / run.params) ** 0.1 * 2 }));
    const report = await fitRuns(counted, { laws: ['tied'], draws: 0 });
    // Sizes of 1, 3, 10, 30 and 100 times 1e7.
    expect(report.runs.flopsRatio).toBeCloseTo(2 * 90_000 ** -0.02, 9);
    expect(report.warnings).toContain(
      'the FLOPs of these runs are 1.26 to 2.00 times 6·N·D: laws of the loss take a budget for 1.59 times 6·N·D, and are off by the rest',
    );
  });
});

describe('a file of fitted laws', () => {
  it('gives the laws back, with their resamples', async () => {
    const report = await fitRuns(runs, { laws: ['chinchilla', 'tied'], draws: 25 });
    const text = writeFitFile(report);
    const laws = parseFitFile(text, 'fit.yaml');
    expect(laws.map(({ law }) => law.name)).toEqual(['chinchilla', 'tied']);
    for (const [k, found] of laws.entries()) {
      const { theta, draws, selected } = found as FileLaw;
      const fitted = report.laws[k];
      for (const [i, value] of theta.entries()) expect(value).toBeCloseTo(fitted?.theta[i] ?? 0, 9);
      expect(draws).toHaveLength(25);
      expect(draws[3]?.[0]).toBeCloseTo(fitted?.draws[3]?.[0] ?? 0, 6);
      expect(selected).toBe(fitted?.law === report.selected);
    }
    // A resample a line.
    expect(text.split('\n').filter((line) => /^\s+- \[/.test(line)).length).toBeGreaterThanOrEqual(50);
  });

  it('has no law whose parameters no number holds, and the others', async () => {
    const collinear = parseRuns(oneRatio(), 'one-ratio.csv').map(({ params, data, loss, line }) => {
      const tuple = { params: 60 * params, data: 60 * data };
      return { ...tuple, flops: trainingFlops(tuple), loss, line };
    });
    const report = await fitRuns(collinear, { laws: ['all'], draws: 25 });
    expect(report.warnings).toContain(
      'chinchilla: left out, no number is as large, or as small, as its A: the runs do not determine this law',
    );
    expect(report.laws.map(({ law }) => law)).toEqual(['tied', 'kaplan']);
    expect(report.laws.map(({ law }) => law)).toContain(report.selected);
    expect(parseFitFile(writeFitFile(report), 'fit.yaml').map(({ law }) => law.name)).toEqual(['tied', 'kaplan']);
    await expect(fitRuns(collinear, { laws: ['chinchilla'], draws: 0 })).rejects.toThrow(
      /expected runs that determine one of the laws, got 8\n.*collinear[^]*chinchilla: left out, no number/,
    );
  });

  it('has only laws that predict the same when read again', async () => {
    // A product of powers is joint's limit of large α, for which its E goes to zero and yet counts.
    const measured = runs.map((run) => {
      const tuple = { params: run.params / 1000, data: run.data / 100 };
      return { ...run, ...tuple, flops: trainingFlops(tuple), loss: 30 * tuple.params ** -0.1 * tuple.data ** -0.05 };
    });
    const report = await fitRuns(measured, { laws: ['joint', 'tied'], draws: 0 });
    const read = parseFitFile(writeFitFile(report), 'fit.yaml');
    expect(read).toHaveLength(report.laws.length);
    for (const [k, found] of read.entries()) {
      const { law, theta } = found as FileLaw;
      const predicted = residualsOf(law, theta, columnsOf(measured), logLosses(measured));
      for (const [i, residual] of predicted.entries())
        expect(residual).toBeCloseTo(report.laws[k]?.residuals[i] ?? Number.NaN, 5);
    }
    expect(report.warnings.join()).toMatch(/joint: left out, no number is as large, or as small, as its E/);
  });

  it('gives power laws back, of 6·N·D as plans count, for plan to allocate by', async () => {
    const hundredfold = profileCurves.map((run) => ({ ...run, flops: 100 * run.flops }));
    const report = await fitRuns(hundredfold, { laws: ['approach-1', 'approach-2'], draws: 0, budgetFlops: 1e24 });
    const read = parseFitFile(writeFitFile(report), 'fit.yaml');
    expect(read.map(({ law }) => law.name)).toEqual(['approach-2', 'approach-1']);
    const { allocations } = plan({
      budget: { flops: 1e22 },
      mappings: read.map((one) => fittedMapping(one, 'fit.yaml')),
      style: defaultStyle,
      batchTokens: 2 ** 21,
    });
    expect(allocations.map(({ law }) => law)).toEqual(['fit.yaml#approach-2', 'fit.yaml#approach-1']);
    for (const [k, { target, loss }] of allocations.entries()) {
      const { params = 0, data = 0 } = report.mappings[k]?.prediction ?? {};
      expect(target.params / params).toBeCloseTo(1, 9);
      expect(target.data / data).toBeCloseTo(1, 9);
      expect(loss).toBeNull();
    }
  });

  it('may be of before power laws were kept, but not empty', () => {
    const head =
      'schema: 1\nkind: scaling-laws\nconvention: c\nfittedFlops: [1, 2]\nparamsCount: total\nselected: null\nlaws:';
    const law = '  - { law: tied, values: { A: 1, B: 2, E: 1, eta: .3 }, holdOutError: null, draws: [] }';
    expect(parseFitFile(`${head}\n${law}\n`, 'x.yaml').map(({ law: { name } }) => name)).toEqual(['tied']);
    expect(() => parseFitFile(`${head} []\n`, 'x.yaml')).toThrow('x.yaml: expected at least one fitted law, got none');
  });

  it('refuses what is not one, naming the place', () => {
    expect(() => parseFitFile('a: [', 'x.yaml')).toThrow(/x\.yaml: not YAML/);
    expect(() => parseFitFile('schema: 1\nkind: scaling-laws\n', 'x.yaml')).toThrow(
      /x\.yaml: not a file of fitted laws[^]*laws/,
    );
    const file =
      'schema: 1\nkind: scaling-laws\nconvention: c\nfittedFlops: [1, 2]\nparamsCount: total\nselected: null\nlaws:\n';
    const law = (name: string, values: string) =>
      `${file}  - { law: ${name}, values: ${values}, holdOutError: null, draws: [] }\n`;
    expect(() => parseFitFile(law('moore', '{}'), 'x.yaml')).toThrow(/x\.yaml: expected a law/);
    expect(() => parseFitFile(law('tied', '{ A: 1, B: 2, E: 1 }'), 'x.yaml')).toThrow(
      /tied: expected eta to be a number/,
    );
  });
});
