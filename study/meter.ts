import { readFile } from 'node:fs/promises';
import type { Work } from '../accelerators/simulated.ts';
import { ConfigError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import type { Latency } from '../latency/latency.ts';
import { type Meter, openMeter } from '../latency/isolate.ts';
import { predictedLatency } from '../latency/predicted.ts';
import { type ProtocolPreset, protocols } from '../latency/protocol.ts';
import { buildNetwork } from '../models/build.ts';
import { exportOnnx } from '../models/export.ts';
import { initialWeights } from '../models/initialise.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { LatencyMeter } from './context.ts';
import { countSpec } from './evaluate.ts';
import type { TargetConfig } from './study-file.ts';

/** The device that is computed, not measured: for tests and for trying a study without its accelerator. */
export const simulatedDevice = 'simulated';

/**
 * Latency for a study: measured in a process of its own under the host lock, or computed where a
 * target's device is `simulated`. Candidates are measured with untrained weights of trained scale.
 */
export function openLatencyMeter(preset: ProtocolPreset, signal: AbortSignal): LatencyMeter {
  let meter: Meter | undefined;
  const measure = (model: Uint8Array, target: TargetConfig, protocol: ProtocolPreset): Promise<Latency> => {
    meter ??= openMeter();
    const setting = { accelerator: target.device, batch: target.batch, threads: target.threads };
    return meter.measure({ model, setting, protocol: protocols[protocol] }, { signal });
  };
  return {
    measureSpec: async (spec, target, protocol = preset) => {
      if (target.device === simulatedDevice) return simulate(spec, target);
      return measure(
        exportOnnx(spec, initialWeights(buildNetwork(spec, 1), new Random('latency')), target.batch),
        target,
        protocol,
      );
    },
    measureFile: async (path, target, spec) => {
      if (target.device !== simulatedDevice) return measure(await readFile(path), target, 'thorough');
      if (!spec)
        throw new ConfigError(`${path}: expected a network with a spec on the simulated device, got a bare file`);
      return simulate(spec, target);
    },
    close: async () => meter?.close(),
  };
}

function simulate(spec: NetworkSpec, target: TargetConfig): Latency {
  return predictedLatency(workOf(spec), { batch: target.batch, threads: target.threads });
}

/** Work after fusion: every convolution writes its output once and the next reads it. */
function workOf(spec: NetworkSpec): Work {
  const { macs, activations, weightBytes } = countSpec(spec);
  const convolutions = buildNetwork(spec, 1).nodes.filter(({ op }) => op === 'conv' || op === 'dense').length;
  return { macs, activationBytes: 2 * 4 * activations, weightBytes, kernels: convolutions };
}
