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
import { precisionRefusal } from '../latency/file-precision.ts';
import { latencySchema, type Percentile } from '../latency/latency.ts';
import { protocolPresets } from '../latency/protocol.ts';
import { parseRule } from '../scaling/rules.ts';
import { controllerNames } from '../search/controllers.ts';
import { builtInSpaceNames } from '../search/spaces.ts';
import { isTabularSpace, type TableConfig, tableSchema, tabularSpaceNames } from '../search/table.ts';
import { resolveRecipe, type TrainerConfig, trainerSchema } from './recipe.ts';

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
export type Size = z.output<typeof sizeSchema>;

/** A command by its name in `commands`, or the arguments of one that is declared where it is used. */
const commandReferenceSchema = z.union(
  [z.string(), argumentsSchema],
  'expected the name of a command or its arguments',
);

const targetSchema = z.strictObject({
  /** Accelerator id or device profile, as `ridgepoint accelerators` lists them, the path of a profile (`.yaml`), or `command:<name>`. */
  device: z.string().optional(),
  /** Instead of `device`: a program of the user's own that measures. */
  command: commandReferenceSchema.optional(),
  batch: z.int().positive().default(1),
  threads: z.int().positive().max(256).default(1),
  /** Others than fp32 are for commands and profiles. */
  precision: latencySchema.shape.precision.default('fp32'),
  /** Of a device that is measured: its profile, an id or a path. What it predicts far above the limit is not measured. */
  profile: z.string().optional(),
  /** Lets a limit be judged by a profile that was never calibrated. */
  allow: z.literal('predicted').optional(),
  /** Hard upper limit on every network delivered for this target. */
  limit: limitSchema.optional(),
  /** Weights plus peak activations of one inference batch. */
  memory: bytesSchema.optional(),
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
  /** Training examples a candidate sees. */
  examples: countSchema.default(6000),
  /** How accuracy and latency become one number (docs/methods.md); all but `product` need a limit or absolute sizes. */
  reward: z.enum(['product', 'hard-capped', 'absolute', 'one-sided']).default('product'),
  /** Best candidates that are trained again with other seeds before the base is chosen. */
  finalists: z.int().min(1).max(20).default(3),
  seeds: z.int().min(1).max(10).default(2),
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
});

const finalSchema = z.strictObject({
  /** Training examples of a delivered network. Under `budget.time` decided from what the budget leaves. */
  examples: countSchema.default(20_000),
  seeds: z.int().min(1).max(20).default(2),
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
  family: z.record(z.string(), z.array(sizeSchema).min(1)).optional(),
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
      split: z
        .strictObject({ search: shareSchema, scale: shareSchema, train: shareSchema })
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
export interface StudyConfig extends Omit<ParsedStudyFile, 'family' | 'targets' | 'trainer'> {
  readonly targets: Readonly<Record<string, TargetConfig>>;
  readonly trainer: TrainerConfig;
  /** Known results, instead. */
  readonly table?: TableConfig;
  /** The user's own program that trains, instead. */
  readonly trainerCommand?: TrainerCommand;
  readonly family: Readonly<Record<string, readonly Size[]>>;
  /** Folder that relative paths of the file start from. */
  readonly baseDirectory: string;
}
/** A target whose device is known: that of a command is `command:<name>`. */
export type TargetConfig = Omit<ParsedStudyFile['targets'][string], 'device' | 'command'> & { readonly device: string };
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
  const { family, ...file } = nameCommands(parsed.data, where, options);
  checkRules(file, where);
  const targets = Object.keys(file.targets);
  if (targets.length === 0) throw new ConfigError(`${where}: targets: expected at least one target, got none`);
  for (const name of Object.keys(family ?? {}))
    if (!targets.includes(name))
      throw new ConfigError(`${where}: family.${name}: expected one of the targets ${targets.join(', ')}, got ${name}`);
  const everySize = ['1x', '2x', '4x'].map((text) => sizeSchema.parse(text));
  const sizes = Object.fromEntries(targets.map((name) => [name, family?.[name] ?? everySize]));
  for (const name of targets)
    checkSizes(sizes[name] ?? [], file.targets[name] as TargetConfig, `${where}: family.${name}`);
  return { ...file, family: sizes, baseDirectory: dirname(resolve(where)) };
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
    const { device, command, precision, profile, allow } = target;
    const place = `targets.${name}`;
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
      if (!elsewhere && trainer.table === undefined) checkProvider(device as string, precision, `${where}: ${place}`);
    } else if (profile !== undefined)
      throw new ConfigError(`${where}: ${place}.profile: expected none, for ${device} is a profile, got ${profile}`);
    return device as string;
  };
  const named: Record<string, TargetConfig> = {};
  for (const [name, target] of Object.entries(targets)) {
    const { command: _command, ...rest } = target;
    named[name] = { ...rest, device: deviceOf(name, target) };
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
  const known = table === undefined ? {} : { table };
  return { ...file, targets: named, trainer: recipe, ...known, ...trainerCommand, commands };
}

/** Whether a device is a profile, so that its latency is predicted. */
export function isProfile(device: string): boolean {
  return /\.ya?ml$/i.test(device) || deviceProfiles.has(device);
}

function checkProvider(device: string, precision: TargetConfig['precision'], place: string): void {
  if (!providerIds.some((id) => id === device))
    throw new ConfigError(
      `${place}.device: expected a provider (${providerIds.join(', ')}), command:<name>, a profile (${[...deviceProfiles.keys()].join(', ')}) or the path of one (.yaml), got ${JSON.stringify(device)}`,
    );
  if (precision !== 'fp32') throw new ConfigError(`${place}.precision: ${precisionRefusal(device, 'fp32', precision)}`);
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
  const { search, scale: scaling, train } = budget.split;
  if (search + scaling + train > 1 + 1e-9)
    throw new ConfigError(
      `${where}: budget.split: expected shares of at most 100 % in all, got ${Math.round(100 * (search + scaling + train))} %`,
    );
}

function checkSizes(sizes: readonly Size[], target: TargetConfig, where: string): void {
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
