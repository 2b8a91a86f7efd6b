import { describe, expect, it } from 'vitest';
import { TrainingCurve } from '../../training/curve.ts';

describe('TrainingCurve', () => {
  it('averages losses and accuracies into a few dozen points', () => {
    const curve = new TrainingCurve(60, { examplesAfter: (step) => 10 * step, classes: 10 });
    for (let step = 0; step < 60; step++) curve.observe(step, step % 2 === 0 ? 10 : 0);
    expect(curve.points).toHaveLength(30);
    expect(curve.points[1]).toEqual({ examples: 40, loss: 2.5, accuracy: 0.5 });
  });

  it('has a point a step when there are few, and closes with the last step', () => {
    const curve = new TrainingCurve(31, { examplesAfter: (step) => 4 * step, classes: 10 });
    for (let step = 0; step < 31; step++) curve.observe(1, 1);
    expect(curve.points).toHaveLength(16);
    expect(curve.points.at(-1)).toEqual({ examples: 124, loss: 1, accuracy: 0.25 });
  });

  it('diverges at once on a loss that is not finite', () => {
    const curve = new TrainingCurve(10, { examplesAfter: (step) => 4 * step, classes: 10 });
    curve.observe(2, 0);
    expect(curve.diverged).toBe(false);
    curve.observe(Number.NaN, 0);
    expect(curve.diverged).toBe(true);
    expect(curve.points.every(({ loss }) => Number.isFinite(loss))).toBe(true);
  });

  it('diverges when the loss stays far above the first, not when it spikes', () => {
    const curve = new TrainingCurve(1000, { examplesAfter: (step) => 4 * step, classes: 10 });
    curve.observe(2, 0);
    for (let step = 0; step < 100; step++) curve.observe(step % 20 === 0 ? 2 : 50, 0);
    expect(curve.diverged).toBe(false);
    for (let step = 0; step < 25; step++) curve.observe(50, 0);
    expect(curve.diverged).toBe(true);
  });

  it('does not diverge where an easy first batch is followed by losses of guessing', () => {
    const curve = new TrainingCurve(1000, { examplesAfter: (step) => 4 * step, classes: 10 });
    curve.observe(0.6, 1);
    for (let step = 0; step < 100; step++) curve.observe(2.3, 1);
    expect(curve.diverged).toBe(false);
    for (let step = 0; step < 25; step++) curve.observe(7, 1);
    expect(curve.diverged).toBe(true);
  });
});
