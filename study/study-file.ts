import { readFileSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { deviceProfiles } from '../accelerators/profiles.ts';
import {
  acceleratorOf,
  argumentsSchema,
  type Command,
  commandNameOf,
  commandsSchema,
  findCommand,
} from '../commands/declaration.ts';
import { ConfigError } from '../core/errors.ts';
import { bytesSchema, countSchema, durationSchema, parseDurationMs } from '../core/units.ts';
import { dataSourceSchema } from '../data/source.ts';
import { exportedPrecisions, precisionRefusal } from '../latency/file-precision.ts';
import { latencySchema, type Percentile } from '../latency/latency.ts';
import { protocolPresets } from '../latency/protocol.ts';
import { type RunSetting, settingsOf } from '../latency/setting.ts';
import { loadNetwork } from '../scaling/built-in-networks.ts';
import { parseRule } from '../scaling/rules.ts';
import { controllerNames } from '../search/controllers.ts';
import { builtInSpaceNames } from '../search/spaces.ts';
import { isTabularSpace, type TableConfig, tableSchema, tabularSpaceNames } from '../search/table.ts';
import { isFactoryFile } from './factory-file.ts';
import { loadSchedule, scheduleReferenceSchema } from './evaluation/training-schedule.ts';
import type { ScheduleChoice } from '../training/heuristic-schedules.ts';
import { tfjsRefusal } from '../training/tfjs/refusal.ts';
import { planStages } from '../training/stage-plan.ts';
import { variantPrecisions } from './deliver/quantize.ts';
import { resolveRecipe, type TrainerConfig, trainerSchema } from './evaluation/recipe.ts';

/** `p50 < 2ms` */
export const limitSchema = z.string().transform((text, context) => {
  const match = /^\s*p(50|90|99)\s*<=?\s*(\S+)\s*$/.exec(text);
  if (!match) {
    context.addIssue({ code: 'custom', message: `expected a limit such as "p50 < 2ms", got ${JSON.stringify(text)}` });
    return z.NEVER;
  }
  try {
    return { percentile: Number(match[1]) as Percentile, ms: parseDurationMs(match[2] as string) };
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});
export type Limit = z.output<typeof limitSchema>;

/** `2x` (multiple of the base's latency) or `1.5ms` (absolute). */
const sizeSchema = z.string().transform((text, context) => {
  const multiple = /^\s*([\d.]+)\s*x\s*$/.exec(text);
  if (multiple && Number(multiple[1]) > 0) return { name: text.trim(), multiple: Number(multiple[1]) };
  try {
    return { name: text.trim(), ms: parseDurationMs(text) };
  } catch {
    context.addIssue({
      code: 'custom',
      message: `expected a multiple such as 2x or a latency such as 1.5ms, got ${JSON.stringify(text)}`,
    });
    return z.NEVER;
  }
});
/** A latency to deliver a network for: a multiple of the base's, or milliseconds. */
export interface Size {
  readonly name: string;
  readonly multiple?: number | undefined;
  readonly ms?: number | undefined;
  /** Of a family spread over a range: how many share it. The size says where to look; members are chosen together. */
  readonly among?: number | undefined;
}

/** Sizes by name, or so many spread over a range. */
const familySchema = z.union(
  [
    z.array(sizeSchema).min(1),
    z.strictObject({ members: z.int().min(2).max(50), from: sizeSchema.prefault('1x'), to: sizeSchema }),
  ],
  'expected a list of sizes such as [1x, 2x] or a range such as {members: 5, from: 1x, to: 8x}',
);

/** Sizes evenly spread in ln latency over a range, both ends included. */
function sizesOf(family: z.output<typeof familySchema>, where: string): readonly Size[] {
  if (Array.isArray(family)) return family;
  const { members, from, to } = family;
  const unit = from.multiple === undefined ? 'ms' : 'multiple';
  const [first, last] = [from[unit], to[unit]];
  if (first === undefined || last === undefined)
    throw new ConfigError(
      `${where}: expected multiples at both ends or latencies at both, got ${from.name} to ${to.name}`,
    );
  if (first >= last) throw new ConfigError(`${where}: expected from below to, got ${from.name} to ${to.name}`);
  return Array.from({ length: members }, (_, index) => ({
    name: `${index + 1}-of-${members}`,
    [unit]: index === members - 1 ? last : first * (last / first) ** (index / (members - 1)),
    among: members,
  }));
}

/** A command by its name in `commands`, or the arguments of one that is declared where it is used. */
const commandReferenceSchema = z.union(
  [z.string(), argumentsSchema],
  'expected the name of a command or its arguments',
);

/** A value, or a list of different ones. */
function oneOrSeveral<Value extends z.ZodType>(value: Value, expected: string) {
  const several = z
    .array(value)
    .min(1)
    .refine((list) => new Set(list).size === list.length, 'expected different values');
  return z.union([value, several], `expected ${expected}, or a list of different ones`);
}

const targetSchema = z.strictObject({
  /** Accelerator id or device profile, as `ridgepoint accelerators` lists them, the path of a profile (`.yaml`), or `command:<name>`. */
  device: z.string().optional(),
  /** Instead of `device`: a program of the user's own that measures. */
  command: commandReferenceSchema.optional(),
  /** Examples in one run; a list lets each network run at the one that suits it (docs/concepts.md, Setting). */
  batch: oneOrSeveral(z.int().positive(), 'a number of examples').default(1),
  threads: z.int().positive().max(256).default(1),
  /** Providers run fp32 and fp16, commands and profiles also others; a list as with `batch`. */
  precision: oneOrSeveral(latencySchema.shape.precision, 'fp32, fp16, bf16 or int8').default('fp32'),
  /** Of a device that is measured: its profile, an id or a path. What it predicts far above the limit is not measured. */
  profile: z.string().optional(),
  /** Lets a limit be judged by a profile that was never calibrated. */
  allow: z.literal('predicted').optional(),
  /** Hard upper limit on every network delivered for this target. */
  limit: limitSchema.optional(),
  /** Weights plus peak activations of one inference batch. */
  memory: bytesSchema.optional(),
});

/** One amount of training examples, or several: the rungs of successive halving, each at least twice the one before. */
const rungsSchema = z
  .union(
    [countSchema, z.array(countSchema)],
    'expected an amount such as 6000, or a list of rungs such as [2000, 6000, 18000]',
  )
  .transform((amounts, context) => {
    if (typeof amounts === 'number') return amounts;
    const [only, ...others] = amounts;
    if (only !== undefined && others.length === 0) return only;
    if (amounts.length > 0 && others.every((examples, index) => examples >= 2 * (amounts[index] ?? 0))) return amounts;
    context.addIssue({
      code: 'custom',
      message: `expected rungs that each take at least twice the examples of the one before, such as [2000, 6000, 18000], got ${amounts.length === 0 ? 'none' : amounts.join(', ')}`,
    });
    return z.NEVER;
  });

const searchSchema = z.strictObject({
  /** A built-in space, or the path of a space in YAML (`.yaml`, `.yml`). */
  space: z
    .union([
      z.enum(builtInSpaceNames),
      z.enum(tabularSpaceNames),
      z
        .string()
        .regex(/\.ya?ml$/, `expected ${[...builtInSpaceNames, ...tabularSpaceNames].join(', ')} or a .yaml file`),
    ])
    .default('efficientnet-x'),
  /** Size of a built-in space's networks; chosen from the data's native resolution when left out. */
  scale: z.enum(['tiny', 'small', 'full']).optional(),
  /** How candidates are proposed; none needs tuning (docs/methods.md). */
  controller: z.enum(controllerNames).default(controllerNames[0]),
  /** Candidates that are tried, infeasible ones counted. Under `budget.time` an upper bound. */
  trials: z.int().min(1).max(100_000).default(16),
  /** Candidates proposed at once; more use more workers, fewer learn sooner. */
  round: z.int().min(1).max(1000).default(4),
  /** Training examples a candidate sees; a list of rungs when the promising ones go on to more (successive halving). */
  examples: rungsSchema.default(6000),
  /** How accuracy and latency become one number (docs/methods.md); all but `product` need a limit or absolute sizes. */
  reward: z.enum(['product', 'hard-capped', 'absolute', 'one-sided']).default('product'),
  /** How one base is chosen for several targets: the least bad for the worst off, or the best on average. */
  across: z.enum(['least-regret', 'mean']).default('least-regret'),
  /** Best candidates that are trained again with other seeds before the base is chosen. */
  finalists: z.int().min(1).max(20).default(3),
  seeds: z.int().min(1).max(10).default(2),
  /** Folders of earlier studies, `runs/<study>`, that this one starts from; data, devices and fidelities may be others. */
  warmStart: z.array(z.string().min(1)).min(1).optional(),
});

const scaleSchema = z.strictObject({
  /** `per-size` lets each size have its own triple; `single-triple` uses one (α, β, γ)^φ; a rule such as `1.2/1.1/1.15` or `dWr` fixes it. */
  rule: z.string().default('per-size'),
  /** Scalings tried for each size. Under `budget.time` an upper bound. */
  trials: z.int().min(1).max(1000).default(4),
  round: z.int().min(1).max(100).default(2),
  examples: countSchema.default(6000),
  /** Best scalings of each size that are trained fully, over seeds, before one is chosen. */
  finalists: z.int().min(1).max(10).default(2),
  /** Seeds that the likely finalists are trained with before they are chosen. */
  seeds: z.int().min(1).max(10).default(2),
});

const finalSchema = z.strictObject({
  /** Training examples of a delivered network. Under a budget decided, size by size, from what it leaves. */
  examples: countSchema.default(20_000),
  seeds: z.int().min(1).max(20).default(2),
  /** How settings change in the course of a final training: a heuristic, the path of a file with stages, or stages. */
  schedule: scheduleReferenceSchema.optional(),
  baselines: z
    .array(
      z.union([
        z.strictObject({ rule: z.string() }),
        z.strictObject({
          /** Path of a classifier whose classes are in the data's order. */
          onnx: z.string(),
          /** Normalisation it expects, per channel of pixels scaled to [0, 1]; the data's own when left out. */
          mean: z.array(z.number()).optional(),
          std: z.array(z.number().positive()).optional(),
        }),
      ]),
    )
    .default([{ rule: '1.2/1.1/1.15' }]),
  /** Precisions that delivered networks are given in as well, turned into them without training; scored and measured beside the delivered file. */
  variants: z
    .array(z.enum(variantPrecisions))
    .min(1)
    .refine((list) => new Set(list).size === list.length, 'expected different precisions')
    .optional(),
});

/** A share written as a percentage, `40%`, or as a number from 0 to 1. */
const shareSchema = z.union([
  z.number().min(0).max(1),
  z
    .string()
    .regex(/^[\d.]+\s*%$/, 'expected a share such as 40% or 0.4')
    .transform((text) => Number.parseFloat(text) / 100),
]);

/** What a person writes; `z.toJSONSchema` of it is the reference printed by `ridgepoint schema`. */
export const studyFileSchema = z.strictObject({
  /** Names the folder `runs/<study>`. */
  study: z.string().regex(/^[A-Za-z0-9][\w.-]{0,99}$/, 'expected a name of letters, digits, ".", "_" and "-"'),
  seed: z.int().nonnegative().default(0),
  data: dataSourceSchema.prefault('rendered'),
  targets: z
    .record(
      z.string().regex(/^[A-Za-z0-9][\w.-]*$/, 'expected a target name of letters, digits, ".", "_" and "-"'),
      targetSchema,
    )
    .default({ cpu: { device: 'cpu', batch: 1, threads: 1, precision: 'fp32' } }),
  /** Programs of the user's own, by name. They are used from this file only: no journal and no queue carries them. */
  commands: commandsSchema.default({}),
  /** A built-in network, or the path of a network spec in YAML, that is scaled as it is; nothing is searched then. */
  base: z.string().optional(),
  search: searchSchema.prefault({}),
  /** Sizes to deliver, by target; every target gets 1x, 2x and 4x when left out. */
  family: z.record(z.string(), familySchema).optional(),
  scale: scaleSchema.prefault({}),
  final: finalSchema.prefault({}),
  trainer: trainerSchema
    .extend({
      /** A program of the user's own that trains; beside it only `params` and `parallel` have a meaning. */
      command: commandReferenceSchema.optional(),
      /** Handed to the command as they are. */
      params: z.record(z.string(), z.json()).optional(),
      /** Instead of training: results that are known already, for `ridgepoint replay`. */
      table: tableSchema.optional(),
    })
    .prefault({}),
  /** How latency is measured while searching; delivered files always get the thorough protocol. */
  latency: z.enum(protocolPresets).default('quick'),
  budget: z
    .strictObject({
      /** Wall time of the whole job, resumed sessions added up. */
      time: durationSchema.optional(),
      /** Hours that training slots and measured devices may be busy in all, failures counted. Whichever budget ends first. */
      deviceHours: z.number().positive().optional(),
      /** FLOPs of all trainings, 6 a multiply-add and example: search, scaling and final. */
      flops: z.number().positive().optional(),
      split: z
        .strictObject({
          search: shareSchema,
          scale: shareSchema,
          train: shareSchema,
          /** Of the device hours, kept for delivery. */
          reserve: shareSchema.optional(),
        })
        .default({ search: 0.4, scale: 0.2, train: 0.4 }),
    })
    .prefault({}),
  failures: z
    .strictObject({
      /** Stop when this many evaluations failed and none has succeeded. */
      stopAfterFirst: z.int().min(1).default(5),
      /** Stop when more than this share of evaluations failed. */
      maxShare: shareSchema.default(0.2),
    })
    .prefault({}),
});

type ParsedStudyFile = z.output<typeof studyFileSchema>;

/** A checked study file with every default filled in: what a study runs on and what its journal records. */
export interface StudyConfig extends Omit<ParsedStudyFile, 'family' | 'final' | 'targets' | 'trainer'> {
  readonly targets: Readonly<Record<string, TargetConfig>>;
  readonly trainer: TrainerConfig;
  /** With the schedule as it is, not where it lies. */
  readonly final: Omit<ParsedStudyFile['final'], 'schedule'> & { readonly schedule?: ScheduleChoice };
  /** Known results, instead. */
  readonly table?: TableConfig;
  /** The user's own program that trains, instead. */
  readonly trainerCommand?: TrainerCommand;
  readonly family: Readonly<Record<string, readonly Size[]>>;
  /** Folder that relative paths of the file start from. */
  readonly baseDirectory: string;
}
type ParsedTarget = ParsedStudyFile['targets'][string];
/** A target whose device is known: that of a command is `command:<name>`. */
export type TargetConfig = Omit<ParsedTarget, 'device' | 'command' | 'batch' | 'precision'> &
  RunSetting & {
    readonly device: string;
    /** What each network's batch and precision are chosen from; absent where there is nothing to choose. */
    readonly settings?: readonly RunSetting[];
  };
/** A training program by its name, and what it is handed. */
export interface TrainerCommand {
  readonly name: string;
  readonly params: Readonly<Record<string, z.core.util.JSONType>>;
}

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

/** @param where names the source in errors; relative paths in it start from its folder. */
export function resolveStudy(data: unknown, where: string, options: StudyFileOptions = {}): StudyConfig {
  const parsed = studyFileSchema.safeParse(data);
  if (!parsed.success) throw new ConfigError(`${where}: not a study file\n${z.prettifyError(parsed.error)}`);
  const { family, final, ...named } = nameCommands(parsed.data, where, options);
  const file = { ...named, final: withSchedule(final, named, where) };
  checkRules(file, where);
  if (file.base !== undefined && isFactoryFile(resolve(dirname(resolve(where)), file.base)))
    throw new ConfigError(
      `${where}: base: expected a network, got a factory, whose networks are known by their files alone; "ridgepoint scale ${file.base}" scales them`,
    );
  const targets = Object.keys(file.targets);
  if (targets.length === 0) throw new ConfigError(`${where}: targets: expected at least one target, got none`);
  for (const name of Object.keys(family ?? {}))
    if (!targets.includes(name))
      throw new ConfigError(`${where}: family.${name}: expected one of the targets ${targets.join(', ')}, got ${name}`);
  const everySize = ['1x', '2x', '4x'].map((text) => sizeSchema.parse(text));
  const sizes = Object.fromEntries(
    targets.map((name) => [name, sizesOf(family?.[name] ?? everySize, `${where}: family.${name}`)]),
  );
  for (const name of targets)
    checkSizes(sizes[name] ?? [], file.targets[name] as TargetConfig, `${where}: family.${name}`);
  const batched = targets.find((name) => hasBatches(file.targets[name] as TargetConfig));
  if (batched !== undefined && file.search.reward !== 'product')
    throw new ConfigError(
      `${where}: search.reward: expected product, for ${file.search.reward} aims at the latency of a run and targets.${batched} compares latencies per example`,
    );
  return { ...file, family: sizes, baseDirectory: dirname(resolve(where)) };
}

/** Training examples of each rung of a search, ascending; the last is what its candidates are judged by. */
export function rungsOf({ examples }: Pick<StudyConfig['search'], 'examples'>): readonly number[] {
  return typeof examples === 'number' ? [examples] : examples;
}

/** What a candidate has seen when the search judges it: the examples of its last rung. */
export function topExamples(search: Pick<StudyConfig['search'], 'examples'>): number {
  return rungsOf(search).at(-1) ?? 0;
}

/** How many networks a search trains with how many examples, about: those that its rungs let on, and finalists with other seeds. */
export function searchTrainings(
  search: Pick<StudyConfig['search'], 'examples' | 'trials' | 'finalists' | 'seeds'>,
): readonly { readonly networks: number; readonly examples: number }[] {
  const rungs = rungsOf(search);
  let networks = search.trials;
  return rungs.map((examples, rung) => {
    const before = networks;
    if (rung > 0)
      networks = Math.min(before, Math.max(search.finalists, Math.floor((before * (rungs[rung - 1] ?? 0)) / examples)));
    const again = rung === rungs.length - 1 ? search.finalists * (search.seeds - 1) : 0;
    return { networks: networks + again, examples };
  });
}

/** A study as it may be kept and shown: without where its file lies on this machine, and without anything to execute. */
export function portableStudy({
  baseDirectory: _machineSpecific,
  commands: _executable,
  ...portable
}: StudyConfig): Omit<StudyConfig, 'baseDirectory' | 'commands'> {
  return portable;
}

/** A study's command by name. @throws {ConfigError} when its file declares none of that name. */
export function studyCommand(
  { commands, baseDirectory }: Pick<StudyConfig, 'commands' | 'baseDirectory'>,
  name: string,
): Command {
  return findCommand(commands, name, { where: 'commands', directory: baseDirectory });
}

/** Commands that are declared where they are used get the name of their place; from here on they are names. */
function nameCommands(
  { targets, trainer, ...file }: ParsedStudyFile,
  where: string,
  { elsewhere = false }: StudyFileOptions,
) {
  const commands = { ...file.commands };
  const nameOf = (reference: string | string[], place: string, inline: string): string => {
    if (Array.isArray(reference)) {
      if (Object.hasOwn(commands, inline))
        throw new ConfigError(`${where}: ${place}: expected the name of a command, for there is one called ${inline}`);
      commands[inline] = { command: reference, limits: {} };
    }
    const name = Array.isArray(reference) ? inline : reference;
    if (!elsewhere) findCommand(commands, name, { where: `${where}: ${place}`, directory: '' });
    return name;
  };
  const deviceOf = (name: string, target: ParsedStudyFile['targets'][string]): string => {
    const { device, command, profile, allow } = target;
    const place = `targets.${name}`;
    if (profile !== undefined && (Array.isArray(target.batch) || Array.isArray(target.precision)))
      throw new ConfigError(
        `${where}: ${place}.profile: expected none beside a list of batches or precisions, which are measured before one is chosen, got ${profile}`,
      );
    if ((device === undefined) === (command === undefined))
      throw new ConfigError(
        `${where}: ${place}: expected either a device or a command, got ${device ? 'both' : 'neither'}`,
      );
    const named = device === undefined ? undefined : commandNameOf(device);
    if (allow !== undefined && profile === undefined && (device === undefined || !isProfile(device)))
      throw new ConfigError(`${where}: ${place}.allow: expected a profile that it is for, got none`);
    if (command !== undefined) return acceleratorOf(nameOf(command, `${place}.command`, name));
    if (named !== undefined) nameOf(named, `${place}.device`, name);
    else if (!isProfile(device as string)) {
      // What a worker offers, under whatever name, its own check judges; a replayed search measures nowhere.
      if (!elsewhere && trainer.table === undefined)
        checkProvider(device as string, [target.precision].flat(), `${where}: ${place}`);
    } else if (profile !== undefined)
      throw new ConfigError(`${where}: ${place}.profile: expected none, for ${device} is a profile, got ${profile}`);
    return device as string;
  };
  const named: Record<string, TargetConfig> = {};
  for (const [name, target] of Object.entries(targets)) {
    const { command: _command, batch, precision, ...rest } = target;
    const precisions = [precision].flat();
    if (precisions.length > 1 && precisions.includes('int8'))
      throw new ConfigError(
        `${where}: targets.${name}.precision: expected no int8 beside others, for one is chosen by latency alone and what int8 costs in accuracy is not known, got ${precisions.join(', ')}`,
      );
    const settings = settingsOf([batch].flat(), precisions);
    const [first] = settings;
    if (!first) throw new Error('lists have at least one value');
    if (settings.length > 1 && trainer.table !== undefined)
      throw new ConfigError(`${where}: targets.${name}: expected one batch and one precision beside trainer.table`);
    const choice = settings.length > 1 ? { settings } : {};
    named[name] = { ...rest, ...first, ...choice, device: deviceOf(name, target) };
  }
  const { command, params, table, ...recipe } = trainer;
  const unused = Object.keys(recipe).filter((key) => key !== 'parallel');
  if (command !== undefined && unused.length > 0)
    throw new ConfigError(
      `${where}: trainer: expected only params and parallel beside a command, got also ${unused.join(', ')}`,
    );
  if (command === undefined && params !== undefined)
    throw new ConfigError(`${where}: trainer.params: expected a command that they are for, got none`);
  const trainerCommand =
    command === undefined
      ? {}
      : { trainerCommand: { name: nameOf(command, 'trainer.command', 'trainer'), params: params ?? {} } };
  if ((table !== undefined) !== isTabularSpace(file.search.space))
    throw new ConfigError(
      `${where}: expected trainer.table with search.space ${tabularSpaceNames.join(' or ')}, and neither without the other`,
    );
  if (file.search.warmStart !== undefined && (table !== undefined || file.base !== undefined))
    throw new ConfigError(
      `${where}: search.warmStart: expected a search that trains, got ${table ? 'trainer.table, whose replays keep no journal' : 'a base, for which nothing is searched'}`,
    );
  const known = table === undefined ? {} : { table };
  return { ...file, targets: named, trainer: recipe, ...known, ...trainerCommand, commands };
}

/** Whether networks of a target may run at different batches, so that their latencies compare per example. */
export function hasBatches({ settings = [] }: Pick<TargetConfig, 'settings'>): boolean {
  return new Set(settings.map(({ batch }) => batch)).size > 1;
}

/** Whether a device is a profile, so that its latency is predicted. */
export function isProfile(device: string): boolean {
  return /\.ya?ml$/i.test(device) || deviceProfiles.has(device);
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
  { scale, final, budget, trainer }: Pick<StudyConfig, 'scale' | 'final' | 'budget' | 'trainer'>,
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
  const { search, scale: scaling, train, reserve = 0 } = budget.split;
  const shares = search + scaling + train + reserve;
  if (shares > 1 + 1e-9)
    throw new ConfigError(
      `${where}: budget.split: expected shares of at most 100 % in all, got ${Math.round(100 * shares)} %`,
    );
  if (budget.split.reserve !== undefined && budget.deviceHours === undefined)
    throw new ConfigError(`${where}: budget.split.reserve: expected budget.deviceHours that it is for, got none`);
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

/**
 * The latency a base may have on a target: the limit bounds the *largest* member, so a base that
 * is to be scaled by 4 has a quarter of it; with absolute sizes, the smallest of them.
 */
export function baseLimitMs(sizes: readonly Size[], limit: Limit | undefined): number | undefined {
  const multiples = sizes.map((size) => size.multiple ?? 1);
  const absolute = sizes.map((size) => size.ms).filter((ms) => ms !== undefined);
  const bounds = [...absolute, ...(limit ? [limit.ms / Math.max(...multiples)] : [])];
  return bounds.length > 0 ? Math.min(...bounds) : undefined;
}
