import { ConfigError } from '../core/errors.ts';
import { readModelFile } from '../models/spec-file.ts';
import { parseNetworkSpec } from '../models/spec.ts';
import { isTransformer, type ModelSpec } from '../models/transformer.ts';
import { applyMultipliers } from '../scaling/apply.ts';
import { builtInNetwork, loadNetwork } from '../scaling/built-in-networks.ts';
import { scaleTransformer } from '../scaling/scale-transformer.ts';
import { numberArgument, positiveArgument } from './arguments.ts';

/** Options of every command that takes a network by name or spec and may scale it first. */
export const scalingFlags = {
  width: { type: 'string', description: 'width multiplier of a spec', default: '1' },
  depth: { type: 'string', description: 'depth multiplier of a spec', default: '1' },
  context: { type: 'string', description: "tokens of a transformer's sequence (default: the spec's)" },
} as const;

/** What {@link scalingFlags} and `--resolution` were given. */
export interface ScalingArguments {
  readonly width: string;
  readonly depth: string;
  readonly context?: string | undefined;
  /** Input side in pixels; the network's own when left out. */
  readonly resolution?: string | undefined;
}

const specName = /\.(ya?ml|json)$/i;

/** Whether an argument names a network, built in or a spec, rather than an ONNX file. */
export function namesNetwork(argument: string): boolean {
  return specName.test(argument) || builtInNetwork(argument) !== undefined;
}

/** A built-in network, or a spec's of either kind, as it is. @throws {ConfigError} when it is neither. */
export function modelArgument(argument: string): ModelSpec {
  return specName.test(argument) ? readModelFile(argument) : loadNetwork(argument);
}

/**
 * A built-in network or a spec's, scaled as asked.
 * @throws {ConfigError} naming the flag, or the network, that is wrong.
 */
export function networkArgument(argument: string, { width, depth, context, resolution }: ScalingArguments): ModelSpec {
  const base = modelArgument(argument);
  const multipliers = { width: positiveArgument('--width', width), depth: positiveArgument('--depth', depth) };
  if (isTransformer(base)) {
    if (resolution !== undefined)
      throw new ConfigError(`--resolution: expected a network of pictures, got the transformer ${argument}`);
    const tokens = context === undefined ? base.context : numberArgument('--context', context, 1);
    return { ...scaleTransformer(base, { ...multipliers, context: 1 }), context: tokens };
  }
  if (context !== undefined) throw new ConfigError(`--context: expected a transformer, got ${argument}`);
  const { spec } = applyMultipliers(base, { ...multipliers, resolution: 1 }, { maxResolution: base.input.resolution });
  const side = resolution === undefined ? spec.input.resolution : numberArgument('--resolution', resolution, 4);
  return parseNetworkSpec({ ...spec, input: { ...spec.input, resolution: side } }, argument);
}

/** Refuses scaling options beside an ONNX file, which is measured and predicted as it is. */
export function expectUnscaled(file: string, { width, depth, context }: ScalingArguments): void {
  if (positiveArgument('--width', width) !== 1 || positiveArgument('--depth', depth) !== 1 || context !== undefined)
    throw new ConfigError(
      `${file}: expected a spec or a built-in network with --width and --depth, or --context, got an ONNX file`,
    );
}
