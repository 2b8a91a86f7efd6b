// How well a few trained scalings tell the accuracy of others, on public families of networks, each left out of the
// calibration of the prior that predicts it: `npx tsx bench/scaling/accuracy.ts <scaling-grids.csv>`. See bench/README.md.
import { existsSync, readFileSync } from 'node:fs';
import { studentT } from '../../core/student-t.ts';
import type { RegressionPrior } from '../../scaling/bayesian-regression.ts';
import { Random } from '../../core/random.ts';
import { type AccuracyObservation, accuracyPrior, fitAccuracy } from '../../scaling/surrogate.ts';
import { fitRegression } from '../../scaling/bayesian-regression.ts';
import { familiesOf } from './grids.ts';

const path = process.argv[2];
if (path === undefined || !existsSync(path)) {
  console.log(`SKIPPED bench/scaling/accuracy.ts: expected scaling-grids.csv, got ${path ?? 'none'}`);
  process.exit(0);
}
const families = familiesOf(readFileSync(path, 'utf8'), path);
/** Trained scalings besides the smallest network, and how many draws of them. */
const [scalings, draws] = [4, 200] as const;
const level = 0.8;
/** Coefficients that families tell of: slopes and squares of the three axes. */
const shape = [1, 2, 3, 4, 5, 6] as const;
const wide: RegressionPrior = { mean: [0, 0, 0, 0, 0, 0, 0], sd: [5, 2, 2, 2, 1, 1, 1], noiseSd: 0.05, noiseWeight: 2 };

/** A family's coefficient where its networks differ along that axis; a square needs three values. */
function coefficients(family: readonly AccuracyObservation[]): readonly (number | undefined)[] {
  const rows = family.map(({ multipliers: { depth, width, resolution } }) => {
    const logs = [Math.log(depth), Math.log(width), Math.log(resolution)];
    return [1, ...logs, ...logs.map((value) => value ** 2)];
  });
  const targets = family.map(({ accuracy }) => Math.log(accuracy / (1 - accuracy)));
  const { coefficients: fitted } = fitRegression(rows, targets, wide);
  return fitted.map((value, index) => {
    const distinct = new Set(rows.map((row) => row[index]?.toFixed(3))).size;
    return distinct >= (index > 3 ? 3 : 2) ? value : undefined;
  });
}

/** Mean and spread over families of what each says; the built-in prior counts as one family more. */
function calibrated(from: readonly (readonly AccuracyObservation[])[]): RegressionPrior {
  const told = from.map(coefficients);
  const mean = [...accuracyPrior.mean];
  const sd = [...accuracyPrior.sd];
  for (const index of shape) {
    const values = [...told.flatMap((each) => each[index] ?? []), accuracyPrior.mean[index] ?? 0];
    const average = values.reduce((sum, value) => sum + value, 0) / values.length;
    const spread = values.reduce((sum, value) => sum + (value - average) ** 2, 0) + (accuracyPrior.sd[index] ?? 0) ** 2;
    mean[index] = average;
    sd[index] = Math.sqrt(spread / values.length);
  }
  return { ...accuracyPrior, mean, sd };
}

/** Errors and coverage for what was not told, over draws of what was. */
function judge(
  family: readonly AccuracyObservation[],
  prior: RegressionPrior,
  further: readonly AccuracyObservation[] = [],
) {
  let squares = 0;
  let covered = 0;
  let count = 0;
  const [smallest, ...larger] = family;
  for (let draw = 0; draw < draws; draw++) {
    const order = [...new Random('accuracy').child(draw).permutation(larger.length)];
    const shuffled = order.flatMap((index) => larger[index] ?? []);
    const known = [...(smallest ? [smallest] : []), ...shuffled.slice(0, scalings)];
    const { predict } = fitAccuracy([...known, ...further], prior);
    for (const { multipliers, accuracy } of shuffled.slice(scalings)) {
      const { logit, trainingLogitSd, degreesOfFreedom } = predict(multipliers);
      const error = Math.log(accuracy / (1 - accuracy)) - logit;
      squares += error ** 2;
      covered += Number(Math.abs(error) <= studentT(level, Math.round(degreesOfFreedom)) * trainingLogitSd);
      count++;
    }
  }
  return { error: Math.sqrt(squares / count), coverage: covered / count };
}

console.log(
  `| family | networks | slopes d, w, r; squares | built-in prior: error, ${level * 100} % intervals hold | others' prior |`,
);
console.log('|---|---|---|---|---|');
const text = ({ error, coverage }: ReturnType<typeof judge>) => `${error.toFixed(3)}, ${Math.round(100 * coverage)} %`;
for (const [name, family] of families) {
  const others = [...families].filter(([other]) => other.replace('_int8', '') !== name.replace('_int8', ''));
  const told = coefficients(family).slice(1);
  const fitted = told.map((value) => value?.toFixed(2) ?? '–').join(' ');
  const scored = family.length > scalings + 1;
  const results = scored
    ? [judge(family, accuracyPrior), judge(family, calibrated(others.map(([, each]) => each)))].map(text)
    : ['–', '–'];
  console.log(`| ${[name, family.length, fitted, ...results].join(' | ')} |`);
}
const all = calibrated([...families.values()]);
console.log(
  `\nprior of all families: mean ${all.mean.map((v) => v.toFixed(2)).join(' ')}; sd ${all.sd.map((v) => v.toFixed(2)).join(' ')}`,
);

console.log('\n| predicted from its own 5 and | error | 80 % intervals hold |\n|---|---|---|');
const row = (name: string, further: readonly AccuracyObservation[]) => {
  const { error, coverage } = judge(families.get('mobilenet_v1') ?? [], accuracyPrior, further);
  console.log(`| ${name} | ${error.toFixed(3)} | ${Math.round(100 * coverage)} % |`);
};
const lower = (families.get('mobilenet_v1_int8') ?? []).map((each) => ({ ...each, examplesRatio: Math.exp(-1) }));
const others = (families.get('mobilenet_v2') ?? []).map((each) => ({ ...each, isOther: true }));
row('nothing (mobilenet_v1)', []);
row('all 16 in another fidelity (mobilenet_v1_int8)', lower);
row('22 other networks (mobilenet_v2)', others);
row('both', [...lower, ...others]);
