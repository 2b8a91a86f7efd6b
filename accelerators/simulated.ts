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

/** An imagined device, in the constants of the roofline model. */
export interface RooflineProfile {
  readonly id: string;
  /** Dense peak, FLOP/s. */
  readonly peakFlopsPerS: number;
  /** Device memory bandwidth, bytes/s. */
  readonly bytesPerS: number;
  /** Share of the attainable rate that real kernels reach, in (0, 1]. */
  readonly efficiency: number;
  /** Fixed cost of launching one kernel. */
  readonly kernelOverheadMs: number;
}

/** A device about as fast as one laptop core: the test double, not any real machine. */
export const simulatedProfile: RooflineProfile = {
  id: 'simulated',
  peakFlopsPerS: 100e9,
  bytesPerS: 20e9,
  efficiency: 0.6,
  kernelOverheadMs: 0.004,
};

/**
 * Time of one run on a roofline device, in milliseconds:
 * W ÷ (C · E) + kernels · overhead with C = min(I · b, C_max), I = W ÷ Q, W = 2 · MACs
 * (Li et al. 2021, "Searching for Fast Model Families on Datacenter Accelerators", eq. 1–2).
 * We differ: launches cost time of their own, as measured latencies do (2.6–19 × the bare roofline).
 * Deterministic, and never decreasing in any part of the work or in the batch.
 */
export function simulatedLatencyMs(work: Work, batch = 1, profile: RooflineProfile = simulatedProfile): number {
  const flops = 2 * work.macs * batch;
  const bytes = work.activationBytes * batch + work.weightBytes;
  // W ÷ min(W ÷ Q · b, C_max) = max(Q ÷ b, W ÷ C_max), which also holds for work without arithmetic.
  const seconds = Math.max(bytes / profile.bytesPerS, flops / profile.peakFlopsPerS) / profile.efficiency;
  return seconds * 1e3 + work.kernels * profile.kernelOverheadMs;
}
