import { z } from 'zod';
import { deviceProfiles } from '../accelerators/profiles.ts';
import { argumentsSchema, type Command, commandsSchema, findCommand } from '../commands/declaration.ts';
import { bytesSchema, countSchema, durationSchema } from '../core/units.ts';
import { dataSourceSchema } from '../data/source.ts';
import { latencySchema } from '../latency/latency.ts';
import { protocolPresets } from '../latency/protocol.ts';
import type { RunSetting } from '../latency/setting.ts';
import { controllerNames } from '../search/controllers.ts';
import { builtInSpaceNames } from '../search/spaces.ts';
import { type TableConfig, tableSchema, tabularSpaceNames } from '../search/table.ts';
import type { ScheduleChoice } from '../training/heuristic-schedules.ts';
import { variantPrecisions } from './deliver/quantize.ts';
import { type TrainerConfig, trainerSchema } from './evaluation/recipe.ts';
import { scheduleReferenceSchema } from './evaluation/training-schedule.ts';
import { familySchema, limitSchema, type Size } from './sizes.ts';

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

/** A file as it was parsed, nothing looked up. */
export type ParsedStudyFile = z.output<typeof studyFileSchema>;

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
export type ParsedTarget = ParsedStudyFile['targets'][string];
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

/** Training examples of each rung of a search, ascending; the last is what its candidates are judged by. */
export function rungsOf({ examples }: Pick<StudyConfig['search'], 'examples'>): readonly number[] {
  return typeof examples === 'number' ? [examples] : examples;
}

/** What a candidate has seen when the search judges it: the examples of its last rung. */
export function topExamples(search: Pick<StudyConfig['search'], 'examples'>): number {
  return rungsOf(search).at(-1) ?? 0;
}

/**
 * How many networks a search trains with how many examples, about: those that its rungs let on, and finalists with other seeds.
 * A base that is given is trained once.
 */
export function searchTrainings({
  base,
  search,
}: {
  readonly base?: string | undefined;
  readonly search: Pick<StudyConfig['search'], 'examples' | 'trials' | 'finalists' | 'seeds'>;
}): readonly { readonly networks: number; readonly examples: number }[] {
  if (base !== undefined) return [{ networks: 1, examples: topExamples(search) }];
  const rungs = rungsOf(search);
  let networks = search.trials;
  return rungs.map((examples, rung) => {
    const before = networks;
    if (rung > 0)
      networks = Math.min(before, Math.max(search.finalists, Math.floor((before * (rungs[rung - 1] ?? 0)) / examples)));
    const again = rung === rungs.length - 1 ? Math.min(networks, search.finalists) * (search.seeds - 1) : 0;
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

/** Whether networks of a target may run at different batches, so that their latencies compare per example. */
export function hasBatches({ settings = [] }: Pick<TargetConfig, 'settings'>): boolean {
  return new Set(settings.map(({ batch }) => batch)).size > 1;
}

/** Whether a device is a profile, so that its latency is predicted. */
export function isProfile(device: string): boolean {
  return /\.ya?ml$/i.test(device) || deviceProfiles.has(device);
}
