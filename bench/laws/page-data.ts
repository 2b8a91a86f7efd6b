// What docs/laws.md fits: losses by known laws with a little noise, so that a reader sees how near a fit comes.
import { Random } from '../../core/random.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { dataConstrained } from '../../scaling/laws/data-constrained.ts';
import type { TrainingCurve } from '../../scaling/laws/envelope.ts';
import { lossAt, type LossLaw, type Point, thetaOf } from '../../scaling/laws/law.ts';

/** L = 1.7 + 400 ÷ N^.34 + 1100 ÷ D^.32. */
const truth = thetaOf(chinchilla, { A: 400, B: 1100, E: 1.7, alpha: 0.34, beta: 0.32 });
/** The same floor and coefficients with one exponent .33, repeats worth as in R_D* 12, R_N* 6. */
const repeating = thetaOf(dataConstrained, {
  A: 400,
  B: 1100,
  E: 1.7,
  alpha: 0.33,
  repeatsHalfLifeData: 12,
  repeatsHalfLifeParams: 6,
});
/** Standard deviation of ln L, as between seeds. */
const noise = 0.002;

/** A table of runs, as `ridgepoint fit` reads it. */
function csv(heading: string, rows: readonly (readonly (string | number)[])[]): string {
  return `${[heading, ...rows.map((row) => row.join(','))].join('\n')}\n`;
}

const rounded = (value: number): number => Number(value.toPrecision(5));

function noisyLoss(law: LossLaw, theta: readonly number[], point: Point, random: Random): string {
  return (lossAt(law, theta, point) * Math.exp(noise * random.normal())).toFixed(4);
}

/** Four budgets of six sizes, each four times the last: an isoFLOP sweep. Columns params, tokens, loss. */
export function sweep(): string {
  const random = new Random('laws').child('sweep');
  const rows = [1e17, 1e18, 1e19, 1e20].flatMap((flops) =>
    [-3, -2, -1, 0, 1, 2].map((k) => {
      const params = rounded(chinchilla.optimum(truth, flops).params * 2 ** (k + 0.5));
      const data = rounded(flops / 6 / params);
      return [params, data, noisyLoss(chinchilla, truth, { params, data }, random)];
    }),
  );
  return csv('params,tokens,loss', rows);
}

/** Eight sizes, all of 20 tokens a parameter: a design that no fit can mend. Columns params, tokens, loss. */
export function oneRatio(): string {
  const random = new Random('laws').child('one-ratio');
  const rows = Array.from({ length: 8 }, (_, i) => {
    const params = 1e7 * 2 ** i;
    return [params, 20 * params, noisyLoss(chinchilla, truth, { params, data: 20 * params }, random)];
  });
  return csv('params,tokens,loss', rows);
}

/** Three sizes of up to 60 passes over three amounts of distinct tokens. Columns params, tokens, unique, loss. */
export function repeats(): string {
  const random = new Random('laws').child('repeats');
  const rows = [2e7, 1e8, 5e8].flatMap((params) =>
    [4e8, 2e9, 1e10].flatMap((uniqueData) =>
      [1, 4, 15, 60].map((passes) => {
        const point = { params, data: passes * uniqueData, uniqueData };
        return [params, point.data, uniqueData, noisyLoss(dataConstrained, repeating, point, random)];
      }),
    ),
  );
  return csv('params,tokens,unique,loss', rows);
}

/** Lengths of the schedules in tokens per parameter: a third of an octave apart, so that at every budget some run is near its end. */
const lengths = Array.from({ length: 19 }, (_, i) => 8 * 2 ** (i / 3));

/**
 * Curves of seven sizes with a schedule for every length, recorded evenly in ln D, or in D where `linear`. While its rate is high a run is worse than one that
 * ends there: by 10 % at the start, falling in a straight line to none at the end of the schedule. That figure is made up.
 */
export function curves(linear = false): readonly TrainingCurve[] {
  const random = new Random('laws').child('curves');
  return [1e7, 2e7, 4e7, 8e7, 1.6e8, 3.2e8, 6.4e8].flatMap((params) =>
    lengths.map((ratio) => {
      const horizon = rounded(ratio * params);
      const points = Array.from({ length: 100 }, (_, i) => {
        const data = rounded(horizon * (linear ? (i + 1) / 100 : 20 ** ((i + 1) / 100 - 1)));
        const early = 1 + 0.1 * (1 - data / horizon);
        return { data, loss: Number(noisyLoss(chinchilla, truth, { params, data }, random)) * early };
      });
      return { params, horizon, points };
    }),
  );
}

/** The curves as a table: params, tokens, loss, curve, horizon. */
export function curveTable(linear: boolean): string {
  const rows = curves(linear).flatMap(({ params, horizon, points }, k) =>
    points.map(({ data, loss }) => [params, data, loss.toFixed(4), k, horizon]),
  );
  return csv('params,tokens,loss,curve,horizon', rows);
}
