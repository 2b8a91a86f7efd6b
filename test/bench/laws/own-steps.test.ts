import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { convolutionFlops, extrapolationError, flopsOf, transformerFlops } from '../../../bench/laws/extrapolation.ts';
import { ownConvolutionSteps, ownTransformerSteps, type TimedConvolution } from '../../../bench/laws/timed-steps.ts';
import { fitConvolutionTime, fitStepTime, stepTimeS, type TimedStep } from '../../../scaling/step-time.ts';

const read = (name: string): string =>
  readFileSync(new URL(`../../../bench/laws/own-steps/${name}.csv`, import.meta.url), 'utf8');
const steps = ownConvolutionSteps(read('convolutions'));
const secondsOf = ({ seconds }: TimedConvolution): number => seconds;

describe('own training steps of convolution networks on the CPU', () => {
  it('are of networks a hundred times apart, each with the fastest of its rounds', () => {
    const works = steps.map(({ batch, macs }) => batch * macs);
    expect(steps.length).toBeGreaterThanOrEqual(50);
    expect(Math.max(...works) / Math.min(...works)).toBeGreaterThan(100);
    const header = 'network,params,activations,macs,batch,threads,round,step_ms';
    const twice = ownConvolutionSteps(`${header}\na,1,2,3,4,1,1,9\na,1,2,3,4,1,2,7\nb,1,2,3,4,1,1,5\n`);
    expect(twice.map(secondsOf)).toEqual([0.007, 0.005]);
  });

  it('are foretold for the largest third, from the smaller two, at half the error of multiply-adds alone or less', () => {
    for (const sizeOf of [
      ({ params }: TimedConvolution) => params,
      ({ batch, macs }: TimedConvolution) => batch * macs,
    ]) {
      const model = extrapolationError(steps, sizeOf, fitConvolutionTime, secondsOf);
      const flops = extrapolationError(steps, sizeOf, convolutionFlops, secondsOf);
      expect(flops / model).toBeGreaterThan(2);
      expect(model).toBeLessThan(0.25);
    }
  });
});

const learnTransformers = (known: readonly TimedStep[]) => {
  const model = fitStepTime(known);
  return (step: TimedStep) => stepTimeS(model, step);
};

describe('own training steps of transformers on the CPU', () => {
  const transformers = ownTransformerSteps(read('transformers'));

  it('are foretold for the largest third at half the error of FLOPs alone or less', () => {
    for (const sizeOf of [({ params }: (typeof transformers)[number]) => params, flopsOf]) {
      const model = extrapolationError(transformers, sizeOf, learnTransformers, ({ seconds }) => seconds);
      const flops = extrapolationError(transformers, sizeOf, transformerFlops, ({ seconds }) => seconds);
      expect(flops / model).toBeGreaterThan(2);
      expect(model).toBeLessThan(0.15);
    }
  });

  it('are read as fit --law step-time reads them', () => {
    expect(transformers.length).toBe(30);
    for (const { params, tokens, seconds } of transformers)
      expect(Math.min(params, tokens, seconds)).toBeGreaterThan(0);
  });
});
