import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { learningRateAt, type Schedule, scheduleSchema } from '../../training/schedule.ts';

const rates = (schedule: Schedule | undefined, { warmup, steps }: { warmup: number; steps: number }) =>
  Array.from({ length: steps }, (_, step) => learningRateAt({ learningRate: 0.4, warmup, schedule }, step, steps));
const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 12));

describe('the learning rate', () => {
  it('warms up linearly to the peak, then follows half a cosine to zero', () => {
    const settings = { learningRate: 0.4, warmup: 0.2 };
    expect([0, 1, 2, 3, 4].map((step) => learningRateAt(settings, step, 20))).toEqual(close([0.1, 0.2, 0.3, 0.4, 0.4]));
    expect(learningRateAt(settings, 12, 20)).toBeCloseTo(0.2, 12);
    expect(learningRateAt(settings, 20, 20)).toBeCloseTo(0, 12);
  });

  it('stays constant when told', () => {
    expect(rates({ kind: 'constant' }, { warmup: 0, steps: 4 })).toEqual([0.4, 0.4, 0.4, 0.4]);
  });

  it('falls by stairs counted from the first update, whatever the warm-up hides of them', () => {
    const schedule = { kind: 'exponential', factor: 0.5, every: 0.3 } as const;
    const stairs = [0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.05];
    expect(rates(schedule, { warmup: 0, steps: 10 })).toEqual(close(stairs));
    const warm = [0.08, 0.16, 0.24, 0.32, 0.4];
    expect(rates(schedule, { warmup: 0.5, steps: 10 })).toEqual(close([...warm, ...stairs.slice(5)]));
  });

  it('ends EfficientNet’s stairs where 350 epochs of × .97 every 2.4 end', () => {
    const schedule = scheduleSchema.parse('exponential');
    expect(rates(schedule, { warmup: 0.01, steps: 3500 }).at(-1)).toBeCloseTo(0.4 * 0.97 ** 145, 12);
  });

  it('holds the peak, then decays to zero over the last part of the run', () => {
    const stable = { kind: 'warmup-stable-decay', decay: 0.4 } as const;
    const linear = rates({ ...stable, shape: 'linear' }, { warmup: 0.2, steps: 10 });
    expect(linear).toEqual(close([0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.3, 0.2, 0.1]));
    const root = rates({ ...stable, shape: '1-sqrt' }, { warmup: 0.2, steps: 10 });
    const tail = [0, 0.25, 0.5, 0.75].map((progress) => 0.4 * (1 - Math.sqrt(progress)));
    expect(root).toEqual(close([0.2, 0.4, 0.4, 0.4, 0.4, 0.4, ...tail]));
  });

  it('takes a kind alone for a schedule with its defaults', () => {
    expect(scheduleSchema.parse('warmup-stable-decay')).toEqual({
      kind: 'warmup-stable-decay',
      decay: 0.2,
      shape: '1-sqrt',
    });
    expect(scheduleSchema.parse({ kind: 'exponential', every: 0.1 })).toEqual({
      kind: 'exponential',
      factor: 0.97,
      every: 0.1,
    });
    expect(() => scheduleSchema.parse({ kind: 'cosine', decay: 0.1 })).toThrow();
  });

  it('is within (0, peak] for every step of every length', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const some = fc.double({ min: 1e-3, max: 1, noNaN: true });
    const schedule: fc.Arbitrary<Schedule> = fc.oneof(
      fc.constant({ kind: 'cosine' as const }),
      fc.constant({ kind: 'constant' as const }),
      fc.record({ kind: fc.constant('exponential' as const), factor: some, every: some }),
      fc.record({
        kind: fc.constant('warmup-stable-decay' as const),
        decay: some,
        shape: fc.constantFrom('linear' as const, '1-sqrt' as const),
      }),
    );
    const cases = fc.record({ warmup: share, schedule, steps: fc.integer({ min: 1, max: 500 }) });
    fc.assert(
      fc.property(cases, fc.nat(), ({ steps, ...settings }, any) => {
        const rate = learningRateAt({ learningRate: 0.4, ...settings }, any % steps, steps);
        // A thousand stairs of 1e-3 are zero in double precision.
        return rate <= 0.4 && (rate > 0 || (rate === 0 && settings.schedule.kind === 'exponential'));
      }),
    );
  });
});
