import { expect } from 'vitest';
import { type Direction, latencyOn } from '../../bench/scaling/direction-search.ts';

/** Devices, with the share of the start's latency that the published members for them take by the same profiles. */
export const devices = [
  ['a V100', latencyOn('v100-sxm', 'fp16'), 0.82],
  ['a TPU v3', latencyOn('tpu-v3', 'bf16'), 0.69],
] as const;

/** More width, less resolution, 30 % fewer activations and more parameters at 85–92 GMACs. */
export function expectMoved(found: Direction | undefined): void {
  expect(found?.gmacs).toBeGreaterThanOrEqual(85);
  expect(found?.gmacs).toBeLessThanOrEqual(92);
  expect(found?.multipliers.width).toBeGreaterThan(1.3);
  expect(found?.multipliers.resolution).toBeLessThan(0.85);
  expect(found?.activations).toBeLessThan(0.7);
  expect(found?.params).toBeGreaterThan(1.3);
}
