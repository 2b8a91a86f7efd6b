import type { DeviceProfile } from './device-profile.ts';
import { deviceProfiles } from './profiles.ts';

/** What one inference does, for one example; counted after fusion, or traffic is overstated. */
export interface Work {
  /** Multiply-accumulates. */
  readonly macs: number;
  /** Bytes of activations read and written. */
  readonly activationBytes: number;
  /** Bytes of weights, read once a run whatever the batch. */
  readonly weightBytes: number;
  /** Kernels launched a run. */
  readonly kernels: number;
}

/** The imagined device that studies can be tried on: see the table. */
export const simulatedProfile = deviceProfiles.get('simulated') as DeviceProfile;

/**
 * Time of one run on an imagined device, in milliseconds, from a network's totals:
 * W ÷ (C · E) + kernels · overhead with C = min(I · b, C_max), I = W ÷ Q, W = 2 · MACs
 * (Li et al. 2021, "Searching for Fast Model Families on Datacenter Accelerators", eq. 1–2).
 * We differ: launches cost time of their own, as measured latencies do (2.6–19 × the bare roofline).
 * Deterministic, and never decreasing in any part of the work or in the batch. Kernel by kernel, for real
 * devices: latency/roofline.ts.
 * @param profile one with a bandwidth and a single-precision peak, the share of the peak that its dense convolutions reach taken for everything.
 */
export function simulatedLatencyMs(work: Work, batch = 1, profile: DeviceProfile = simulatedProfile): number {
  const flops = 2 * work.macs * batch;
  const bytes = work.activationBytes * batch + work.weightBytes;
  const { peakTflops, memory, efficiency, kernelOverheadUs = 0 } = profile;
  // W ÷ min(W ÷ Q · b, C_max) = max(Q ÷ b, W ÷ C_max), which also holds for work without arithmetic.
  const seconds =
    Math.max(bytes / ((memory?.gigabytesPerS ?? Infinity) * 1e9), flops / ((peakTflops.fp32 ?? Infinity) * 1e12)) /
    efficiency.arithmetic.conv;
  return seconds * 1e3 + (work.kernels * kernelOverheadUs) / 1e3;
}
