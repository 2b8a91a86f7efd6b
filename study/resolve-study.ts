import { readFileSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { deviceProfiles } from '../accelerators/profiles.ts';
import { acceleratorOf, commandNameOf, findCommand } from '../commands/declaration.ts';
import { ConfigError } from '../core/errors.ts';
import { exportedPrecisions, precisionRefusal } from '../latency/file-precision.ts';
import { type RunSetting, settingsOf } from '../latency/setting.ts';
import { loadNetwork } from '../scaling/built-in-networks.ts';
import { parseRule } from '../scaling/rules.ts';
import { isTabularSpace, tabularSpaceNames } from '../search/table.ts';
import type { ScheduleChoice } from '../training/heuristic-schedules.ts';
import { planStages } from '../training/stage-plan.ts';
import { tfjsRefusal } from '../training/tfjs/refusal.ts';
import { resolveRecipe } from './evaluation/recipe.ts';
import { loadSchedule } from './evaluation/training-schedule.ts';
import { isFactoryFile } from './factory-file.ts';
import { type Size, sizesOf } from './sizes.ts';
import {
  hasBatches,
  isProfile,
  type ParsedStudyFile,
  type ParsedTarget,
  type StudyConfig,
  studyFileSchema,
  type TargetConfig,
} from './study-file.ts';

/**
 * Reads and checks a study file.
 * @throws {ConfigError} naming each offending key, what was expected and what was got.
 */
export function readStudyFile(path: string, options?: StudyFileOptions): StudyConfig {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ConfigError(
      `${path}: expected a study file, got ${(cause as NodeJS.ErrnoException).code ?? 'an unreadable one'}`,
      { cause },
    );
  }
  let data: unknown;
  try {
    data = parseYaml(text);
  } catch (cause) {
    throw new ConfigError(`${path}: not YAML: ${(cause as Error).message}`, { cause });
  }
  const named = data === null ? {} : data;
  return resolveStudy(
    typeof named === 'object' && !('study' in named) ? { study: basename(path, extname(path)), ...named } : named,
    path,
    options,
  );
}

export interface StudyFileOptions {
  /** Workers elsewhere may declare the commands and offer the devices that the file names. */
  readonly elsewhere?: boolean;
}

/**
 * Checks what a study file says, and fills in what it leaves out.
 * @param where names the source in errors; relative paths in it start from its folder.
 * @throws {ConfigError} naming each offending key, what was expected and what was got.
 */
export function resolveStudy(data: unknown, where: string, options: StudyFileOptions = {}): StudyConfig {
  const parsed = studyFileSchema.safeParse(data);
  if (!parsed.success) throw new ConfigError(`${where}: not a study file\n${z.prettifyError(parsed.error)}`);
  const { family, targets: asked, trainer, final, ...file } = parsed.data;
  const commands = new NamedCommands(file.commands, where, options);
  const targets = Object.fromEntries(
    Object.entries(asked).map(([name, target]) => [
      name,
      targetOf(name, target, { commands, where, trainer, options }),
    ]),
  );
  const own = trainerOf(trainer, commands, where);
  expectSearchable({ ...file, ...own }, where);
  const study = { ...file, targets, ...own, commands: commands.all, final: withSchedule(final, own, where) };
  checkRules(study, where);
  const sizes = familyOf(family, targets, where);
  return { ...study, family: sizes, baseDirectory: dirname(resolve(where)) };
}

/** Commands of a study by name; one that is declared where it is used gets the name of its place. */
class NamedCommands {
  readonly #all: StudyConfig['commands'];
  readonly #where: string;
  readonly #options: StudyFileOptions;

  constructor(declared: StudyConfig['commands'], where: string, options: StudyFileOptions) {
    this.#all = { ...declared };
    this.#where = where;
    this.#options = options;
  }

  get all(): StudyConfig['commands'] {
    return this.#all;
  }

