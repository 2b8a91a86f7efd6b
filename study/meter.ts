import { readFile } from 'node:fs/promises';
import type { Work } from '../accelerators/simulated.ts';
import { commandNameOf } from '../commands/declaration.ts';
import { commandProtocols } from '../commands/sampling.ts';
import { type CommandTarget, openCommandTarget } from '../commands/target.ts';
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
import { type StudyConfig, studyCommand, type TargetConfig } from './study-file.ts';

/** The device that is computed, not measured: for tests and for trying a study without its accelerator. */
export const simulatedDevice = 'simulated';

/**
 * Latency for a study: measured in a process of its own under the host lock, by the user's own program
 * where a target's device is a command, or computed where it is `simulated`. Candidates are measured
 * with untrained weights of trained scale.
 */
export function openLatencyMeter(
  config: Pick<StudyConfig, 'latency' | 'commands' | 'baseDirectory'>,
  signal: AbortSignal,
): LatencyMeter {
  let meter: Meter | undefined;
  const commands = new Map<string, CommandTarget>();

  const measure = (
    model: Uint8Array,
    spec: NetworkSpec | null,
    { device, batch, threads, precision }: TargetConfig,
    preset: ProtocolPreset,
  ): Promise<Latency> => {
    const name = commandNameOf(device);
    if (name === undefined) {
      meter ??= openMeter();
      const setting = { accelerator: device, batch, threads };
      return meter.measure({ model, setting, protocol: protocols[preset] }, { signal });
    }
    const target = commands.get(name) ?? openCommandTarget(studyCommand(config, name));
    commands.set(name, target);
    const ofSpec = spec ? { spec: JSON.stringify(spec) } : {};
    return target.measure(
      { model, ...ofSpec, batch, threads, precision, protocol: commandProtocols[preset] },
      { signal },
    );
  };

  return {
    measureSpec: async (spec, target, protocol = config.latency) => {
      if (target.device === simulatedDevice) return simulate(spec, target);
      const weights = initialWeights(buildNetwork(spec, 1), new Random('latency'));
      return measure(exportOnnx(spec, weights, target.batch), spec, target, protocol);
    },
    measureFile: async (path, target, spec) => {
      if (target.device !== simulatedDevice) return measure(await readFile(path), spec, target, 'thorough');
      if (!spec)
        throw new ConfigError(`${path}: expected a network with a spec on the simulated device, got a bare file`);
      return simulate(spec, target);
    },
    close: async () => {
      for (const target of commands.values()) target.close();
      await meter?.close();
    },
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
