import { defineCommand } from 'citty';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { extent } from '../core/extent.ts';
import { amount, percent, significant } from '../report/format.ts';
import { type PageSection, tablePage } from '../report/law-page.ts';
import { xyChart } from '../report/xy-chart.ts';
import { writeFitFile } from '../scaling/fit-file.ts';
import type { Penalty } from '../scaling/fit-penalty.ts';
import {
  type Estimate,
  finalRuns,
  type FitReport,
  type FittedLaw,
  fitRuns,
  type Range,
} from '../scaling/fit-report.ts';
import { type OutlierPolicy, parseColumns, parseRuns, type Run } from '../scaling/fit-runs.ts';
import { fitStepTime, meanRelativeError, stepTimeS } from '../scaling/step-time.ts';
import { writeStepTimeFile } from '../scaling/step-time-file.ts';
import { parseTimedSteps } from '../scaling/step-time-runs.ts';
import type { ParamsCount } from '../scaling/laws/law.ts';
import { listArgument, numberArgument, positiveArgument } from './arguments.ts';
import { interruptible, openReporter } from './progress.ts';
import { outputPaths, writeWhole } from './written-file.ts';

/** `ridgepoint fit runs.csv`: scaling laws fitted to finished trainings. */
export const command = defineCommand({
  args: {
    runs: { type: 'positional', description: 'CSV file of finished trainings, a row each', required: true },
    law: {
      type: 'string',
      description:
        'chinchilla, joint, tied, kaplan, data-constrained, information-bound, approach-1, approach-2 or all, repeatable; step-time for timed steps',
      default: 'all',
    },
    columns: {
      type: 'string',
      description: 'headings of the columns: n=…,d=…,c=…,loss=…,unique=…,curve=…,horizon=… (usual names are found)',
    },
    budget: {
      type: 'string',
      description: 'training FLOPs to predict for, as the table counts them (else 6·N·D), such as 1e24',
    },
    outliers: {
      type: 'string',
      description: 'keep, highest:<count> of the losses, or residual:<robust deviations>',
      default: 'keep',
    },
    loss: {
      type: 'string',
      description: 'how residuals of ln L are weighed: huber:<delta>, absolute, or asymmetric:<share below the law>',
      default: 'huber:0.001',
    },
    params: { type: 'string', description: 'what N counts: total or non-embedding parameters', default: 'total' },
    draws: { type: 'string', description: 'resamples of the bootstrap', default: '300' },
    seed: { type: 'string', description: 'seed of the bootstrap', default: '0' },
    output: {
      type: 'string',
      alias: 'o',
      description: 'write the fitted laws (.yaml, for ridgepoint plan --law) or a page with plots (.html); repeatable',
    },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    const outputs = args.output === undefined ? [] : listArgument(rawArgs, 'output', args.output, 'o');
    const files = outputPaths(outputs, ['.yaml', '.html']);
    const columns = args.columns === undefined ? {} : parseColumns(args.columns);
    const request = {
      laws: listArgument(rawArgs, 'law', args.law),
      penalty: penaltyArgument(args.loss),
      outliers: outliersArgument(args.outliers),
      paramsCount: paramsArgument(args.params),
      draws: numberArgument('--draws', args.draws),
      seed: numberArgument('--seed', args.seed),
      budgetFlops: args.budget === undefined ? undefined : positiveArgument('--budget', args.budget),
    };
    if (request.laws.includes('step-time')) {
      if (request.laws.length > 1) throw new ConfigError('--law step-time: expected no other law with it');
      return fitSteps(args.runs, files, args.json ?? false);
    }
    const runs = parseRuns(readText(args.runs), args.runs, columns);
    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'nothing has been written yet');
    const onProgress = (text: string) => reporter.progress({ phase: 'fit', text });
    const report = await fitRuns(runs, request, { signal, onProgress });
    reporter.finish();
    for (const { path, kind } of files)
      writeWhole(path, kind === '.yaml' ? writeFitFile(report) : fitPage(report, runs, basename(args.runs)));
    if (args.json) console.log(JSON.stringify(withoutDraws(report)));
    else console.log(describe(report, args.runs));
  },
});

function rateText(value: number | null): string {
  return value?.toExponential(3) ?? 'none';
}