  /** @param own the name for arguments in place of one. */
  nameOf(reference: string | string[], place: string, own: string): string {
    const where = `${this.#where}: ${place}`;
    if (Array.isArray(reference)) {
      if (Object.hasOwn(this.#all, own))
        throw new ConfigError(`${where}: expected the name of a command, for there is one called ${own}`);
      this.#all[own] = { command: reference, limits: {} };
    }
    const name = Array.isArray(reference) ? own : reference;
    if (!this.#options.elsewhere) findCommand(this.#all, name, { where, directory: '' });
    return name;
  }
}

interface TargetContext {
  readonly commands: NamedCommands;
  readonly where: string;
  readonly trainer: ParsedStudyFile['trainer'];
  readonly options: StudyFileOptions;
}

/** A target with its device known, and what its networks' batch and precision are chosen from. */
function targetOf(name: string, target: ParsedTarget, context: TargetContext): TargetConfig {
  const { command: _command, batch, precision, ...rest } = target;
  const place = `${context.where}: targets.${name}`;
  const precisions = [precision].flat();
  if (precisions.length > 1 && precisions.includes('int8'))
    throw new ConfigError(
      `${place}.precision: expected no int8 beside others, for one is chosen by latency alone and what int8 costs in accuracy is not known, got ${precisions.join(', ')}`,
    );
  const settings = settingsOf([batch].flat(), precisions);
  const [first] = settings;
  if (!first) throw new Error('lists have at least one value');
  if (settings.length > 1 && context.trainer.table !== undefined)
    throw new ConfigError(`${place}: expected one batch and one precision beside trainer.table`);
  const choice = settings.length > 1 ? { settings } : {};
  return { ...rest, ...first, ...choice, device: deviceOf(name, target, context) };
}

function deviceOf(name: string, target: ParsedTarget, { commands, where, trainer, options }: TargetContext): string {
  const { device, command, profile, allow } = target;
  const place = `${where}: targets.${name}`;
  if (profile !== undefined && (Array.isArray(target.batch) || Array.isArray(target.precision)))
    throw new ConfigError(
      `${place}.profile: expected none beside a list of batches or precisions, which are measured before one is chosen, got ${profile}`,
    );
  if ((device === undefined) === (command === undefined))
    throw new ConfigError(`${place}: expected either a device or a command, got ${device ? 'both' : 'neither'}`);
  if (allow !== undefined && profile === undefined && (device === undefined || !isProfile(device)))
    throw new ConfigError(`${place}.allow: expected a profile that it is for, got none`);
  if (command !== undefined) return acceleratorOf(commands.nameOf(command, `targets.${name}.command`, name));
  const known = device as string;
  const named = commandNameOf(known);
  if (named !== undefined) commands.nameOf(named, `targets.${name}.device`, name);
  else if (isProfile(known)) {
    if (profile !== undefined)
      throw new ConfigError(`${place}.profile: expected none, for ${known} is a profile, got ${profile}`);
    // What a worker offers, under whatever name, its own check judges; a replayed search measures nowhere.
  } else if (!options.elsewhere && trainer.table === undefined) checkProvider(known, [target.precision].flat(), place);
  return known;
}

/** What trains: a recipe, a program of the user's own, or results that are known. */
function trainerOf(
  { command, params, table, ...recipe }: ParsedStudyFile['trainer'],
  commands: NamedCommands,
  where: string,
): Pick<StudyConfig, 'trainer' | 'table' | 'trainerCommand'> {
  const unused = Object.keys(recipe).filter((key) => key !== 'parallel');
  if (command !== undefined && unused.length > 0)
    throw new ConfigError(
      `${where}: trainer: expected only params and parallel beside a command, got also ${unused.join(', ')}`,
    );
  if (command === undefined && params !== undefined)
    throw new ConfigError(`${where}: trainer.params: expected a command that they are for, got none`);
  return {
    trainer: recipe,
    ...(table !== undefined && { table }),
    ...(command !== undefined && {
      trainerCommand: { name: commands.nameOf(command, 'trainer.command', 'trainer'), params: params ?? {} },
    }),
  };
}

/** What cannot be searched, or not from there. */
function expectSearchable(
  { search, base, table }: Pick<StudyConfig, 'search' | 'base' | 'table'>,
  where: string,
): void {
  if ((table !== undefined) !== isTabularSpace(search.space))
    throw new ConfigError(
      `${where}: expected trainer.table with search.space ${tabularSpaceNames.join(' or ')}, and neither without the other`,
    );
  if (search.warmStart !== undefined && (table !== undefined || base !== undefined))
    throw new ConfigError(
      `${where}: search.warmStart: expected a search that trains, got ${table ? 'trainer.table, whose replays keep no journal' : 'a base, for which nothing is searched'}`,
    );
  if (base !== undefined && isFactoryFile(resolve(dirname(resolve(where)), base)))
    throw new ConfigError(
      `${where}: base: expected a network, got a factory, whose networks are known by their files alone; "ridgepoint scale ${base}" scales them`,
    );
}

function checkProvider(device: string, asked: readonly RunSetting['precision'][], place: string): void {
  if (!providerIds.some((id) => id === device))
    throw new ConfigError(
      `${place}.device: expected a provider (${providerIds.join(', ')}), command:<name>, a profile (${[...deviceProfiles.keys()].join(', ')}) or the path of one (.yaml), got ${JSON.stringify(device)}`,
    );
  for (const precision of asked)
    if (!exportedPrecisions(device).includes(precision))
      throw new ConfigError(`${place}.precision: ${precisionRefusal(device, 'fp32', precision)}`);
}

/** Final training with its schedule read and tried on the recipe. */
function withSchedule(
  { schedule: reference, ...final }: ParsedStudyFile['final'],
  { trainer, table, trainerCommand }: Pick<StudyConfig, 'trainer' | 'table' | 'trainerCommand'>,
  where: string,
): StudyConfig['final'] {
  if (reference === undefined) return final;
  if (table !== undefined || trainerCommand !== undefined)
    throw new ConfigError(
      `${where}: final.schedule: expected none beside trainer.${table ? 'table' : 'command'}, which trains as it likes`,
    );
  try {
    const schedule = loadSchedule(reference, dirname(resolve(where)));
    expectStagesOfAStudy(schedule, trainer);
    // Any network will do: what a schedule asks of the recipe is the same for all.
    const spec = loadNetwork('resnet-18');
    planStages(schedule, { spec, ...resolveRecipe(trainer), examples: final.examples, threads: 1 });
    return { ...final, schedule };
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError(`${where}: final.schedule: ${cause.message}`, { cause });
  }
}

/** What would otherwise fail when the final trainings begin, or be of no use to some of their networks. */
function expectStagesOfAStudy(schedule: ScheduleChoice, { kind }: StudyConfig['trainer']): void {
  const stages = typeof schedule === 'string' ? [] : schedule.stages;
  for (const [index, stage] of stages.entries()) {
    const { threads, resolution = 1 } = stage;
    const place = `stages[${index}]`;
    if (threads !== undefined)
      throw new ConfigError(
        `${place}.threads: expected none in a study, whose trainings have a thread each (trainer.parallel)`,
      );
    if (resolution > 1)
      throw new ConfigError(
        `${place}.resolution: expected a share of the network's side in a study, whose networks differ in it, got ${resolution} pixels`,
      );
    const refusal = kind === 'tfjs' ? tfjsRefusal(stage) : undefined;
    if (refusal !== undefined) throw new ConfigError(`${place}.${refusal}`);
  }
}

/** What would otherwise be noticed hours later, when scaling begins. */
function checkRules(
  {
    targets,
    search,
    scale,
    final,
    budget,
    trainer,
  }: Pick<StudyConfig, 'targets' | 'search' | 'scale' | 'final' | 'budget' | 'trainer'>,
  where: string,
): void {
  const checked = (place: string, check: () => unknown) => {
    try {
      check();
    } catch (cause) {
      throw new ConfigError(`${where}: ${place}: ${(cause as Error).message}`, { cause });
    }
  };
  if (scale.rule !== 'per-size' && scale.rule !== 'single-triple') checked('scale.rule', () => parseRule(scale.rule));
  for (const [index, baseline] of final.baselines.entries())
    if ('rule' in baseline) checked(`final.baselines[${index}]`, () => parseRule(baseline.rule));
  checked('trainer', () => resolveRecipe(trainer));
  const { reserve = 0, ...split } = budget.split;
  const shares = split.search + split.scale + split.train + reserve;
  if (shares > 1 + 1e-9)
    throw new ConfigError(
      `${where}: budget.split: expected shares of at most 100 % in all, got ${Math.round(100 * shares)} %`,
    );
  if (budget.split.reserve !== undefined && budget.deviceHours === undefined)
    throw new ConfigError(`${where}: budget.split.reserve: expected budget.deviceHours that it is for, got none`);
  const batched = Object.keys(targets).find((name) => hasBatches(targets[name] as TargetConfig));
  if (batched !== undefined && search.reward !== 'product')
    throw new ConfigError(
      `${where}: search.reward: expected product, for ${search.reward} aims at the latency of a run and targets.${batched} compares latencies per example`,
    );
}

/** Sizes to deliver for every target. */
function familyOf(
  family: ParsedStudyFile['family'],
  targets: StudyConfig['targets'],
  where: string,
): StudyConfig['family'] {
  const names = Object.keys(targets);
  if (names.length === 0) throw new ConfigError(`${where}: targets: expected at least one target, got none`);
  for (const name of Object.keys(family ?? {}))
    if (!names.includes(name))
      throw new ConfigError(`${where}: family.${name}: expected one of the targets ${names.join(', ')}, got ${name}`);
  return Object.fromEntries(
    Object.entries(targets).map(([name, target]) => {
      const place = `${where}: family.${name}`;
      const sizes = sizesOf(family?.[name], place);
      checkSizes(sizes, target, place);
      return [name, sizes];
    }),
  );
}

function checkSizes(sizes: readonly Size[], target: TargetConfig, where: string): void {
  const absolute = sizes.find((size) => size.ms !== undefined);
  if (absolute && hasBatches(target))
    throw new ConfigError(
      `${where}: expected multiples such as 2x where batches are chosen, for latencies then compare per example while limits are of a run, got ${absolute.name}`,
    );
  const names = sizes.map((size) => size.name);
  if (new Set(names).size !== names.length)
    throw new ConfigError(`${where}: expected different sizes, got ${names.join(', ')}`);
  for (const size of sizes) {
    if (size.multiple !== undefined && size.multiple < 1)
      throw new ConfigError(`${where}: expected multiples of at least 1x (the base itself), got ${size.name}`);
    if (size.ms !== undefined && target.limit && size.ms > target.limit.ms)
      throw new ConfigError(`${where}: expected sizes within the limit of ${target.limit.ms} ms, got ${size.name}`);
  }
}
