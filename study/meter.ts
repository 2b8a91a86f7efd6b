import { readFile } from 'node:fs/promises';
import type { Work } from '../accelerators/simulated.ts';
import { commandNameOf } from '../commands/declaration.ts';
import { commandProtocols } from '../commands/sampling.ts';
import { type CommandTarget, openCommandTarget } from '../commands/target.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { digestBytes } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';
import { fingerprint } from '../latency/fingerprint.ts';
import type { Latency, Percentile } from '../latency/latency.ts';
import { type Meter, openMeter } from '../latency/isolate.ts';
import type { Ledger, LedgerIdentity, ModelOrigin } from '../latency/ledger.ts';
import { candidateModel } from '../latency/model-file.ts';
import { predictedLatency } from '../latency/predicted.ts';
import { type ProtocolPreset, protocols } from '../latency/protocol.ts';
import { buildNetwork } from '../models/build.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { LatencyMeter } from './context.ts';
import { countSpec } from './evaluate.ts';
import { type StudyConfig, studyCommand, type TargetConfig } from './study-file.ts';

/** The device that is computed, not measured: for tests and for trying a study without its accelerator. */
export const simulatedDevice = 'simulated';

export interface LatencyMeterOptions {
  /**
   * Latencies of this host that are known already: a stable one of the same file, setting and protocol is not
   * measured again. Programs of the user's own are measured in any case: nobody here knows what they run on.
   */
  readonly ledger?: Ledger;
  /** Instead of measuring in a process of its own. */
  readonly meter?: Pick<Meter, 'measure' | 'close'>;
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
 * where a target's device is a command, or computed where it is `simulated`. Candidates are measured
 * with untrained weights of trained scale.
 */
export function openLatencyMeter(
  config: StudyConfig,
  signal: AbortSignal,
  { ledger, meter: given, clock = systemClock }: LatencyMeterOptions = {},
): LatencyMeter {
  let meter = given;
  const commands = new Map<string, CommandTarget>();

  const onProvider = async (
    { model, origin, preset, percentile }: Subject,
    { device, batch, threads }: TargetConfig,
  ): Promise<Latency> => {
    const protocol = protocols[preset];
    const setting = { accelerator: device, batch, threads };
    const identity: LedgerIdentity = {
      ...setting,
      model: digestBytes(model),
      precision: 'fp32',
      scenario: 'single-stream',
      percentile,
      protocol,
    };
    const host = fingerprint(device);
    const known = ledger?.find(identity, host);
    if (known) return { ...known.latency, reusedFrom: known.at };
    const quietReferenceMs = ledger?.quietReferenceMs(device, threads, host);
    meter ??= openMeter();
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
      if (target.device === simulatedDevice) return simulate(spec, target);
      const model = candidateModel(spec, target.batch);
      return measure({ model, spec, origin: { spec }, preset, percentile: 50 }, target);
    },
    measureFile: async (path, target, spec) => {
      if (target.device !== simulatedDevice) {
        const percentile = target.limit?.percentile ?? 50;
        const model = await readFile(path);
        return measure({ model, spec, origin: { path }, preset: 'thorough', percentile }, target);
      }
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
