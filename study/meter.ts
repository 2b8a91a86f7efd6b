import { readFile } from 'node:fs/promises';
import type { DeviceProfile } from '../accelerators/device-profile.ts';
import { commandNameOf } from '../commands/declaration.ts';
import { commandProtocols } from '../commands/sampling.ts';
import { type CommandTarget, openCommandTarget } from '../commands/target.ts';
import { Random } from '../core/random.ts';
import type { Latency } from '../latency/latency.ts';
import { type Meter, openMeter } from '../latency/isolate.ts';
import { type ProtocolPreset, protocols } from '../latency/protocol.ts';
import { buildNetwork } from '../models/build.ts';
import { exportOnnx } from '../models/export.ts';
import { initialWeights } from '../models/initialise.ts';
import { readOnnx } from '../models/onnx.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { LatencyMeter } from './context.ts';
import { fitting, predictGraph, predictSpec, readProfile } from './profiles.ts';
import { isProfile, type StudyConfig, studyCommand, type TargetConfig } from './study-file.ts';

/**
 * Latency for a study: measured in a process of its own under the host lock, by the user's own program
 * where a target's device is a command, or predicted where it is a profile. Candidates are measured
 * with untrained weights of trained scale.
 */
export function openLatencyMeter(config: StudyConfig, signal: AbortSignal): LatencyMeter {
  let meter: Meter | undefined;
  const commands = new Map<string, CommandTarget>();
  const profiles = new Map<string, Promise<DeviceProfile>>();

  /** Undefined where a device is measured. */
  const profileOf = ({ device }: TargetConfig): Promise<DeviceProfile> | undefined => {
    if (!isProfile(device)) return undefined;
    const profile = profiles.get(device) ?? readProfile(device, config.baseDirectory);
    profiles.set(device, profile);
    return profile;
  };

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
      const profile = await profileOf(target);
      if (profile) return fitting(predictSpec(spec, profile, target)).latency;
      const weights = initialWeights(buildNetwork(spec, 1), new Random('latency'));
      return measure(exportOnnx(spec, weights, target.batch), spec, target, protocol);
    },
    measureFile: async (path, target, spec) => {
      const profile = await profileOf(target);
      if (!profile) return measure(await readFile(path), spec, target, 'thorough');
      return fitting(predictGraph(readOnnx(await readFile(path), path), profile, target, path)).latency;
    },
    close: async () => {
      for (const target of commands.values()) target.close();
      await meter?.close();
    },
  };
}
