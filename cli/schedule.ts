import { defineCommand } from 'citty';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { type ProviderId, providerIds } from '../accelerators/onnxruntime.ts';
import { ConfigError } from '../core/errors.ts';
import { parseBytes } from '../core/units.ts';
import { dataSourceSchema } from '../data/source.ts';
import { loadNetwork } from '../scaling/built-in-networks.ts';
import { controllerNames } from '../search/controllers.ts';
import { schedulePair, similarSchedules } from '../study/train/found-schedules.ts';
import { readRecipeFile, type TrainerConfig } from '../study/evaluation/recipe.ts';
import { type ScheduleSearchResult, searchSchedule, type TriedSchedule } from '../study/train/schedule-search.ts';
import { describeSchedule } from '../study/evaluation/training-schedule.ts';
import { dataArgument, numberArgument, oneOf } from './arguments.ts';
import { openReporter, watchedBy } from './progress.ts';

/** `ridgepoint schedule search resnet-18 --data ./photos`: the training schedule that gets there soonest on this machine. */
export const command = defineCommand({
  args: {
    action: { type: 'positional', description: 'search', required: true },
    network: { type: 'positional', description: 'built-in network or spec (YAML)', required: true },
    data: { type: 'string', description: 'pictures, as for train (default: rendered)', default: 'rendered' },
    on: { type: 'string', description: `provider that trains: ${providerIds.join(', ')}`, default: 'cpu' },
    examples: {
      type: 'string',
      description: 'training examples without a schedule; each is tried in that time',
      default: '5000',
    },
    trials: { type: 'string', description: 'schedules to try', default: '16' },
    seeds: { type: 'string', description: 'seeds of the best three before one is chosen', default: '3' },
    seed: { type: 'string', description: 'first seed', default: '0' },
    threads: { type: 'string', description: 'most threads of a training (default: the number of cores)' },
    memory: { type: 'string', description: 'most memory of a training, such as 2GB' },
    recipe: { type: 'string', description: 'YAML file with keys of a study’s trainer section' },
    controller: { type: 'string', description: controllerNames.join(', '), default: controllerNames[0] },
    out: { type: 'string', description: 'new file for the schedule', default: 'schedule.yaml' },
    again: { type: 'boolean', description: 'search though a schedule of a similar network and this device is there' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    if (args.action !== 'search') throw new ConfigError(`schedule: expected search, got ${args.action}`);
    const provider = oneOf('--on', providerIds, args.on);
    const file = resolve(args.out);
    const known = args.again ? undefined : knownSchedule(args.network, provider, file);
    if (known !== undefined)
      return console.log(
        args.json
          ? JSON.stringify({ schema: 1, similar: known })
          : `${known} was found for a similar network on this device: train --schedule ${known}, or search with --again`,
      );
    const reporter = openReporter({ json: args.json ?? false });
    const result = await searchSchedule({
      network: args.network,
      data: dataArgument(dataSourceSchema, args.data),
      baseDirectory: process.cwd(),
      trainer: recipeOn(provider, args.recipe),
      probeExamples: numberArgument('--examples', args.examples, 2),
      trials: numberArgument('--trials', args.trials, 1),
      seeds: numberArgument('--seeds', args.seeds, 1),
      seed: numberArgument('--seed', args.seed),
      controller: oneOf('--controller', controllerNames, args.controller),
      cores: args.threads ? numberArgument('--threads', args.threads, 1) : coresFor(provider),
      ...(args.memory && { memoryBytes: memoryArgument(args.memory) }),
      file,
      ...watchedBy(reporter, 'the same command goes on from the last probe'),
    }).finally(() => reporter.finish());
    console.log(args.json ? JSON.stringify({ schema: 1, file: args.out, ...result }) : textOf(args.out, result));
  },
});

/** Built-in networks are fitted to data only when it is read; their size before that is near enough. */
function knownSchedule(network: string, provider: ProviderId, file: string): string | undefined {
  return [...similarSchedules(file, schedulePair(loadNetwork(network), provider)).keys()][0];
}

/** @throws {ConfigError} when the recipe is for another provider. */
function recipeOn(provider: ProviderId, file: string | undefined): TrainerConfig {
  const recipe = file === undefined ? {} : readRecipeFile(file);
  if (recipe.provider !== undefined && recipe.provider !== provider)
    throw new ConfigError(`--on: expected ${recipe.provider}, as in ${file}, got ${provider}`);
  return { ...recipe, provider };
}

/** Threads are worth a decision where the steps run on them. */
function coresFor(provider: ProviderId): number {
  return provider === 'cpu' ? availableParallelism() : 1;
}

function qualityText({ accuracy, crossEntropy, examples }: TriedSchedule): string {
  return `${percent(accuracy)}, cross-entropy ${crossEntropy.toFixed(3)}, with ${examples} examples`;
}

function textOf(file: string, { best, fixed, level, seeds, tried, infeasible }: ScheduleSearchResult): string {
  const found =
    best === fixed
      ? `none of ${tried} schedules was better than training without one`
      : `the best of ${tried}: ${describeSchedule(best.schedule)}`;
  return [
    `${file}: ${found}`,
    `hold-out at equal time over ${seeds} seeds: ${qualityText(best)}`,
    `without a schedule: ${qualityText(fixed)}`,
    ...(level ? [`the last stage's settings throughout: ${qualityText(level)}`] : []),
    ...(infeasible > 0 ? [`${infeasible} schedules need more memory than allowed, or diverged`] : []),
  ].join('\n');
}

function memoryArgument(text: string): number {
  try {
    return parseBytes(text);
  } catch (cause) {
    throw new ConfigError(`--memory: ${(cause as Error).message}`, { cause });
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
