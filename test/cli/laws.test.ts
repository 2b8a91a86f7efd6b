import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { sweep } from '../../bench/laws/page-data.ts';
import { Random } from '../../core/random.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
const random = new Random('cli');
const rows = [1e7, 3e7, 1e8, 3e8, 1e9].flatMap((n) =>
  [2, 8, 32, 128].map((ratio) => {
    const d = n * ratio;
    const loss = (1.9 + 300 / n ** 0.31 + 900 / d ** 0.34) * Math.exp(0.003 * random.normal());
    return `${n},${d},${loss}`;
  }),
);
writeFileSync(join(cwd, 'runs.csv'), `params,tokens,loss\n${rows.join('\n')}\n`);
writeFileSync(join(cwd, 'profiles.csv'), sweep());
writeFileSync(join(cwd, 'bad.csv'), 'params,tokens,loss\n1e8,2e9,nan\n');
const laws = [
  { law: 'chinchilla', values: { A: 406, B: 411, E: 1.7, alpha: 0.34, beta: 0.28 }, holdOutError: 0.02, draws: [] },
  { law: 'tied', values: { A: 400, B: 1000, E: 1.7, eta: 0.33 }, holdOutError: 0.01, draws: [] },
];
const fits = {
  schema: 1,
  kind: 'scaling-laws',
  convention: 'made up',
  paramsCount: 'total',
  fittedFlops: [1e17, 1e20],
};
writeFileSync(join(cwd, 'two.yaml'), stringify({ ...fits, selected: 'tied', laws }));
writeFileSync(join(cwd, 'unread.yaml'), stringify({ ...fits, selected: null, laws }));

describe('ridgepoint fit', () => {
  it('writes the laws and a page, which plan then uses with intervals', async () => {
    const fit = await ridgepoint(
      [
        'fit',
        'runs.csv',
        '--law',
        'chinchilla,tied',
        '--draws',
        '30',
        '--budget=1e20',
        '-o',
        'fit.yaml',
        '-o',
        'fit.html',
        '--json',
      ],
      cwd,
    );
    expect(fit.code).toBe(0);
    const report = JSON.parse(fit.stdout) as {
      schema: number;
      selected: string;
      laws: readonly { law: string; holdOut: { error: number }; prediction: { params: number }; draws: number }[];
    };
    expect(report.schema).toBe(1);
    expect(report.laws.map(({ law }) => law)).toEqual(['chinchilla', 'tied']);
    expect(report.laws[0]?.draws).toBe(30);
    expect(report.laws[0]?.prediction.params).toBeGreaterThan(1e8);
    const page = readFileSync(join(cwd, 'fit.html'), 'utf8');
    expect(page).toMatch(/Residuals of chinchilla over compute/);
    expect(page.match(/<path /g)?.length).toBeGreaterThanOrEqual(4 * 20);
    expect(readdirSync(cwd).filter((name) => name.endsWith('.part'))).toEqual([]);

    const plan = await ridgepoint(['plan', '--flops', '1e20', '--law', 'fit.yaml', '--json'], cwd);
    expect(plan.code).toBe(0);
    const { allocations } = JSON.parse(plan.stdout) as {
      allocations: readonly { law: string; interval: { params: [number, number] }; target: { params: number } }[];
    };
    expect(allocations.map(({ law }) => law)).toEqual(['fit.yaml#chinchilla', 'fit.yaml#tied']);
    for (const { interval, target } of allocations) {
      expect(interval.params[0]).toBeLessThan(target.params);
      expect(interval.params[1]).toBeGreaterThan(target.params);
    }
    expect(allocations[0]?.target.params).toBeCloseTo(report.laws[0]?.prediction.params ?? 0, -3);
  });

  it('says in words what it found', async () => {
    const { code, stdout } = await ridgepoint(
      ['fit', 'runs.csv', '--law=chinchilla', '--draws=25', '--loss=absolute'],
      cwd,
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/runs\.csv: 20 runs of 1\.20e\+15 to 7\.68e\+20 FLOPs; training FLOPs are 6·N·D/);
    expect(stdout).toMatch(/chinchilla: L = E \+ A\/N\^α \+ B\/D\^β/);
    expect(stdout).toMatch(/N ∝ C\^0\.5\d+ \([\d.]+ to [\d.]+\)/);
  });

  it('keeps power laws, on a page and for plan', async () => {
    const args = ['--law=approach-2', '--budget=1e21', '-o', 'power.yaml', '-o', 'power.html', '--json'];
    const fit = await ridgepoint(['fit', 'profiles.csv', ...args], cwd);
    expect(fit.code).toBe(0);
    const { mappings } = JSON.parse(fit.stdout) as { mappings: readonly { prediction: { params: number } }[] };
    expect(readFileSync(join(cwd, 'power.html'), 'utf8')).toMatch(/Power laws.*approach-2/s);
    const plan = await ridgepoint(['plan', '--flops=1e21', '--law=power.yaml', '--json'], cwd);
    const { allocations } = JSON.parse(plan.stdout) as {
      allocations: readonly { law: string; target: { params: number } }[];
    };
    expect(allocations).toHaveLength(1);
    expect(allocations[0]?.law).toBe('power.yaml#approach-2');
    expect(allocations[0]?.target.params).toBeCloseTo(mappings[0]?.prediction.params ?? 0, -3);
  });

  it('refuses what it cannot read, and writes nothing', async () => {
    const cases = [
      [['bad.csv', '-o', 'no.yaml'], /bad\.csv: line 2, loss: expected a positive number, got "nan"/],
      [['absent.csv'], /absent\.csv: expected a readable CSV file, got ENOENT/],
      [['runs.csv', '--columns', 'n=size'], /expected a column "size", got params, tokens, loss/],
      [['runs.csv', '--law', 'moore'], /expected a law .*got 'moore'/],
      [['runs.csv', '--params', 'some'], /--params: expected total or non-embedding/],
      [['runs.csv', '--loss', 'cubic'], /--loss: expected huber/],
      [['runs.csv', '--outliers', 'some'], /--outliers: expected keep/],
      [['runs.csv', '-o', 'fit.txt'], /-o: expected a file that ends in \.yaml or \.html, got "fit\.txt"/],
    ] as const;
    const ended = await Promise.all(cases.map(([args]) => ridgepoint(['fit', ...args], cwd)));
    for (const [i, { code, stderr }] of ended.entries()) {
      expect(code).toBe(2);
      expect(stderr).toMatch(cases[i]?.[1] ?? /never/);
    }
    expect(existsSync(join(cwd, 'no.yaml'))).toBe(false);
  });

  it('turns timed steps into a profile that plan takes', async () => {
    const steps = [8, 16, 24, 32, 12, 20].map(
      (layers, i) => `${layers},${1024 + 256 * i},50304,${1024 * (1 + (i % 3))},8192,${0.01 * layers * (1 + i / 3)}`,
    );
    writeFileSync(join(cwd, 'steps.csv'), `layers,width,vocabulary,context,tokens,seconds\n${steps.join('\n')}\n`);
    const fit = await ridgepoint(['fit', 'steps.csv', '--law', 'step-time', '-o', 'measured.yaml'], cwd);
    expect(fit.code).toBe(0);
    expect(fit.stdout).toMatch(/steps\.csv: 6 steps, mean error/);
    const plan = await ridgepoint(
      ['plan', '--time=2h', '--on=h100-sxm', '--count=8', '--profile=measured.yaml', '--law=chinchilla', '--json'],
      cwd,
    );
    expect(plan.code).toBe(0);
    const { allocations, warnings } = JSON.parse(plan.stdout) as {
      allocations: readonly { timeS: number }[];
      warnings: readonly string[];
    };
    expect(allocations[0]?.timeS).toBeCloseTo(7200, 3);
    expect(warnings.join()).not.toMatch(/prior/);
  });
});

