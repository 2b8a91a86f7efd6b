import { defineCommand } from 'citty';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { type HandedOver, type HandoverFormat, handoverFormats, handOver } from '../handover/export.ts';
import { folderSubjects, specSubject, type Subject } from '../handover/subject.ts';
import { exportFamily } from '../study/deliver/export.ts';
import { numberArgument, oneOf } from './arguments.ts';
import { modelArgument } from './network-argument.ts';
import { interruptible, openReporter } from './progress.ts';

/** `ridgepoint export runs/x --to folder`: what a study delivered, as it is or in a form that other stacks take. */
export const command = defineCommand({
  args: {
    source: {
      type: 'positional',
      description: "a finished study's folder, one that train made, or a network: built in or a spec (YAML)",
      required: true,
    },
    to: { type: 'string', description: 'new folder to write', required: true },
    format: { type: 'string', description: handoverFormats.join(', '), default: 'onnx' },
    target: { type: 'string', description: 'only this target of a study' },
    size: { type: 'string', description: 'only this size of a study' },
    seed: { type: 'string', description: 'of the weights of a network that nobody has trained (default: none)' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const format = oneOf('--format', handoverFormats, args.format);
    const only = { target: args.target, size: args.size };
    const isFolder = existsSync(args.source) && statSync(args.source).isDirectory();
    const isTraining = existsSync(join(args.source, 'weights.safetensors'));
    // A study's ONNX files go with their cards, specs and metrics, just as they were delivered.
    if (isFolder && !isTraining && format === 'onnx') {
      expectNoSeed(args);
      return say(args, await exportFamily(args.source, args.to, only), []);
    }
    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'nothing was kept');
    const subjects = isFolder ? await subjectsOf(args) : [untrained(args)];
    const handedOver = await handOver({
      subjects,
      format,
      to: args.to,
      signal,
      onProgress: reporter.progress,
    }).finally(reporter.finish);
    const files = handedOver.flatMap(({ place, files }) => files.map((file) => join(place, file)));
    say(args, files, checksOf(handedOver, format));
  },
});

interface Arguments {
  readonly source: string;
  readonly to: string;
  readonly target?: string | undefined;
  readonly size?: string | undefined;
  readonly seed?: string | undefined;
  readonly json?: boolean | undefined;
}

function subjectsOf(args: Arguments): Promise<readonly Subject[]> {
  expectNoSeed(args);
  return folderSubjects(args.source, { target: args.target, size: args.size });
}

function untrained({ source, target, size, seed }: Arguments): Subject {
  if (target !== undefined || size !== undefined)
    throw new ConfigError(`${source}: expected a study with --target and --size, got a network`);
  return specSubject(modelArgument(source), seed === undefined ? undefined : numberArgument('--seed', seed));
}

function expectNoSeed({ source, seed }: Arguments): void {
  if (seed !== undefined)
    throw new ConfigError(`--seed: expected a network that nobody has trained, got the folder ${source}`);
}

/** What became of source that came with weights. */
function checksOf(handedOver: readonly HandedOver[], format: HandoverFormat): readonly string[] {
  return handedOver.flatMap(({ place, check }) => {
    if (!check) return [];
    const where = place === '' ? format : `${place}, ${format}`;
    return check.checked
      ? [`${where}: computes what the ONNX file does, within ${check.difference.toExponential(1)} of the largest logit`]
      : [`${where}: NOT compared with the ONNX file: ${check.because}; python model.py does that`];
  });
}

function say({ to, json }: Arguments, files: readonly string[], checks: readonly string[]): void {
  if (json) console.log(JSON.stringify({ schema: 1, to, files, checks }));
  else console.log([...files.map((file) => join(to, file)), ...checks].join('\n'));
}
