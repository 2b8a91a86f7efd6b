import { defineCommand } from 'citty';
import { ConfigError, InvalidFileError } from '../core/errors.ts';
import { openMeter } from '../latency/isolate.ts';
import type { Latency } from '../latency/latency.ts';
import { protocolPresets, protocols } from '../latency/protocol.ts';
import { listArgument, numberArgument } from './arguments.ts';
import { interruptible, openReporter } from './progress.ts';

/** `ridgepoint measure model.onnx --on cpu`: latency of any ONNX file on any local provider. */
export const command = defineCommand({
  args: {
    model: { type: 'positional', description: 'ONNX file', required: true },
    on: {
      type: 'string',
      description: 'accelerators, repeatable or comma-separated (ridgepoint accelerators lists them)',
      default: 'cpu',
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
    const setting = {
      batch: numberArgument('--batch', args.batch, 1),
      threads: numberArgument('--threads', args.threads, 1),
    };
    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'nothing was kept');
    const meter = openMeter();
    const latencies: Latency[] = [];
    try {
      for (const accelerator of listArgument(rawArgs, 'on', args.on))
        latencies.push(
          await meter.measure(
            { model: args.model, setting: { accelerator, ...setting }, protocol: protocols[preset] },
            {
              signal,
              onProgress: ({ session, p50Ms, rejectedBlocks }) =>
                reporter.progress({
                  phase: 'measure',
                  text: `${accelerator}: session ${session}, p50 ${p50Ms.toPrecision(3)} ms, ${rejectedBlocks} blocks rejected`,
                }),
            },
          ),
        );
    } catch (error) {
      // The runtime sees bytes only; a person wants to know of which file.
      if (!(error instanceof InvalidFileError) || error.message.includes(args.model)) throw error;
      throw new InvalidFileError(`${args.model}: ${error.message}`, { cause: error });
    } finally {
      reporter.finish();
      await meter.close();
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
  } = latency;
  return [
    `${accelerator}, batch ${batch}, ${threads} thread${threads === 1 ? '' : 's'}: p50 ${ms(p50Ms)} (${100 * intervalMs.level} % interval ${ms(intervalMs.lo)} to ${ms(intervalMs.hi)}), p90 ${ms(p90Ms)}, p99 ${p99Ms === null ? 'not given below 300 samples' : ms(p99Ms)}`,
    `  ${stable ? 'stable' : 'UNSTABLE: do not rely on it'}; ${samples} runs in ${sessions} sessions, ${rejectedBlocks} blocks rejected, reference drift ${(100 * drift).toFixed(1)} %, ${latency.includesIo ? 'copies in and out included' : 'device time only'}`,
    `  on ${latency.fingerprint?.cpu ?? 'unknown'}, ${latency.fingerprint?.runtime ?? ''} (${latency.fingerprint?.provider ?? ''})`,
  ].join('\n');
}
