import { type RooflineProfile, simulatedLatencyMs, simulatedProfile, type Work } from '../accelerators/simulated.ts';
import type { Latency, LatencySetting } from './latency.ts';

/**
 * Latency of a simulated device as the record that measuring gives: one exact value, so every
 * percentile and both ends of the interval are equal. It stands on no measurement: `calibrated` is
 * false and it serves to rank, and to test.
 */
export function predictedLatency(
  work: Work,
  setting: Omit<LatencySetting, 'accelerator'>,
  profile: RooflineProfile = simulatedProfile,
): Latency {
  const ms = simulatedLatencyMs(work, setting.batch, profile);
  return {
    source: 'predicted',
    accelerator: profile.id,
    batch: setting.batch,
    threads: setting.threads,
    precision: 'fp32',
    p50Ms: ms,
    p90Ms: ms,
    p99Ms: ms,
    intervalMs: { percentile: 50, level: 0.95, lo: ms, hi: ms },
    sessions: 0,
    samples: 0,
    stable: true,
    drift: 0,
    rejectedBlocks: 0,
    includesIo: false,
    calibrated: false,
    fingerprint: null,
  };
}
