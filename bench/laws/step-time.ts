import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  fitConvolutionTime,
  fitStepTime,
  meanRelativeError,
  relativeRates,
  stepTimeS,
  type StepTimeModel,
  type TimedStep,
} from '../../scaling/step-time.ts';
import { fitLaw } from '../../scaling/fit.ts';
import { columnsOf, lossAt } from '../../scaling/laws/law.ts';
import { tied } from '../../scaling/laws/tied.ts';
import { convolutionFlops, extrapolationError, flopsOf, transformerFlops } from './extrapolation.ts';
import {
  type FinishedRun,
  llamaSteps,
  mosaicSteps,
  ownConvolutionSteps,
  ownTransformerSteps,
  type TimedConvolution,
  timmSteps,
} from './timed-steps.ts';

// How well a count of memory copies predicts training steps it was not fitted to, beside FLOPs: fitted on the smaller two
// thirds (by parameters, and by FLOPs of a step), judged on the largest third.

const own = (name: string): string => readFileSync(new URL(`own-steps/${name}.csv`, import.meta.url), 'utf8');
convolutions('own steps on the CPU, convolution networks', ownConvolutionSteps(own('convolutions')));
transformers('own steps on the CPU, transformers', ownTransformerSteps(own('transformers')));

const folder = process.argv[2] ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));
if (!existsSync(folder)) console.log(`skipped: the public tables are not in ${folder}`);
else {
  transformers(
    'llama-runs-small.csv, 8 accelerators',
    llamaSteps(readFileSync(join(folder, 'llama-runs-small.csv'), 'utf8')),
  );
  lossInWallClock(llamaSteps(readFileSync(join(folder, 'llama-runs-small.csv'), 'utf8')));
  transformers('llm-foundry-a100.csv', mosaicSteps(readFileSync(join(folder, 'llm-foundry-a100.csv'), 'utf8')));
  convolutions(
    'timm-train-rtx3090-half.csv',
    timmSteps(readFileSync(join(folder, 'timm-train-rtx3090-half.csv'), 'utf8')),
  );
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
    'FLOPs alone (6N a token)': transformerFlops,
  };
  for (const [order, sizeOf] of [
    ['parameters', ({ params }: { params: number }) => params],
    ['FLOPs', flopsOf],
  ] as const)
    console.log(
      `largest third by ${order}: ${Object.entries(ways)
        .map(
          ([way, learn]) =>
            `${way} ${percent(extrapolationError(steps, sizeOf as (step: TimedStep) => number, learn, ({ seconds }) => seconds))}`,
        )
        .join(', ')}`,
    );
}

function stepper(model: StepTimeModel): (step: TimedStep) => number {
  return (step) => stepTimeS(model, step);
}

function convolutions(name: string, steps: readonly TimedConvolution[]): void {
  console.log(`\n${name}: ${steps.length} networks`);
  for (const [order, sizeOf] of [
    ['parameters', ({ params }: TimedConvolution) => params],
    ['multiply-adds of a step', ({ batch, macs }: TimedConvolution) => batch * macs],
  ] as const) {
    const error = (learn: typeof convolutionFlops): string =>
      percent(extrapolationError(steps, sizeOf, learn, ({ seconds }) => seconds));
    console.log(
      `largest third by ${order}: parameters, activations and multiply-adds ${error(fitConvolutionTime)}, multiply-adds alone ${error(convolutionFlops)}`,
    );
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
