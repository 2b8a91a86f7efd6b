import { defineCommand } from 'citty';
import { basename, join, resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { factoryFamilyText } from '../report/factory-family.ts';
import { builtInNetwork, loadNetwork } from '../scaling/built-in-networks.ts';
import { type FactoryFile, isFactoryFile, readFactoryFile } from '../study/factory-file.ts';
import { factoryFamily } from '../study/factory-summary.ts';
import { scaleFactory } from '../study/scale-factory.ts';
import { resolveStudy } from '../study/resolve-study.ts';
import type { StudyConfig } from '../study/study-file.ts';
import { uncheckedDataArgument, listArgument, numberArgument } from './arguments.ts';
import { openReporter, watchedBy } from './progress.ts';
import { runWithProgress } from './search.ts';

/** `ridgepoint scale base.yaml --on cpu --size 2x`: scaling of a base the user already has, a study without a search. */
export const command = defineCommand({
  args: {
    base: { type: 'positional', description: 'built-in network, spec (YAML) or factory (YAML)', required: true },
    on: {
      type: 'string',
      description: 'accelerators or device profiles (.yaml files too), repeatable or comma-separated',
      default: 'cpu',
    },
    data: {
      type: 'string',
      description: 'data set: rendered, a folder of images, {format: csv, path: …} or a YAML file with that',
      default: 'rendered',
    },
    sizes: {
      type: 'string',
      description: 'multiples of the base latency (2x) or latencies (1.5ms), comma-separated',
      default: '1x,2x,4x',
    },
    members: {
      type: 'string',
      description: 'so many networks spread from the first of two --sizes to the second, instead of one for each',
    },
    limit: { type: 'string', description: 'hard limit on latency, e.g. "p90 < 5ms"' },
    memory: { type: 'string', description: 'hard limit on weights and activations of one batch, e.g. 64MB' },
    rule: {
      type: 'string',
      description: 'per-size, single-triple, dWr or coefficients such as 1.2/1.1/1.15',
      default: 'per-size',
    },
    batch: { type: 'string', description: 'inference batch', default: '1' },
    threads: { type: 'string', description: 'threads inside one inference', default: '1' },
    precision: {
      type: 'string',
      description: 'fp32, fp16, bf16, int8; on a provider fp32 or fp16, the others by profiles only',
      default: 'fp32',
    },
    allow: {
      type: 'string',
      description: 'predicted: sizes in milliseconds may be judged by a profile that was never calibrated',
    },
    trials: { type: 'string', description: 'scalings trained for each size', default: '4' },
    examples: { type: 'string', description: 'training examples while scaling', default: '6000' },
    'final-examples': { type: 'string', description: 'training examples of a delivered network', default: '20000' },
    seeds: { type: 'string', description: 'seeds of every delivered network', default: '2' },
    seed: { type: 'string', description: 'seed of the study', default: '0' },
    name: { type: 'string', description: 'name of the study (default: scale-<base>)' },
    runs: { type: 'string', description: 'folder that holds studies', default: 'runs' },
    json: { type: 'boolean', description: 'one JSON object on stdout at the end, events as NDJSON on stderr' },
  },
  async run({ args, rawArgs }) {
    const factory = isFactoryFile(args.base) ? readFactoryFile(args.base) : undefined;
    if (factory) expectForFactory(rawArgs);
    else loadNetwork(args.base); // A base that is none should not begin a study.
    const devices = listArgument(rawArgs, 'on', args.on);
    const names = targetNames(devices);
    const target = {
      batch: numberArgument('--batch', args.batch),
      threads: numberArgument('--threads', args.threads),
      precision: args.precision,
      ...(args.allow === undefined ? {} : { allow: args.allow }),
      ...(args.limit === undefined ? {} : { limit: args.limit }),
      ...(args.memory === undefined ? {} : { memory: args.memory }),
    };
    const sizes = familyOf(listArgument(rawArgs, 'sizes', args.sizes), args.members);
    const examples = numberArgument('--examples', args.examples);
    const seeds = numberArgument('--seeds', args.seeds);
    const data = uncheckedDataArgument(args.data);
    const study = {
      study: args.name ?? `scale-${basename(args.base).replace(/\.ya?ml$/, '')}`,
      seed: numberArgument('--seed', args.seed),
      ...(factory ? {} : { base: builtInNetwork(args.base) ? args.base : resolve(args.base) }),
      data: typeof data === 'string' && data !== 'rendered' ? resolve(data) : data,
      targets: Object.fromEntries(devices.map((device, index) => [names[index], { device, ...target }])),
      family: Object.fromEntries(names.map((name) => [name, sizes])),
      search: { examples },
      scale: { rule: args.rule, trials: numberArgument('--trials', args.trials), examples },
      final: { examples: numberArgument('--final-examples', args['final-examples']), seeds },
    };
    const config = resolveStudy(study, 'command line');
    if (factory)
      return scaleByFactory(config, factory, { folder: join(args.runs, config.study), json: args.json ?? false });
    await runWithProgress(config, {
      folder: join(args.runs, config.study),
      json: args.json ?? false,
      again: `ridgepoint scale ${args.base} …`,
    });
  },
});

/** Refuses what only networks of our own have. */
function expectForFactory(rawArgs: readonly string[]): void {
  const given = rawArgs.flatMap((argument) => /^--([a-z-]+)/.exec(argument)?.[1] ?? []);
  const ignored = given.find((name) => ['rule', 'members', 'memory'].includes(name));
  if (ignored !== undefined)
    throw new ConfigError(
      `--${ignored}: expected none beside a factory, whose networks are known by their files alone`,
    );
}

async function scaleByFactory(
  config: StudyConfig,
  factory: FactoryFile,
  { folder, json }: { readonly folder: string; readonly json: boolean },
): Promise<void> {
  const reporter = openReporter({ json });
  try {
    const summary = await scaleFactory(config, factory, {
      folder,
      ...watchedBy(reporter, 'the same command goes on from here'),
    });
    reporter.finish();
    console.log(json ? JSON.stringify(factoryFamily(summary)) : factoryFamilyText(summary, folder));
  } finally {
    reporter.finish();
  }
}

/** Sizes by name, or with `members` the range between two. */
function familyOf(sizes: readonly string[], members: string | undefined): unknown {
  if (members === undefined) return sizes;
  const [from, to] = sizes;
  if (sizes.length !== 2)
    throw new ConfigError(`--members: expected two --sizes to spread them between, e.g. 1x,8x, got ${sizes.join(',')}`);
  return { members: numberArgument('--members', members), from, to };
}

/** A name for each device: what it is called without its folder, with as much of the folder as tells it from the others. */
export function targetNames(devices: readonly string[]): readonly string[] {
  const twice = devices.find((device, index) => devices.indexOf(device) !== index);
  if (twice !== undefined) throw new ConfigError(`--on: expected different devices, got ${twice} twice`);
  return devices.map((device) => {
    const parts = partsOf(device);
    const others = devices.filter((other) => other !== device).map(partsOf);
    for (let taken = 1; taken < parts.length; taken++) {
      const name = parts.slice(-taken).join('-');
      if (others.every((other) => other.slice(-taken).join('-') !== name)) return name;
    }
    return parts.join('-');
  });
}

function partsOf(device: string): readonly string[] {
  return device.split(/[\\/]/).filter((part) => part !== '' && part !== '.' && part !== '..');
}
