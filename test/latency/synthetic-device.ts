import { Random } from '../../core/random.ts';
import type { Observation } from '../../latency/calibration-observations.ts';
import { programOf } from '../../latency/calibration.ts';
import { programFeatures, type KernelFeatures } from '../../latency/kernel-features.ts';
import { kernelKey } from '../../latency/kernel-times.ts';
import type { NetworkDraw } from '../../latency/calibrate.ts';
import { drawNetwork } from '../../study/evaluation/calibration-networks.ts';

/** What a profile adds to every kernel of the device. */
export const noteMs = 0.0015;

/** A law that no roofline has, for a device that does not exist: 30 GFLOP/s, 8 GB/s, and rows that suit it more or less. */
export function lawMs({ group, macs, bytes, x }: KernelFeatures): number {
  const [, plane = 0, row = 0, , channels = 0] = x;
  const layout = group.includes('depthwise') ? 1.4 : 1;
  const bumps = 1 + 0.15 * Math.sin(row) + 0.1 * Math.cos(channels + 0.3 * plane);
  return ((2 * macs) / 30e6 + bytes / 8e6) * layout * bumps + 0.002;
}

export interface Disturbance {
  /** Standard deviation of a session's logarithm. */
  readonly session?: number;
  /** How fast the host is in the moment; the reference kernel sees it too. */
  readonly speed?: number;
  readonly role?: Observation['role'];
}

/** What a calibration would see of a network there. */
export function observed(
  network: NetworkDraw,
  random: Random,
  { session = 0, speed = 1, role = 'random' }: Disturbance = {},
): Observation {
  const program = programOf(network, 'onnxruntime-16');
  const times = new Map<string, { count: number; ms: number }>();
  let sum = 0;
  for (const [index, features] of programFeatures(program).entries()) {
    const runtime = program.kernels[index]?.runtime;
    if (!runtime) throw new Error('expected kernels of a runtime');
    const ms = lawMs(features) / speed;
    sum += ms;
    const key = kernelKey(runtime);
    const before = times.get(key) ?? { count: 0, ms: 0 };
    times.set(key, { count: before.count + 1, ms: before.ms + ms });
  }
  const sessionP50Ms = [0, 1, 2].map(() => sum * Math.exp(session * random.normal()));
  return {
    role,
    ...network,
    p50Ms: Math.exp(sessionP50Ms.reduce((total, ms) => total + Math.log(ms), 0) / 3),
    sessionP50Ms,
    stable: true,
    referenceMs: 0.2 / speed,
    kernels: [...times].map(([key, { count, ms }]) => [key, count, ms / count + noteMs]),
    costMs: 1000,
  };
}

/** So many networks as the calibration draws them. */
export function draws(count: number, seed: string): readonly NetworkDraw[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, index) => drawNetwork(random.child(index)));
}
