import type { Latency } from '../../latency/latency.ts';
import type { ProtocolPreset } from '../../latency/protocol.ts';
import { type NetworkSpec, specDigest } from '../../models/spec.ts';
import type { LatencyMeter } from '../../study/context.ts';
import type { TargetConfig } from '../../study/study-file.ts';

/** Milliseconds of a network; `call` counts from 1, `protocol` is what was asked for. */
type FakeLatency = (spec: NetworkSpec, call: number, target: TargetConfig, protocol?: ProtocolPreset) => number;

/** A meter that measures nothing: the latency of a network is what a function says it is. */
export class FakeMeter implements LatencyMeter {
  /** Digests of the networks it was asked about, in order. */
  readonly calls: string[] = [];
  readonly #latencyMs: FakeLatency;

  constructor(latencyMs: FakeLatency) {
    this.#latencyMs = latencyMs;
  }

  measureSpec(spec: NetworkSpec, target: TargetConfig, protocol?: ProtocolPreset): Promise<Latency> {
    this.calls.push(specDigest(spec));
    return Promise.resolve(this.#record(this.#latencyMs(spec, this.calls.length, target, protocol), target));
  }

  measureFile(
    path: string,
    target: TargetConfig,
    spec: NetworkSpec | null,
    protocol?: ProtocolPreset,
  ): Promise<Latency> {
    if (!spec) throw new Error(`${path}: expected a network with a spec`);
    return this.measureSpec(spec, target, protocol);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #record(ms: number, { device, batch, threads, precision }: TargetConfig): Latency {
    return {
      source: 'measured',
      accelerator: device,
      batch,
      threads,
      precision,
      p50Ms: ms,
      p90Ms: ms,
      p99Ms: ms,
      intervalMs: { percentile: 50, level: 0.95, lo: ms, hi: ms },
      sessions: 5,
      samples: 500,
      stable: true,
      drift: 0,
      rejectedBlocks: 0,
      includesIo: true,
      calibrated: true,
      fingerprint: null,
    };
  }
}
