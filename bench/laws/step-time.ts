import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseCsv } from '../../core/csv.ts';
import {
  convolutionWork,
  fitStepTime,
  meanRelativeError,
  relativeRates,
  stepTimeS,
  type StepTimeModel,
  stepWork,
  type TimedStep,
} from '../../scaling/step-time.ts';
import { fitLaw } from '../../scaling/fit.ts';
import { columnsOf, lossAt } from '../../scaling/laws/law.ts';
import { tied } from '../../scaling/laws/tied.ts';
import { type FinishedRun, llamaSteps, mosaicSteps } from './timed-steps.ts';

// How well a count of memory copies predicts training steps it was not fitted to, beside FLOPs: fitted on the smaller two
// thirds (by parameters, and by FLOPs of a step), judged on the largest third.

const folder = process.argv[2] ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));
if (!existsSync(folder)) console.log(`skipped: the public tables are not in ${folder}`);
else {
  transformers(
    'llama-runs-small.csv, 8 accelerators',
    llamaSteps(readFileSync(join(folder, 'llama-runs-small.csv'), 'utf8')),
  );
  lossInWallClock(llamaSteps(readFileSync(join(folder, 'llama-runs-small.csv'), 'utf8')));
  transformers('llm-foundry-a100.csv', mosaicSteps(readFileSync(join(folder, 'llm-foundry-a100.csv'), 'utf8')));
  convolutions(readFileSync(join(folder, 'timm-train-rtx3090-half.csv'), 'utf8'));
}

/** Loss from shape and wall-clock time alone: step times and the law of the loss, both learnt from the smaller runs. */
function lossInWallClock(runs: readonly FinishedRun[]): void {
  const ordered = runs.filter(({ loss }) => loss > 0).toSorted((a, b) => a.params - b.params);
  const cut = Math.floor((2 * ordered.length) / 3);
  const [known, rest] = [ordered.slice(0, cut), ordered.slice(cut)];
  const { theta } = fitLaw(
    tied,
    columnsOf(known),
    Float64Array.from(known, ({ loss }) => Math.log(loss)),
  );
  const model = fitStepTime(known);
  const [each = 0] = relativeRates(
    [known.map(flopsOf)],
    known.map(({ seconds }) => seconds),
  );
  const error = (dataOf: (run: FinishedRun) => number): string =>
    percent(
      meanRelativeError(
        rest.map((run) => lossAt(tied, theta, { params: run.params, data: dataOf(run) })),
        rest.map(({ loss }) => loss),
      ),
    );
  console.log(
    `loss of the largest third from shape and time, tied law: ${error(dataIn((run) => stepTimeS(model, run)))} by copies, ${error(dataIn((run) => each * flopsOf(run)))} by FLOPs alone, ${error(({ data }) => data)} knowing the data`,
  );
}

/** Data that a run would have seen in the time it really took, were a step as long as a model says. */
function dataIn(stepS: (run: FinishedRun) => number): (run: FinishedRun) => number {
  return (run) => (run.seconds / stepS(run)) * run.data;
}

/** Mean error on the largest third of what was learnt from the rest. */
function extrapolated<Step>(
  steps: readonly Step[],
  sizeOf: (step: Step) => number,
  learn: (steps: readonly Step[]) => (step: Step) => number,
  secondsOf: (step: Step) => number,
): number {
  const ordered = steps.toSorted((a, b) => sizeOf(a) - sizeOf(b));
  const cut = Math.floor((2 * ordered.length) / 3);
  const predict = learn(ordered.slice(0, cut));
  const rest = ordered.slice(cut);
  return meanRelativeError(rest.map(predict), rest.map(secondsOf));
}

function transformers(name: string, steps: readonly (TimedStep & { readonly params: number })[]): void {
  const model = fitStepTime(steps);
  const error = meanRelativeError(
    steps.map((step) => stepTimeS(model, step)),
    steps.map(({ seconds }) => seconds),
  );
  console.log(`\n${name}: ${steps.length} steps`);
  console.log(`rates ${JSON.stringify(model)}, mean error ${percent(error)}`);
  const ways = {
    'copies, attention, matrices': (known: readonly TimedStep[]) => stepper(fitStepTime(known)),
    'copies and attention': (known: readonly TimedStep[]) =>
      stepper(fitStepTime(known, ['elements', 'attentionFlops'])),
    'FLOPs alone (6N a token)': (known: readonly TimedStep[]) => {
      const [each = 0] = relativeRates(
        [known.map(flopsOf)],
        known.map(({ seconds }) => seconds),
      );
      return (step: TimedStep) => each * flopsOf(step);
    },
  };
  for (const [order, sizeOf] of [
    ['parameters', ({ params }: { params: number }) => params],
    ['FLOPs', flopsOf],
  ] as const)
    console.log(
      `largest third by ${order}: ${Object.entries(ways)
        .map(
          ([way, learn]) =>
            `${way} ${percent(extrapolated(steps, sizeOf as (step: TimedStep) => number, learn, ({ seconds }) => seconds))}`,
        )
        .join(', ')}`,
    );
}

/** 6·N·T: what rules of thumb count. */
function flopsOf(step: TimedStep): number {
  return stepWork({ ...step, recomputes: false }).matrixFlops;
}

function stepper(model: StepTimeModel): (step: TimedStep) => number {
  return (step) => stepTimeS(model, step);
}

function convolutions(text: string): void {
  const { rows } = parseCsv(text, 'timm-train-rtx3090-half.csv');
  const steps = rows.map(({ cells }) => {
    const number = (name: string): number => Number(cells[name]);
    return {
      batch: number('batch'),
      macs: number('gmacs_fwd_x1e9'),
      activations: number('acts_fwd'),
      params: number('params'),
      seconds: number('step_time_s'),
    };
  });
  type Step = (typeof steps)[number];
  const learn = (columns: (step: Step) => readonly number[]) => (known: readonly Step[]) => {
    const width = columns(known[0] as Step).length;
    const rates = relativeRates(
      Array.from({ length: width }, (_, k) => known.map((step) => columns(step)[k] ?? 0)),
      known.map(({ seconds }) => seconds),
    );
    return (step: Step) => columns(step).reduce((sum, value, k) => sum + value * (rates[k] ?? 0), 0);
  };
  console.log(`\ntimm-train-rtx3090-half.csv: ${steps.length} networks`);
  for (const [order, sizeOf] of [
    ['parameters', ({ params }: Step) => params],
    ['multiply-adds', ({ macs }: Step) => macs],
  ] as const) {
    const error = (columns: (step: Step) => readonly number[]): string =>
      percent(extrapolated(steps, sizeOf, learn(columns), ({ seconds }) => seconds));
    console.log(
      `largest third by ${order}: activations and multiply-adds ${error(convolutionWork)}, activations ${error((step) => [convolutionWork(step)[0]])}, multiply-adds alone ${error((step) => [convolutionWork(step)[1]])}`,
    );
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
