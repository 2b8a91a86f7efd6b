import { readFile } from 'node:fs/promises';
import type { DeviceProfile } from '../../accelerators/device-profile.ts';
import { commandNameOf } from '../../commands/declaration.ts';
import { commandProtocols } from '../../commands/sampling.ts';
import { type CommandTarget, openCommandTarget } from '../../commands/target.ts';
import { type Clock, systemClock } from '../../core/clock.ts';
import { digestBytes } from '../../core/digest.ts';
import { precisionOn } from '../../latency/file-precision.ts';
import type { Latency, Percentile } from '../../latency/latency.ts';
import { type Meter, openMeter } from '../../latency/isolate.ts';
import type { Ledger, LedgerIdentity, ModelOrigin } from '../../latency/ledger.ts';
import { candidateModel } from '../../latency/model-file.ts';
import { type ProtocolPreset, protocols } from '../../latency/protocol.ts';
import { readOnnx } from '../../models/onnx.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { LatencyMeter } from '../context.ts';
import { exportedPrecision } from './target-settings.ts';
import { fitting, predictGraph, predictSpec, readProfile } from './profiles.ts';
import { isProfile, type StudyConfig, studyCommand, type TargetConfig } from '../study-file.ts';

export interface LatencyMeterOptions {
  /**
   * Latencies of this host that are known already: a stable one of the same file, setting and protocol is not
   * measured again. Programs of the user's own are measured in any case: nobody here knows what they run on.
   */
  readonly ledger?: Ledger;
  /** Instead of measuring in a process of its own. */
  readonly meter?: Pick<Meter, 'measure' | 'fingerprint' | 'close'>;
  readonly clock?: Clock;
}

/** What is measured, beside its bytes. */
interface Subject {
  readonly model: Uint8Array;
  readonly spec: NetworkSpec | null;
  readonly origin: ModelOrigin;
  readonly preset: ProtocolPreset;
  readonly percentile: Percentile;
}

/**
 * Latency for a study: measured in a process of its own under the host lock, by the user's own program
 * where a target's device is a command, or predicted where it is a profile. Candidates are measured
 * with untrained weights of trained scale.
 */
export function openLatencyMeter(
  config: Pick<StudyConfig, 'latency' | 'commands' | 'baseDirectory'>,
  signal: AbortSignal,
  { ledger, meter: given, clock = systemClock }: LatencyMeterOptions = {},
): LatencyMeter {
  let meter = given;
  const commands = new Map<string, CommandTarget>();
  const profiles = new Map<string, Promise<DeviceProfile>>();

  /** Undefined where a device is measured. */
  const profileOf = ({ device }: TargetConfig): Promise<DeviceProfile> | undefined => {
    if (!isProfile(device)) return undefined;
    const profile = profiles.get(device) ?? readProfile(device, config.baseDirectory);
    profiles.set(device, profile);
    return profile;
  };

  const onProvider = async (
    { model, spec, origin, preset, percentile }: Subject,
    { device, batch, threads, precision }: TargetConfig,
  ): Promise<Latency> => {
    const protocol = protocols[preset];
    const setting = { accelerator: device, batch, threads };
    const identity: LedgerIdentity = {
      ...setting,
      model: digestBytes(model),
      // Our own networks are asked for in a precision; files of the user's are what they are.
      precision: precisionOn(device, model, spec ? precision : undefined),
      scenario: 'single-stream',
      percentile,
      protocol,
    };
    meter ??= openMeter();
    const host = ledger && (await meter.fingerprint(device, { signal }));
    const known = host && ledger.find(identity, host);
    if (known) return { ...known.latency, reusedFrom: known.at };
    const quietReferenceMs = host && ledger.quietReferenceMs(device, threads, host);
    const quiet = quietReferenceMs === undefined ? {} : { quietReferenceMs };
    const latency = await meter.measure({ model, setting, protocol, percentile, ...quiet }, { signal });
    ledger?.add(identity, latency, origin, new Date(clock.now()));
    return latency;
  };

  const measure = (subject: Subject, target: TargetConfig): Promise<Latency> => {
    const { device, batch, threads, precision } = target;
    const name = commandNameOf(device);
    if (name === undefined) return onProvider(subject, target);
    const { model, spec, preset, percentile } = subject;
    const program = commands.get(name) ?? openCommandTarget(studyCommand(config, name));
    commands.set(name, program);
    const ofSpec = spec ? { spec: JSON.stringify(spec) } : {};
    const protocol = commandProtocols[preset];
    return program.measure({ model, ...ofSpec, batch, threads, precision, percentile, protocol }, { signal });
  };

  return {
    measureSpec: async (spec, target, preset = config.latency) => {
      const profile = await profileOf(target);
      if (profile) return fitting(predictSpec(spec, profile, target)).latency;
      const model = candidateModel(spec, target.batch, exportedPrecision(target));
      // A search goes by medians; what is measured thoroughly is held to the limit's percentile.
      const percentile = preset === 'thorough' ? (target.limit?.percentile ?? 50) : 50;
      return measure({ model, spec, origin: { spec }, preset, percentile }, target);
    },
    measureFile: async (path, target, spec, preset = 'thorough') => {
      const profile = await profileOf(target);
      const model = await readFile(path);
      if (profile) return fitting(predictGraph(readOnnx(model, path), profile, target, path)).latency;
      const percentile = target.limit?.percentile ?? 50;
      return measure({ model, spec, origin: { path }, preset, percentile }, target);
    },
    close: async () => {
      for (const target of commands.values()) target.close();
      await meter?.close();
    },
  };
}