describe('ridgepoint plan', () => {
  it('puts the allocation tuples of all laws side by side', async () => {
    const { code, stdout } = await ridgepoint(['plan', '--flops', '5.76e23', '-o', 'plan.html'], cwd);
    expect(code).toBe(0);
    expect(stdout).toMatch(/chinchilla-epoch +72\.4.G +1\.33.T/);
    expect(stdout).toMatch(/approach-1 +67\.9.G/);
    expect(stdout).toMatch(/FLOPs of training are 6·N·D/);
    const page = readFileSync(join(cwd, 'plan.html'), 'utf8');
    expect(page).toMatch(/Loss over model size at four budgets, chinchilla/);
    expect(page).toMatch(/Model size over compute by every law/);
  });

  it('draws the page of the data there are, and of what inference leaves', async () => {
    const cases = [
      ['--flops=1e18', '--unique-data=1e8', '--law=data-constrained'],
      ['--flops=1e22', '--inference-tokens=1e12'],
    ];
    for (const args of cases) {
      const { code, stdout } = await ridgepoint(['plan', ...args, '-o', 'little.html'], cwd);
      expect(code).toBe(0);
      const [row] = stdout.split('\n').filter((line) => /^(?:data-constrained|chinchilla) /.test(line));
      const [, params, data] = row?.split(/ {2,}/) ?? [];
      expect(readFileSync(join(cwd, 'little.html'), 'utf8')).toContain(`N ${params}, D ${data}, loss `);
    }
    // Power laws, which are left out of the plan, are not drawn either.
    expect(readFileSync(join(cwd, 'little.html'), 'utf8')).not.toMatch(/<text[^>]*>kaplan</);
  });

  it('plans time on devices, with memory and the baselines of others', async () => {
    const { code, stdout } = await ridgepoint(
      ['plan', '--time=24h', '--on=h100-sxm', '--count=64', '--mfu=.4', '--law=chinchilla', '--json'],
      cwd,
    );
    expect(code).toBe(0);
    const { schema, allocations, warnings } = JSON.parse(stdout) as {
      schema: number;
      allocations: readonly Record<string, never>[];
      warnings: readonly string[];
    };
    expect(schema).toBe(1);
    expect(warnings).toEqual([]);
    expect(allocations[0]).toMatchObject({
      law: 'chinchilla',
      confirmed: 'paper',
      timeS: expect.closeTo(86_400, 3) as number,
      baselines: { flopsS: expect.closeTo(86_400, 3) as number, megatronDays: expect.closeTo(8 / 6, 6) as number },
      memory: { deviceBytes: 80e9, fits: true },
    });
  });

  it('proposes trials that make a law identifiable', async () => {
    const { code, stdout } = await ridgepoint(['plan', '--design', '--trials', '8', '--flops', '1e19', '--json'], cwd);
    expect(code).toBe(0);
    const design = JSON.parse(stdout) as {
      trials: readonly object[];
      flops: number;
      check: { problems: readonly string[] };
    };
    expect(design.trials).toHaveLength(8);
    expect(design.flops).toBeLessThanOrEqual(1e19);
    expect(design.check.problems).toEqual([]);
    const repeats = ['--law=data-constrained', '--unique-data=1e9'];
    const text = await ridgepoint(['plan', '--design', '--trials=8', '--flops=1e19', ...repeats], cwd);
    expect(text.stdout).toMatch(/^parameters +data +distinct +FLOPs/);
    expect(text.stdout).toMatch(
      /expected standard errors, seed noise 0\.2 %: size at the target budget [\d.]+ %\ndesigned for data-constrained/,
    );
  });

  it('takes one law of a file by the name it prints, or the one that the fit selected', async () => {
    const tiny = ['--flops=3e10', '--vocabulary=64', '--context=64', '--json'];
    const [one, design, trained] = await Promise.all([
      ridgepoint(['plan', ...tiny, '--law=two.yaml#chinchilla'], cwd),
      ridgepoint(['plan', '--design', '--flops=1e19', '--law=two.yaml', '--json'], cwd),
      ridgepoint(['plan', ...tiny, '--law=two.yaml', '--instantiate=by-tied'], cwd),
    ]);
    expect([one.stderr, design.stderr].join('')).toBe('');
    expect(JSON.parse(one.stdout)).toMatchObject({ allocations: [{ law: 'two.yaml#chinchilla' }] });
    const taken = /takes two\.yaml#tied, which the fit selected of two\.yaml#chinchilla, two\.yaml#tied/;
    const warnings = expect.arrayContaining([expect.stringMatching(taken)]) as string[];
    expect(JSON.parse(design.stdout)).toMatchObject({ law: 'two.yaml#tied', warnings });
    expect(trained.stderr).not.toMatch(/error/);
    const law = 'two.yaml#tied';
    expect(JSON.parse(trained.stdout)).toMatchObject({ allocations: [{ law }], warnings, instantiated: { law } });
  }, 60_000);

  it('refuses what does not go together, naming it', async () => {
    const cases = [
      [
        ['--flops=1e20', '--law=two.yaml#moore'],
        2,
        /--law: expected a law of two\.yaml \(chinchilla, tied\), got 'moore'/,
      ],
      [['--flops=1e20', '--instantiate=no'], 2, /--instantiate: expected one --law, got none/],
      [
        ['--flops=1e20', '--law=two.yaml,chinchilla', '--instantiate=no'],
        2,
        /got two\.yaml#chinchilla, two\.yaml#tied, chin/,
      ],
      [
        ['--design', '--flops=1e20', '--law=unread.yaml'],
        2,
        /--design: expected one --law, got unread\.yaml#chinchilla, un/,
      ],
      [['--design', '--flops=1e19', '-o', 'no.html'], 2, /-o: expected none with --design/],
      [['--design', '--flops=1e19', '--law=tied', '--instantiate=no'], 2, /--instantiate: expected none with --design/],
      [['--flops=1e19', '--target=1e21'], 2, /--target: expected --design with it/],
      [[], 2, /expected one of --flops and --time, got none/],
      [['--flops=1e20', '--time=1h', '--on=t4'], 2, /got both/],
      [['--flops=1e20', '--law=moore'], 2, /expected a law .* got 'moore'/],
      [['--flops=1e20', '--law=absent.yaml'], 2, /absent\.yaml: expected a readable file/],
      [['--time=1h'], 2, /--time: expected a device with it/],
      [['--time=1h', '--on=abacus'], 2, /got 'abacus'/],
      [['--time=1h', '--on=h100-sxm', '--mfu=1.5'], 2, /--mfu: expected a share of at most 1/],
      [['--time=1h', '--on=hailo-8'], 2, /hailo-8: expected a precision to train in/],
      [['--flops=1e9', '--law=chinchilla'], 4, /expected a target size that a transformer/],
      [['--design', '--flops=1e19', '--trials=3'], 2, /--trials: expected more than 5 trials/],
    ] as const;
    const ended = await Promise.all(cases.map(([args]) => ridgepoint(['plan', ...args], cwd)));
    for (const [i, { code, stderr }] of ended.entries()) {
      expect(stderr).toMatch(cases[i]?.[2] ?? /never/);
      expect(code).toBe(cases[i]?.[1]);
    }
  });
});
