import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { ConfigError } from '../../core/errors.ts';
import { digestJson, shortDigest } from '../../core/digest.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { heuristicNames, type HeuristicName, type ScheduleChoice } from '../../training/heuristic-schedules.ts';
import { planStages } from '../../training/stage-plan.ts';
import { growthKeys, type TrainingSchedule, trainingScheduleSchema } from '../../training/training-schedule.ts';
import { resolveRecipe, type TrainerConfig } from './recipe.ts';

/** A training schedule as people name it: a heuristic, the path of a file, or stages. */
export const scheduleReferenceSchema = z.union([
  z.string().refine((text) => isHeuristic(text) || isPath(text), { error: ({ input }) => expectedName(String(input)) }),
  trainingScheduleSchema,
]);

function isHeuristic(text: string): text is HeuristicName {
  return heuristicNames.some((name) => name === text);
}

function isPath(text: string): boolean {
  return /\.ya?ml$/.test(text);
}

function expectedName(got: string): string {
  return `expected ${heuristicNames.join(', ')} or a .yaml file with stages, got ${JSON.stringify(got)}`;
}

/**
 * The schedule that a name or a path stands for.
 * @param directory that a relative path starts from.
 * @throws {ConfigError} naming the file and each offending key.
 */
export function loadSchedule(reference: string | TrainingSchedule, directory: string): ScheduleChoice {
  if (typeof reference !== 'string') return reference;
  if (isHeuristic(reference)) return reference;
  if (!isPath(reference)) throw new ConfigError(expectedName(reference));
  return readScheduleFile(resolve(directory, reference));
}

/** What a schedule is called where it is spoken of: a heuristic's name, or `stages-` and a digest. */
export function scheduleName(choice: ScheduleChoice): string {
  return typeof choice === 'string' ? choice : `stages-${shortDigest(digestJson(choice.stages))}`;
}

/** A schedule in words, for people: what it is called, or what its stages change. */
export function describeSchedule(choice: ScheduleChoice): string {
  if (typeof choice === 'string') return choice;
  const whole = choice.stages.reduce((sum, { share }) => sum + share, 0);
  const stages = choice.stages.map(({ share, ...settings }) => {
    const changes = Object.entries(settings).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
    return `${Math.round((100 * share) / whole)} %${changes.length > 0 ? ` with ${changes.join(', ')}` : ''}`;
  });
  return `stages of ${stages.join('; ')}`;
}

/** How final networks are trained, as a study says it. */
interface FinalTraining {
  readonly final: { readonly schedule?: ScheduleChoice | undefined; readonly examples: number };
  readonly trainer: TrainerConfig;
}

/** Why a network cannot grow as the schedule of the final trainings has it; undefined where it can, or nothing grows. */
export function growthRefusal({ final, trainer }: FinalTraining, spec: NetworkSpec): string | undefined {
  const { schedule, examples } = final;
  const stages = schedule === undefined || typeof schedule === 'string' ? [] : schedule.stages;
  if (schedule === undefined || !stages.some((stage) => growthKeys.some((key) => (stage[key] ?? 1) < 1)))
    return undefined;
  try {
    planStages(schedule, { spec, ...resolveRecipe(trainer), examples, threads: 1 });
    return undefined;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return `final.schedule: ${error.message}`;
  }
}

/** @throws {ConfigError} naming the file and each offending key. */
export function readScheduleFile(path: string): TrainingSchedule {
  let data: unknown;
  try {
    data = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new ConfigError(`${path}: expected a training schedule in YAML: ${(cause as Error).message}`, { cause });
  }
  const parsed = trainingScheduleSchema.safeParse(data);
  if (!parsed.success) throw new ConfigError(`${path}: not a training schedule\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
