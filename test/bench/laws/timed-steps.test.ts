import { describe, expect, it } from 'vitest';
import { llamaSteps, mosaicSteps, type TableStep } from '../../../bench/laws/timed-steps.ts';
import { fitStepTime, meanRelativeError, relativeRates, stepTimeS, stepWork } from '../../../scaling/step-time.ts';
import { transformerParams } from '../../../scaling/transformer-shape.ts';
import { publicTable } from '../../cases/public-tables.ts';

function flopsOf(step: TableStep): number {
  return stepWork({ ...step, recomputes: false }).matrixFlops;
}

/** Error on the largest third by parameters, of the model fitted to the others and of FLOPs alone. */
function heldOut(steps: readonly TableStep[]): { readonly ours: number; readonly flops: number } {
  const ordered = steps.toSorted((a, b) => a.params - b.params);
  const cut = Math.floor((2 * ordered.length) / 3);
  const [known, rest] = [ordered.slice(0, cut), ordered.slice(cut)];
  const seconds = rest.map((step) => step.seconds);
  const model = fitStepTime(known);
  const [each = 0] = relativeRates(
    [known.map(flopsOf)],
    known.map((step) => step.seconds),
  );
  return {
    ours: meanRelativeError(
      rest.map((step) => stepTimeS(model, step)),
      seconds,
    ),
    flops: meanRelativeError(
      rest.map((step) => each * flopsOf(step)),
      seconds,
    ),
  };
}

describe('step times extrapolated to the largest third of public trainings', () => {
  const llama = publicTable('llama-runs-small.csv');
  it.skipIf(!llama)('have less than half the error that FLOPs alone leave: Llama-style runs', () => {
    const steps = llamaSteps(llama ?? '');
    expect(steps).toHaveLength(153);
    for (const { shape, params } of steps) expect(transformerParams(shape).total / params).toBeCloseTo(1, 3);
    const { ours, flops } = heldOut(steps);
    expect(ours).toBeLessThan(flops / 2);
  });

  const mosaic = publicTable('llm-foundry-a100.csv');
  it.skipIf(!mosaic)('have less than half the error that FLOPs alone leave: MPT on A100s', () => {
    const steps = mosaicSteps(mosaic ?? '');
    expect(steps).toHaveLength(139);
    const { ours, flops } = heldOut(steps);
    expect(ours).toBeLessThan(flops / 2);
  });
});
