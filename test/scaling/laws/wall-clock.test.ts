import { describe, expect, it } from 'vitest';
import { chinchilla } from '../../../scaling/laws/chinchilla.ts';
import { bestAlong } from '../../../scaling/laws/inference-aware.ts';
import { thetaOf } from '../../../scaling/laws/law.ts';
import { publishedLaws } from '../../../scaling/laws/laws.ts';
import { lossInTime, timeExponents } from '../../../scaling/laws/wall-clock.ts';
import { a100StepTime, stepTimeS } from '../../../scaling/step-time.ts';
import { defaultStyle, shapeOf, transformerParams } from '../../../scaling/transformer-shape.ts';

const theta = thetaOf(chinchilla, publishedLaws.get('chinchilla-epoch')?.constants.values ?? {});

describe('the wall-clock law', () => {
  const step = { shape: shapeOf(24, 16, defaultStyle), tokens: 16_384 };

  it('is the law of the loss at the data that the time buys', () => {
    const { params, data } = lossInTime(chinchilla, theta, a100StepTime, step, 86_400);
    expect(params).toBe(transformerParams(step.shape).total);
    expect(data).toBeCloseTo((86_400 / stepTimeS(a100StepTime, step)) * 16_384, 0);
    const without = lossInTime(chinchilla, theta, a100StepTime, step, 86_400, 'non-embedding');
    expect(without.params).toBe(transformerParams(step.shape).nonEmbedding);
  });

  it('falls with time', () => {
    const losses = [1e3, 1e4, 1e5].map((seconds) => lossInTime(chinchilla, theta, a100StepTime, step, seconds).loss);
    expect(losses).toEqual(losses.toSorted((a, b) => b - a));
  });

  it.each([1, 0.78, 0.5])('has the exponents of the best size where the time of a token grows as N^%d', (gamma) => {
    const [, , , alpha = 0, beta = 0] = theta;
    const best = (seconds: number) => bestAlong(chinchilla, theta, (params) => (1e14 * seconds) / params ** gamma);
    const [short, long] = [best(1e6), best(1e8)];
    const { params, data } = timeExponents({ alpha, beta }, gamma);
    expect(Math.log(long.params / short.params) / Math.log(100)).toBeCloseTo(params, 5);
    expect(Math.log(long.data / short.data) / Math.log(100)).toBeCloseTo(data, 5);
  });
});
