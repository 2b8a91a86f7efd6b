import { defineCommand } from 'citty';
import { calibratedIn, type DeviceProfile, type Precision, precisions } from '../accelerators/device-profile.ts';
import { findProfile } from '../accelerators/profile-file.ts';
import { ConfigError } from '../core/errors.ts';
import { modelBytes } from '../latency/model-file.ts';
import { type Prediction, predictLatency } from '../latency/predicted.ts';
import type { Bound, KernelLatency } from '../latency/roofline.ts';
import { buildNetwork } from '../models/build.ts';
import { kernelKinds, onnxGraphOf, readKernels } from '../models/kernels.ts';
import { type OnnxGraph, readOnnx } from '../models/onnx.ts';
import type { ShapeBindings } from '../models/onnx-shapes.ts';
import { listArgument, numberArgument, oneOf } from './arguments.ts';
import { expectUnscaled, networkArgument, type ScalingArguments, scalingFlags } from './network-argument.ts';

/** `ridgepoint predict model.onnx --on tpu-v5e`: latency and memory of a network on a device that is not here. */
export const command = defineCommand({
  args: {
    model: { type: 'positional', description: 'ONNX file, network spec (YAML) or built-in network', required: true },
    on: {
      type: 'string',
      description:
        'device profiles, repeatable or comma-separated (ridgepoint accelerators lists them), or .yaml files',
      required: true,
    },
    batch: { type: 'string', description: "examples in one run (default: the file's, or 1)" },
    precision: {
      type: 'string',
      description: `${precisions.join(', ')} (default: what the profile is calibrated in, or the device's first of fp16, bf16, fp32, int8)`,
    },
    threads: {
      type: 'string',
      description: 'threads inside one inference; a calibrated profile answers for its own only',
    },
    ...scalingFlags,
    resolution: { type: 'string', description: 'input side in pixels, of a spec or where a file leaves it open' },
    shape: { type: 'string', description: 'extents of an input a file leaves open, repeatable: input=1x3x224x224' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    const bindings: ShapeBindings = {
      batch: args.batch === undefined ? undefined : numberArgument('--batch', args.batch, 1),
      resolution: args.resolution === undefined ? undefined : numberArgument('--resolution', args.resolution, 4),
      inputs: args.shape === undefined ? undefined : shapesArgument(listArgument(rawArgs, 'shape', args.shape)),
    };
    const precision = args.precision === undefined ? undefined : oneOf('--precision', precisions, args.precision);
    const graph = await openGraph(args);
    const profiles = await Promise.all(listArgument(rawArgs, 'on', args.on).map(findProfile));
    const threads = args.threads === undefined ? undefined : numberArgument('--threads', args.threads, 1);
    for (const profile of profiles) expectThreads(profile, threads);
    const predictions = profiles.map((profile) => {
      const program = readKernels(graph, profile.fusion, bindings, args.model);
      return { profile, ...predictLatency(program, profile, precision ?? preferred(profile)) };
    });
    if (args.json) {
      const rows = predictions.map(({ profile: { id }, ...rest }) => ({ profile: id, ...verdict(rest), ...rest }));
      console.log(JSON.stringify({ schema: 1, model: args.model, predictions: rows }));
    } else console.log(predictions.map((prediction) => describe(args.model, prediction)).join('\n\n'));
    if (predictions.some(({ footprint }) => footprint.fits === false)) process.exitCode = 4;
  },
});

/** What was measured with some threads says nothing of others, and what was not measured says nothing of threads. */
function expectThreads({ id, learned }: DeviceProfile, threads: number | undefined): void {
  const known = learned?.threads;
  if (threads !== undefined && threads !== known)
    throw new ConfigError(
      `${id}: expected ${known === undefined ? 'no --threads, it is of a whole device' : `--threads ${known}, for which it was calibrated`}, got ${threads}`,
    );
}

async function openGraph(args: ScalingArguments & { readonly model: string }): Promise<OnnxGraph> {
  if (!/\.onnx$/i.test(args.model)) return onnxGraphOf(buildNetwork(networkArgument(args.model, args), 'batch'));
  expectUnscaled(args.model, args);
  return readOnnx(await modelBytes(args.model), args.model);
}

/** `input=1x3x224x224`, several of them. */
function shapesArgument(texts: readonly string[]): Readonly<Record<string, readonly number[]>> {
  return Object.fromEntries(
    texts.map((text) => {
      const match = /^(.+)=([1-9]\d*(?:x[1-9]\d*)*)$/.exec(text);
      if (!match)
        throw new ConfigError(`--shape: expected extents such as input=1x3x224x224, got ${JSON.stringify(text)}`);
      return [match[1] as string, (match[2] as string).split('x').map(Number)];
    }),
  );
}

/** What measurements back, or what networks are usually served in: half precision where the device has it. */
function preferred(profile: DeviceProfile): Precision {
  const order = ['fp16', 'bf16', 'fp32', 'int8'] as const;
  return calibratedIn(profile) ?? order.find((precision) => profile.peakTflops[precision] !== undefined) ?? 'fp32';
}

function verdict({ latency, footprint }: Prediction) {
  if (footprint.fits !== false) return { status: 'ok' };
  const { accelerator, batch, precision } = latency;
  return {
    status: 'infeasible',
    reason: `${accelerator} has ${size(footprint.capacityBytes ?? 0)}, batch ${batch} in ${precision} needs ${size(footprint.weightBytes + footprint.activationBytes)}`,
  };
}

const shownKernels = 10;

function describe(model: string, { profile, ...prediction }: Prediction & { readonly profile: DeviceProfile }): string {
  const { latency, kernels, deviceMs, hostMs, footprint, unknown, unseen } = prediction;
  const { lo, hi } = latency.intervalMs;
  const total = kernels.reduce((sum, { ms }) => sum + ms, 0);
  const part = (bound: Bound) =>
    `${bound} ${share(kernels.filter((kernel) => kernel.bound === bound).reduce((sum, kernel) => sum + kernel.ms, 0) / total)}`;
  const slowest = kernels.toSorted((a, b) => b.ms - a.ms).slice(0, shownKernels);
  const { status, reason } = { reason: undefined, ...verdict(prediction) };
  const { capacityBytes } = footprint;
  return [
    `${model} on ${profile.id} (${profile.name}), batch ${latency.batch}, ${latency.precision}: ${time(latency.p50Ms)} predicted (95 % interval ${time(lo)} to ${time(hi)}), ${latency.calibrated ? 'calibrated' : `not calibrated${profile.calibration ? ` in ${latency.precision}` : ''}: good for ranking only`}`,
    ...(status === 'infeasible' ? [`  INFEASIBLE: does not fit in memory: ${reason}`] : []),
    `  ${kernels.length} kernels, bound by ${(['compute', 'memory', 'overhead'] as const).map(part).join(', ')}${hostMs > deviceMs ? `; all of them wait for the host, which takes ${time(hostMs)} to start them` : ''}`,
    `  by kind: ${byKind(kernels, total)}`,
    `  memory: ${size(footprint.weightBytes)} of weights, ${size(footprint.activationBytes)} of activations${capacityBytes === null ? '' : `, of ${size(capacityBytes)}`}`,
    ...(unseen.length > 0 ? [`  never seen in calibration, and by the roofline alone: ${unseen.join(', ')}`] : []),
    ...(unknown.length > 0 ? [`  not known of this device, and not counted: ${unknown.join(', ')}`] : []),
    `  ${'slowest kernels'.padEnd(44)}${'kind'.padEnd(13)}${'bound'.padEnd(10)}${'time'.padStart(10)}${'share'.padStart(8)}`,
    ...slowest.map(
      ({ name, kind, bound, ms }) =>
        `  ${name.padEnd(44)}${kind.padEnd(13)}${bound.padEnd(10)}${time(ms).padStart(10)}${share(ms / total).padStart(8)}`,
    ),
  ].join('\n');
}

/** Shares of the kinds, largest first, those below one percent left out. */
function byKind(kernels: readonly KernelLatency[], total: number): string {
  const kinds = kernelKinds.map((kind) => {
    const own = kernels.filter((kernel) => kernel.kind === kind);
    return { kind, part: own.reduce((sum, { ms }) => sum + ms, 0) / total };
  });
  return kinds
    .filter(({ part }) => part >= 0.01)
    .toSorted((a, b) => b.part - a.part)
    .map(({ kind, part }) => `${kind} ${share(part)}`)
    .join(', ');
}

const share = (value: number): string => `${Math.round(100 * value)} %`;

function time(ms: number): string {
  if (ms >= 1000) return `${(ms / 1e3).toPrecision(3)} s`;
  return ms < 0.1 ? `${(1e3 * ms).toPrecision(3)} µs` : `${ms.toPrecision(3)} ms`;
}

function size(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toPrecision(3)} GB`;
  return `${(bytes / 1e6).toPrecision(3)} MB`;
}
