// The plots of docs/laws.md.
import { readFileSync } from 'node:fs';
import { findProfile } from '../../accelerators/profile-file.ts';
import { polynomialFit } from '../../core/least-squares.ts';
import type { Markup } from '../../report/markup.ts';
import { chartFile } from '../../report/page.ts';
import { type XyAxis, xyChart, type XySeries } from '../../report/xy-chart.ts';
import { allocate, publishedMapping } from '../../scaling/allocate.ts';
import { parseRuns } from '../../scaling/fit-runs.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { dataConstrained } from '../../scaling/laws/data-constrained.ts';
import { fitEnvelope } from '../../scaling/laws/envelope.ts';
import { cheapestForLoss } from '../../scaling/laws/inference-aware.ts';
import { informationBound } from '../../scaling/laws/information-bound.ts';
import { fitIsoFlop } from '../../scaling/laws/iso-flop.ts';
import { joint } from '../../scaling/laws/joint.ts';
import { publishedLaws } from '../../scaling/laws/laws.ts';
import { lossAt, thetaOf } from '../../scaling/laws/law.ts';
import { tied } from '../../scaling/laws/tied.ts';
import { type Cluster, plan } from '../../scaling/plan.ts';
import { stepTimePrior } from '../../scaling/step-time.ts';
import { defaultStyle } from '../../scaling/transformer-shape.ts';
import { curves, sweep } from './page-data.ts';
import { allocationOf, byTeacher } from './teacher-report.ts';
import { parseRows } from './teacher-runs.ts';

const params: XyAxis = { title: 'parameters N', log: true };
const flops: XyAxis = { title: 'training FLOPs C', log: true };
const nats: XyAxis = { title: 'loss (nats)', log: false };

/** `count` values from `low` to `high`, evenly in their logarithm. */
function span(low: number, high: number, count = 41): readonly number[] {
  return Array.from({ length: count }, (_, i) => low * (high / low) ** (i / (count - 1)));
}

function line(name: string, x: readonly number[], of: (x: number) => number): XySeries {
  return { name, kind: 'line', points: x.map((value) => [value, of(value)] as const) };
}

function published(name: string): readonly number[] {
  const found = publishedLaws.get(name);
  if (!found) throw new Error(`expected a published law, got ${name}`);
  return thetaOf(found.law, found.constants.values);
}

function chinchillaFigure(): Markup | null {
  const theta = published('chinchilla');
  const budgets = [1e20, 1e21, 1e22, 1e23];
  const best = budgets.map((budget) => chinchilla.optimum(theta, budget));
  return xyChart('Loss over size at four budgets', params, nats, [
    ...budgets.map((budget, k) => {
      const { params: middle = 1 } = best[k] ?? {};
      return line(`${budget.toExponential(0)} FLOPs`, span(middle / 12, middle * 12), (n) =>
        lossAt(chinchilla, theta, { params: n, data: budget / 6 / n }),
      );
    }),
    {
      name: 'optima',
      kind: 'points',
      points: best.map((tuple) => [tuple.params, lossAt(chinchilla, theta, tuple)] as const),
    },
  ]);
}

function approach2Figure(): Markup | null {
  const runs = parseRuns(sweep(), 'sweep');
  const { optima } = fitIsoFlop(runs);
  const parabolas = optima.map((optimum) => {
    const group = runs.filter(({ flops: budget }) => Math.abs(budget / optimum.flops - 1) < 0.05);
    const sizes = group.map((run) => run.params);
    const [c0 = 0, c1 = 0, c2 = 0] = polynomialFit(
      sizes.map(Math.log),
      group.map(({ loss }) => loss),
      2,
    );
    return line(`${optimum.flops.toExponential(0)} FLOPs`, span(Math.min(...sizes), Math.max(...sizes), 25), (n) => {
      const x = Math.log(n);
      return c0 + c1 * x + c2 * x ** 2;
    });
  });
  return xyChart('A parabola through the runs of each budget', params, nats, [
    ...parabolas,
    { name: 'runs', kind: 'points', points: runs.map((run) => [run.params, run.loss] as const) },
    { name: 'minima', kind: 'points', points: optima.map((one) => [one.params, one.loss] as const) },
  ]);
}

function approach1Figure(): Markup | null {
  const { envelope, law } = fitEnvelope(curves(), { budgets: 60 });
  return xyChart('Size at the envelope over compute', flops, params, [
    {
      name: 'size of the lowest curve',
      kind: 'points',
      points: envelope.map((point) => [point.flops, point.params] as const),
    },
    line(
      `power law through them, N ∝ C^${law.paramsExponent.toFixed(2)}`,
      span(1e16, 1e20, 5),
      (c) => law.paramsCoefficient * c ** law.paramsExponent,
    ),
  ]);
}

function mappingsFigure(): Markup | null {
  return xyChart(
    'Size over compute by the published mappings',
    flops,
    params,
    ['chinchilla', 'chinchilla-epoch', 'approach-1', 'approach-2', 'kaplan'].map((name) =>
      line(name, span(1e18, 1e25, 8), (budget) => allocate(publishedMapping(name), { flops: budget }).params),
    ),
  );
}

function jointFigure(): Markup | null {
  const natural = { A: 400, B: 1100, E: 1.7, alphaN: 0.34, alphaD: 0.32 };
  return xyChart(
    'Loss over size at 1e11 tokens',
    params,
    nats,
    [0.25, 0.5, 1].map((alpha) =>
      line(`α = ${alpha}`, span(1e6, 1e12), (n) =>
        lossAt(joint, thetaOf(joint, { ...natural, alpha }), { params: n, data: 1e11 }),
      ),
    ),
  );
}