/** Rates of a device from timed training steps, for `ridgepoint plan --profile`. */
function fitSteps(path: string, files: ReturnType<typeof outputPaths>, json: boolean): void {
  const steps = parseTimedSteps(readText(path), path);
  if (steps.length < 4) throw new ConfigError(`${path}: expected at least 4 timed steps, got ${steps.length}`);
  const model = fitStepTime(steps);
  const error = meanRelativeError(
    steps.map((step) => stepTimeS(model, step)),
    steps.map(({ seconds }) => seconds),
  );
  const about = { steps: steps.length, error };
  for (const { path, kind } of files) {
    if (kind !== '.yaml') throw new ConfigError(`-o: expected a .yaml file for step-time rates, got ${path}`);
    writeWhole(path, writeStepTimeFile(model, about));
  }
  if (json) console.log(JSON.stringify({ schema: 1, stepTime: model, ...about }));
  else
    console.log(
      `${path}: ${steps.length} steps, mean error ${percent(error)}\n${rateText(model.elementsPerS)} elements copied, ${rateText(model.attentionFlopsPerS)} FLOPs of attention, ${rateText(model.matrixFlopsPerS)} FLOPs of matrix products a second and device`,
    );
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ConfigError(`${path}: expected a readable CSV file, got ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
    });
  }
}

function paramsArgument(text: string): ParamsCount {
  if (text === 'total' || text === 'non-embedding') return text;
  throw new ConfigError(`--params: expected total or non-embedding, got ${JSON.stringify(text)}`);
}

function penaltyArgument(text: string): Penalty {
  const [kind, value] = text.split(':');
  if (kind === 'absolute' && value === undefined) return { kind };
  if (kind === 'huber') return { kind, delta: positiveArgument('--loss huber', value ?? '0.001') };
  if (kind === 'asymmetric') {
    const quantile = positiveArgument('--loss asymmetric', value ?? '0.25');
    if (quantile < 1) return { kind, quantile, delta: 1e-3 };
  }
  throw new ConfigError(
    `--loss: expected huber:<delta>, absolute or asymmetric:<share between 0 and 1>, got ${JSON.stringify(text)}`,
  );
}

function outliersArgument(text: string): OutlierPolicy {
  const [kind, value = ''] = text.split(':');
  if (text === 'keep') return { kind: 'keep' };
  if (kind === 'highest') return { kind, count: numberArgument('--outliers highest', value, 1) };
  if (kind === 'residual') return { kind, deviations: positiveArgument('--outliers residual', value) };
  throw new ConfigError(
    `--outliers: expected keep, highest:<count> or residual:<robust deviations>, got ${JSON.stringify(text)}`,
  );
}

/** The report as JSON: resamples are in the YAML file, where they are of use. */
function withoutDraws(report: FitReport): object {
  return {
    ...report,
    laws: report.laws.map(({ draws, ...law }) => ({ ...law, draws: draws.length })),
    mappings: report.mappings.map(({ optima, ...mapping }) => ({ ...mapping, optima: optima.length })),
  };
}

const rangeText = (range: Range, show: (value: number) => string): string =>
  range ? ` (${show(range[0])} to ${show(range[1])})` : '';

function figure(value: number): string {
  return Math.abs(value) >= 1e6 ? value.toExponential(3) : significant(value, 4);
}

function estimateText({ value, interval }: Estimate): string {
  return `${figure(value)}${rangeText(interval, figure)}`;
}

function describe(report: FitReport, name: string): string {
  const { runs, design } = report;
  const rows = runs.rows > runs.given ? ` (${runs.rows} rows)` : '';
  const dropped =
    runs.dropped.length > 0 ? `, line${runs.dropped.length > 1 ? 's' : ''} ${runs.dropped.join(', ')} left out` : '';
  const [low, high] = runs.flops.map((flops) => flops.toExponential(2));
  return [
    `${name}: ${runs.used} runs${rows} of ${low} to ${high} FLOPs${dropped}; ${report.convention}`,
    `design: ${design.sizes} sizes, ${design.dataAmounts} amounts of data, V ${significant(design.ratioSpread)}`,
    ...report.laws.map((law) => describeLaw(law, law.law === report.selected && report.laws.length > 1)),
    ...report.mappings.map(
      ({ law, mapping, prediction }) =>
        `\n${law}: N = ${significant(mapping.paramsCoefficient)}·C^${significant(mapping.paramsExponent, 4)}, D = ${significant(mapping.dataCoefficient)}·C^${significant(mapping.dataExponent, 4)}${
          prediction
            ? `\n  at the budget: ${amount(prediction.params)} parameters, ${amount(prediction.data)} data`
            : ''
        }`,
    ),
    ...(report.spread
      ? [
          `\nthe laws differ by a factor of ${significant(report.spread.params)} in parameters, ${significant(report.spread.data)} in data, ${significant(report.spread.loss, 4)} in loss`,
        ]
      : []),
    ...report.warnings.map((text) => `warning: ${text}`),
  ].join('\n');
}

function describeLaw(law: FittedLaw, selected: boolean): string {
  const { prediction, exponents } = law;
  return [
    `\n${law.law}${selected ? ' (extrapolates best)' : ''}: ${law.formula}${law.confirmed === 'paper' ? '' : ` (${law.confirmed}, not confirmed)`}`,
    `  ${Object.entries(law.parameters)
      .map(([name, estimate]) => `${name} ${estimateText(estimate)}`)
      .join(', ')}`,
    ...(exponents ? [`  N ∝ C^${estimateText(exponents.params)}, D ∝ C^${estimateText(exponents.data)}`] : []),
    `  objective ${law.objective.toPrecision(8)}, R² ${law.r2.toFixed(5)}, mean error ${percent(law.meanError, 2)}${
      law.holdOut ? `, extrapolating ${percent(law.holdOut.error, 2)}` : ''
    }, condition ${law.curvature.condition.toExponential(1)}`,
    ...(prediction
      ? [
          `  at the budget: ${amount(prediction.params)} parameters${rangeText(prediction.intervals.params, amount)}, ${amount(prediction.data)} data${rangeText(prediction.intervals.data, amount)}, loss ${significant(prediction.loss, 4)}${rangeText(prediction.intervals.loss, (value) => significant(value, 4))}`,
        ]
      : []),
  ].join('\n');
}

function fitPage(report: FitReport, given: readonly Run[], name: string): string {
  const dropped = new Set(report.runs.dropped);
  const runs = finalRuns(given).filter(({ line }) => !dropped.has(line));
  const laws = report.laws.map((law) => ({
    title: `${law.law}: ${law.formula}`,
    note: `${law.source}; ${law.confirmed}`,
    table: {
      columns: ['parameter', 'value', '95 % interval'],
      rows: Object.entries(law.parameters).map(([parameter, { value, interval }]) => [
        parameter,
        value.toPrecision(5),
        interval ? `${interval[0].toPrecision(4)} to ${interval[1].toPrecision(4)}` : '',
      ]),
    },
    figures: [
      xyChart(
        `Residuals of ${law.law} over compute`,
        { title: 'training FLOPs', log: true },
        { title: 'predicted ÷ observed − 1 (%)', log: false },
        [
          {
            name: 'runs',
            kind: 'points' as const,
            points: runs.map((run, i) => [run.flops, 100 * Math.expm1(law.residuals[i] ?? Number.NaN)] as const),
            titles: runs.map(
              (run) => `line ${run.line}: N ${amount(run.params)}, D ${amount(run.data)}, loss ${run.loss}`,
            ),
          },
        ],
      ),
      xyChart(
        `Predicted against observed loss, ${law.law}`,
        { title: 'observed loss (nats)', log: false },
        { title: 'predicted loss (nats)', log: false },
        [
          {
            name: 'runs',
            kind: 'points' as const,
            points: runs.map((run, i) => [run.loss, run.loss * Math.exp(law.residuals[i] ?? Number.NaN)] as const),
          },
          { name: 'equal', kind: 'line' as const, points: diagonal(runs.map(({ loss }) => loss)) },
        ],
      ),
    ],
  }));
  return tablePage({
    title: `Scaling laws of ${name}`,
    facts: [`${report.runs.used} runs`, `V ${significant(report.design.ratioSpread)}`, report.convention],
    warnings: report.warnings,
    sections: [
      ...(report.laws.length > 0 ? [lawsSection(report)] : []),
      ...(report.mappings.length > 0 ? [mappingsSection(report)] : []),
      ...laws,
    ],
  });
}

function lawsSection(report: FitReport): PageSection {
  return {
    title: 'Laws',
    table: {
      columns: ['law', 'objective', 'R²', 'mean error', 'extrapolating', 'a', 'N at budget', 'D at budget', 'loss'],
      rows: report.laws.map((law) => [
        law.law + (law.law === report.selected ? ' *' : ''),
        law.objective.toPrecision(6),
        law.r2.toFixed(5),
        percent(law.meanError, 2),
        law.holdOut ? percent(law.holdOut.error, 2) : '',
        law.exponents ? estimateText(law.exponents.params) : '',
        law.prediction ? amount(law.prediction.params) : '',
        law.prediction ? amount(law.prediction.data) : '',
        law.prediction ? significant(law.prediction.loss, 4) : '',
      ]),
    },
  };
}

function mappingsSection({ mappings }: FitReport): PageSection {
  return {
    title: 'Power laws: N = k_N·C^a, D = k_D·C^b',
    table: {
      columns: ['approach', 'k_N', 'a', 'k_D', 'b', 'optima', 'N at budget', 'D at budget'],
      rows: mappings.map(({ law, mapping, optima, prediction }) => [
        law,
        mapping.paramsCoefficient.toPrecision(5),
        mapping.paramsExponent.toFixed(4),
        mapping.dataCoefficient.toPrecision(5),
        mapping.dataExponent.toFixed(4),
        String(optima.length),
        prediction ? amount(prediction.params) : '',
        prediction ? amount(prediction.data) : '',
      ]),
    },
  };
}

function diagonal(losses: readonly number[]): readonly (readonly [number, number])[] {
  return extent(losses).map((loss) => [loss, loss] as const);
}
