import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import {
  a100StepTime,
  type ConvolutionStep,
  fitConvolutionTime,
  fitStepTime,
  meanRelativeError,
  stepTimePrior,
  stepTimeS,
  stepWork,
  type TimedStep,
} from '../../scaling/step-time.ts';
import { parseStepTimeFile, writeStepTimeFile } from '../../scaling/step-time-file.ts';
import { parseTimedSteps } from '../../scaling/step-time-runs.ts';
import { defaultStyle, shapeOf, transformerParams } from '../../scaling/transformer-shape.ts';

const random = new Random('steps');
const steps: readonly TimedStep[] = Array.from({ length: 40 }, () => {
  const shape = shapeOf(4 + random.integer(40), 2 + random.integer(30), {
    ...defaultStyle,
    context: 512 * 2 ** random.integer(5),
  });
  const step = { shape, tokens: 8192 * (1 + random.integer(8)), recomputes: random.integer(2) === 1 };
  return { ...step, seconds: stepTimeS(a100StepTime, step) };
});

describe('the work of a step', () => {
  it('is the accounting written down, for a gated and a plain block', () => {
    const shape = { ...shapeOf(2, 2, defaultStyle), vocabulary: 100 };
    const [L, d, f, V, s, T] = [2, 256, 1024, 100, 2048, 4096];
    const N = transformerParams(shape).total;
    const plain = d + f + 2 * f + f + d;
    const act = T * L * (d + 3 * d + 2 * d + 4 * d + plain + 8 * d) + T * (d + 2 * V);
    const work = stepWork({ shape, tokens: T });
    expect(work.elements).toBe(3 * (L * (4 * d * d + 2 * d * f) + V * d + act) + 12 * N);
    expect(work.attentionFlops).toBe(6 * L * d * s * T);
    expect(work.matrixFlops).toBe(6 * N * T);
    const gated = stepWork({ shape: { ...shape, gated: true }, tokens: T });
    const difference = T * L * (2 * f) + L * d * f;
    expect(gated.elements - work.elements).toBe(
      3 * difference + 12 * (transformerParams({ ...shape, gated: true }).total - N),
    );
  });

  it('recomputed is a third more', () => {
    const step = { shape: shapeOf(8, 8, defaultStyle), tokens: 8192 };
    expect(stepWork({ ...step, recomputes: true }).matrixFlops / stepWork(step).matrixFlops).toBeCloseTo(4 / 3, 12);
  });
});

describe('rates fitted to timed steps', () => {
  it('are those that made the times', () => {
    const model = fitStepTime(steps);
    expect((model.elementsPerS ?? 0) / a100StepTime.elementsPerS).toBeCloseTo(1, 4);
    expect((model.attentionFlopsPerS ?? 0) / a100StepTime.attentionFlopsPerS).toBeCloseTo(1, 4);
    expect((model.matrixFlopsPerS ?? 0) / a100StepTime.matrixFlopsPerS).toBeCloseTo(1, 4);
  });

  it('leave out a kind of work that takes no time', () => {
    const free = { ...a100StepTime, matrixFlopsPerS: null };
    const model = fitStepTime(steps.map((step) => ({ ...step, seconds: stepTimeS(free, step) })));
    expect(model.matrixFlopsPerS === null || model.matrixFlopsPerS > 1e18).toBe(true);
    const error = meanRelativeError(
      steps.map((step) => stepTimeS(model, step)),
      steps.map((step) => stepTimeS(free, step)),
    );
    expect(error).toBeLessThan(1e-6);
  });

  it('scale to another device with bandwidth and peak', () => {
    const double = stepTimePrior({ gigabytesPerS: 2 * 2039, peakTflops: 2 * 312 });
    const [step] = steps;
    if (!step) throw new Error('no step');
    expect(stepTimeS(double, step)).toBeCloseTo(step.seconds / 2, 9);
  });
});

/** Made-up rates. */
function secondsOf(step: ConvolutionStep): number {
  return 2e-9 * step.params + step.batch * (3e-9 * step.activations + 5e-11 * step.macs);
}

describe('times of convolution networks', () => {
  it('are those of the rates that made them, the optimizer once a step whatever its batch', () => {
    const timed = Array.from({ length: 12 }, () => {
      const step = {
        batch: 16 * (1 + random.integer(4)),
        params: 1e4 * (1 + random.integer(300)),
        activations: 1e3 * (1 + random.integer(200)),
        macs: 1e5 * (1 + random.integer(500)),
      };
      return { ...step, seconds: secondsOf(step) };
    });
    const predict = fitConvolutionTime(timed);
    const larger = { batch: 8, params: 9e6, activations: 1e6, macs: 4e8 };
    expect(predict(larger) / secondsOf(larger)).toBeCloseTo(1, 6);
    expect(() => fitConvolutionTime([])).toThrow(/at least one timed step/);
  });

  it('are proportional to what there is to go by where one step is known', () => {
    const step = { batch: 1, params: 10, activations: 20, macs: 30, seconds: 4 };
    const twice = { batch: 1, params: 20, activations: 40, macs: 60 };
    expect(fitConvolutionTime([step])(twice)).toBeCloseTo(8, 9);
  });
});

describe('a step-time profile', () => {
  it('is written and read back', () => {
    const text = writeStepTimeFile({ ...a100StepTime, attentionFlopsPerS: null }, { steps: 12, error: 0.03 });
    expect(parseStepTimeFile(text, 'm.yaml')).toEqual({ ...a100StepTime, attentionFlopsPerS: null });
  });

  it('is refused with the keys that are wrong', () => {
    expect(() => parseStepTimeFile('schema: 1\nkind: step-time\nelementsPerS: -1\n', 'm.yaml')).toThrow(
      /m\.yaml: not a step-time profile[^]*elementsPerS/,
    );
    const none = 'schema: 1\nkind: step-time\nelementsPerS: null\nattentionFlopsPerS: null\nmatrixFlopsPerS: null\n';
    expect(() => parseStepTimeFile(none, 'm.yaml')).toThrow(/at least one of elementsPerS and matrixFlopsPerS/);
    expect(() => parseStepTimeFile('[', 'm.yaml')).toThrow(/not YAML/);
  });
});

describe('a table of timed steps', () => {
  const head = 'layers,width,vocabulary,context,tokens,seconds,gated,recomputes\n';

  it('is read into steps', () => {
    const [step] = parseTimedSteps(`${head}12,768,50304,1024,8192,0.5,0,1\n`, 's.csv');
    expect(step).toMatchObject({ tokens: 8192, seconds: 0.5, recomputes: true, microBatches: 1 });
    expect(step?.shape).toMatchObject({ layers: 12, width: 768, feedForward: 3072, gated: false, tiedHead: true });
  });

  it('is refused without a column, or with a value that is no number', () => {
    expect(() => parseTimedSteps('layers,width\n', 's.csv')).toThrow(
      /expected columns vocabulary, context, tokens, seconds/,
    );
    expect(() => parseTimedSteps(`${head}12,768,50304,1024,8192,fast,0,0\n`, 's.csv')).toThrow(
      /line 2, seconds: expected a positive number, got "fast"/,
    );
    expect(() => parseTimedSteps(`${head}12,768,50304,1024,8192,1,2,0\n`, 's.csv')).toThrow(/gated: expected 0 or 1/);
  });
});