function tiedFigure(): Markup | null {
  const theta = thetaOf(tied, { A: 400, B: 1100, E: 1.7, eta: 0.33 });
  return xyChart(
    'Loss above E over compute at equal data per parameter',
    flops,
    { title: 'loss − E (nats)', log: true },
    [2, 20, 200, 2000].map((ratio) =>
      line(`D/N = ${ratio}`, span(1e17, 1e24, 15), (budget) => {
        const n = Math.sqrt(budget / 6 / ratio);
        return lossAt(tied, theta, { params: n, data: ratio * n }) - 1.7;
      }),
    ),
  );
}

function repeatsFigure(): Markup | null {
  const theta = published('data-constrained');
  const uniqueData = 1e10;
  const passes = span(1, 300);
  const at = (unique: (data: number) => number) => (pass: number) => {
    const data = pass * uniqueData;
    return lossAt(dataConstrained, theta, { params: 5e8, data, uniqueData: unique(data) });
  };
  return xyChart(
    'Loss of 5e8 parameters over passes of 1e10 tokens',
    { title: 'passes over the data', log: true },
    nats,
    [
      line(
        'repeated data',
        passes,
        at(() => uniqueData),
      ),
      line(
        'as much new data',
        passes,
        at((data) => data),
      ),
    ],
  );
}

function inferenceFigure(): Markup | null {
  const theta = published('inference-aware');
  const loss = 2.1;
  const range = span(1e9, 1e14, 21);
  const of = (served: number) => cheapestForLoss(chinchilla, theta, loss, served);
  return xyChart(
    'The cheapest way to a loss of 2.1 nats',
    { title: 'tokens to serve', log: true },
    { title: 'parameters, or tokens', log: true },
    [
      line('parameters N', range, (served) => of(served)?.params ?? Number.NaN),
      line('training tokens D', range, (served) => of(served)?.data ?? Number.NaN),
    ],
  );
}

function boundFigure(): Markup | null {
  return xyChart(
    'Examples per parameter at the optimum of the bound',
    flops,
    { title: 'examples per parameter', log: true },
    [10, 100, 1000].map((inputDimension) => {
      const theta = thetaOf(informationBound, { modelConstant: 3, dataConstant: 1, complexity: 10, inputDimension });
      return line(`input dimension ${inputDimension}`, span(1e14, 1e24, 21), (budget) => {
        const { params: n, data } = informationBound.optimum(theta, budget);
        return data / n;
      });
    }),
  );
}

/** Of the runs that `bench/laws/teacher.ts` left in `teacher.csv`. */
function teacherFigure(): Markup | null {
  const file = new URL('teacher.csv', import.meta.url);
  const series = byTeacher(parseRows(readFileSync(file, 'utf8'), 'bench/laws/teacher.csv')).flatMap((trained) => {
    const { law, optima } = allocationOf(trained);
    const compute = optima.map(({ flops: one }) => one);
    const name = `d ${trained.dimension}, K ${trained.complexity}`;
    return [
      { name, kind: 'points' as const, points: optima.map((one) => [one.flops, one.params] as const) },
      line(
        `${name}: N ∝ C^${law.paramsExponent.toFixed(2)}`,
        [Math.min(...compute), Math.max(...compute)],
        (c) => law.paramsCoefficient * c ** law.paramsExponent,
      ),
    ];
  });
  const compute: XyAxis = { title: 'compute C: parameters × examples', log: true };
  return xyChart('Best size of learners of a teacher over compute', compute, params, series);
}

async function wallClockFigure(): Promise<Markup | null> {
  const profile = await findProfile('h100-sxm');
  const peakTflops = profile.peakTflops.bf16 ?? Number.NaN;
  const memory = { gigabytes: Number.NaN, gigabytesPerS: Number.NaN, ...profile.memory };
  const cluster: Cluster = {
    device: profile.id,
    count: 64,
    peakFlopsPerS: peakTflops * 1e12,
    memoryBytes: memory.gigabytes * 1e9,
    mfu: 0.4,
    stepTime: stepTimePrior({ gigabytesPerS: memory.gigabytesPerS, peakTflops }),
  };
  const hours = span(1, 512, 10);
  const sizeOf = (stepTime: Cluster['stepTime']) => (hour: number) =>
    plan({
      budget: { timeS: hour * 3600 },
      mappings: [publishedMapping('chinchilla')],
      cluster: { ...cluster, stepTime },
      style: defaultStyle,
      batchTokens: 2 ** 21,
    }).allocations[0]?.params ?? Number.NaN;
  return xyChart('Size over time on 64 H100s', { title: 'hours', log: true }, params, [
    line('by step time', hours, sizeOf(cluster.stepTime)),
    line('by FLOPs at 40 % of the peak', hours, sizeOf(null)),
  ]);
}

/** Every plot of the page by file name. */
export async function figures(): Promise<ReadonlyMap<string, string>> {
  const drawn: readonly (readonly [string, Markup | null])[] = [
    ['chinchilla', chinchillaFigure()],
    ['approach-1', approach1Figure()],
    ['approach-2', approach2Figure()],
    ['mappings', mappingsFigure()],
    ['joint', jointFigure()],
    ['tied', tiedFigure()],
    ['data-constrained', repeatsFigure()],
    ['inference-aware', inferenceFigure()],
    ['information-bound', boundFigure()],
    ['teacher', teacherFigure()],
    ['wall-clock', await wallClockFigure()],
  ];
  return new Map(
    drawn.map(([name, figure]) => {
      if (!figure) throw new Error(`${name}: expected points to draw`);
      return [`${name}.svg`, chartFile(figure)];
    }),
  );
}
