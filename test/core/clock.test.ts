import { describe, expect, it } from 'vitest';
import { SimulatedClock, systemClock } from '../../core/clock.ts';

describe('clocks', () => {
  it('that are simulated move only when told or slept on', async () => {
    const clock = new SimulatedClock(1000);
    expect(clock.now()).toBe(1000);
    clock.advance(5);
    await clock.sleep(86_400_000);
    expect(clock.now()).toBe(86_401_005);
  });

  it('that are real sleep until aborted', async () => {
    const before = systemClock.now();
    await systemClock.sleep(5);
    // Timers may fire up to a millisecond early.
    expect(systemClock.now() - before).toBeGreaterThanOrEqual(4);
    const controller = new AbortController();
    const asleep = systemClock.sleep(60_000, controller.signal);
    controller.abort();
    await expect(asleep).rejects.toThrow();
  });
});
