import { defineCommand } from 'citty';
import { basename, extname } from 'node:path';
import { emulated } from '../accelerators/software-driver.ts';
import { type Command, commandNameOf, readCommand } from '../commands/declaration.ts';
import { commandProtocols } from '../commands/sampling.ts';
import { openCommandTarget } from '../commands/target.ts';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import { type Meter, openMeter } from '../latency/isolate.ts';
import { type Latency, latencySchema } from '../latency/latency.ts';
import type { MeasureProgress } from '../latency/measure.ts';
import { protocolPresets, protocols } from '../latency/protocol.ts';
import { listArgument, numberArgument } from './arguments.ts';
import { interruptible, openReporter } from './progress.ts';

const precisions = latencySchema.shape.precision.options;

/** The user's own program that an `--on` names; undefined where it names a provider. @throws {ConfigError} when it is not declared. */
function commandOf(on: string, file: string): Command | undefined {
  const name = commandNameOf(on);
  if (name !== undefined) return readCommand(file, name);
  return /\.ya?ml$/.test(on) ? readCommand(on, basename(on, extname(on))) : undefined;
}

/** `ridgepoint measure model.onnx --on cpu`: latency of any ONNX file on any local provider, or by a program of the user's own. */
export const command = defineCommand({
  args: {
    model: { type: 'positional', description: 'ONNX file', required: true },
    on: {
      type: 'string',
      description:
        'accelerators, repeatable or comma-separated (ridgepoint accelerators lists them), command:<name>, or the .yaml file of a command',
      default: 'cpu',
    },
    commands: { type: 'string', description: 'file that declares commands by name', default: 'commands.yaml' },
    precision: {
      type: 'string',
      description: `${precisions.join(', ')}; of a command, fp32 by default; a provider runs the file in its own`,
    },
    'allow-fallback': {
      type: 'boolean',
      description:
        'measure a model with operators that the provider lacks; they run on the CPU, and the record says so',
    },
    batch: { type: 'string', description: 'extent of a symbolic batch axis', default: '1' },
    threads: { type: 'string', description: 'threads inside one inference', default: '1' },
    protocol: { type: 'string', description: protocolPresets.join(' or '), default: 'thorough' },
    strict: { type: 'boolean', description: 'exit with 3 when a latency is unstable' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    const preset = protocolPresets.find((name) => name === args.protocol);
    if (!preset) throw new ConfigError(`--protocol: expected ${protocolPresets.join(' or ')}, got ${args.protocol}`);
    const precision = precisions.find((name) => name === args.precision);
    if (args.precision !== undefined && !precision)
      throw new ConfigError(`--precision: expected ${precisions.join(', ')}, got ${args.precision}`);
    const setting = {
      batch: numberArgument('--batch', args.batch, 1),
      threads: numberArgument('--threads', args.threads, 1),
    };
    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'nothing was kept');
    let meter: Meter | undefined;
    const latencies: Latency[] = [];
    try {
      for (const on of listArgument(rawArgs, 'on', args.on)) {
        const onProgress = ({ session, p50Ms, rejectedBlocks }: MeasureProgress): void =>
          reporter.progress({
            phase: 'measure',
            text: `${on}: session ${session}, p50 ${p50Ms.toPrecision(3)} ms, ${rejectedBlocks} blocks rejected`,
          });
        const { model } = args;
        const declared = commandOf(on, args.commands);
        if (declared) {
          const target = openCommandTarget(declared);
          const request = { model, ...setting, precision: precision ?? 'fp32', protocol: commandProtocols[preset] };
          latencies.push(await target.measure(request, { signal, onProgress }).finally(() => target.close()));
          continue;
        }
        const allowFallback = args['allow-fallback'];
        const request = {
          model,
          setting: { accelerator: on, ...setting },
          protocol: protocols[preset],
          ...(precision && { precision }),
          ...(allowFallback && { allowFallback }),
        };
        meter ??= openMeter();
        latencies.push(await meter.measure(request, { signal, onProgress }));
      }
    } catch (error) {
      // The runtime sees bytes only; a person wants to know of which file.
      if (!(error instanceof InvalidFileError) || error.message.includes(args.model)) throw error;
      throw new InvalidFileError(`${args.model}: ${error.message}`, { cause: error });
    } finally {
      reporter.finish();
      await meter?.close();
    }
    console.log(
      args.json ? JSON.stringify({ schema: 1, model: args.model, latencies }) : latencies.map(describe).join('\n'),
    );
    if (args.strict && latencies.some(({ stable }) => !stable)) process.exitCode = 3;
  },
});

function ms(value: number): string {
  return `${value.toPrecision(3)} ms`;
}

function describe(latency: Latency): string {
  const {
    accelerator,
    batch,
    threads,
    p50Ms,
    p90Ms,
    p99Ms,
    intervalMs,
    sessions,
    samples,
    rejectedBlocks,
    drift,
    stable,
    reported,
  } = latency;
  return [
    `${accelerator}, batch ${batch}, ${threads} thread${threads === 1 ? '' : 's'}: p50 ${ms(p50Ms)} (${100 * intervalMs.level} % interval ${ms(intervalMs.lo)} to ${ms(intervalMs.hi)}), p90 ${ms(p90Ms)}, p99 ${p99Ms === null ? (reported ? 'not reported' : 'not given below 300 samples') : ms(p99Ms)}`,
    `  ${stable ? 'stable' : 'UNSTABLE: do not rely on it'}; ${reported ? 'percentiles as the program reported them, unchecked' : `${samples} runs`} in ${sessions} sessions, ${rejectedBlocks} blocks rejected, reference drift ${(100 * drift).toFixed(1)} %, ${latency.includesIo ? 'copies in and out included' : 'device time only'}`,
    `  on ${latency.fingerprint?.cpu ?? 'unknown'}, ${latency.fingerprint?.runtime ?? ''} (${latency.fingerprint?.provider ?? ''})`,
    ...caveats(latency),
  ].join('\n');
}

/** What makes the number another one than it seems. */
function caveats({ accelerator, placement = {}, fingerprint }: Latency): string[] {
  const isMixed = Object.keys(placement).some((provider) => provider !== accelerator);
  const shares = Object.entries(placement).map(([provider, nodes]) => `${nodes} on ${provider}`);
  return [
    ...(isMixed ? [`  NOT ${accelerator} ALONE: of the nodes ran ${shares.join(', ')}`] : []),
    ...(fingerprint?.software === undefined ? [] : [`  NO GPU: ${accelerator} ran ${emulated(fingerprint.software)}`]),
  ];
}
