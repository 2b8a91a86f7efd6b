import { stringify as toYaml } from 'yaml';
import { ConfigError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import type { DatasetOutline } from '../data/dataset.ts';
import { outlineDataset } from '../data/load.ts';
import type { LoadOptions } from '../data/source.ts';
import { trainingFlopsPerMac } from '../models/counts.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { decode, sampleChoices, spaceSize } from '../search/space.ts';
import { divisionOutlook } from './train/allocate-phase.ts';
import { hoursText } from './budget.ts';
import { countSpec } from './evaluation/evaluate.ts';
import { finalMacsPerExample } from './train/final-training.ts';
import { growthRefusal } from './evaluation/training-schedule.ts';
import { openProfiles } from './evaluation/profiles.ts';
import { givenNetwork, studySpace } from './search/search-phase.ts';
import { type PlannedPhase, plannedTrainings } from './planned-trainings.ts';
import { portableStudy, type StudyConfig } from './study-file.ts';

type PhasePlan = { readonly networks: number; readonly examples: number; readonly flops: number };

/** What a study would do, without doing it. */
export interface StudyPlan {
  readonly config: ReturnType<typeof portableStudy>;
  /** Null where the base is given, so that nothing is searched. */
  readonly spaceSize: string | null;
  /** Median over 64 candidates drawn at random, or the given base. */
  readonly candidate: { readonly params: number; readonly macs: number };
  /**
   * Networks trained, and examples each of them sees, by phase; an upper bound where candidates fall to a limit first. Of a search over
   * several rungs the examples are the mean.
   */
  readonly trainings: Readonly<Record<PlannedPhase, PhasePlan>>;
  readonly flops: number;
  /** How the budget of the final trainings will be divided; null without one. */
  readonly division: string | null;
}

/** Who hears what a person should know of the data. */
export type PlanOptions = Pick<LoadOptions, 'onNotice'>;

const drawn = 64;

/** The resolved study, the size of its space and what it costs in training. @throws {ConfigError} when the data cannot be read. */
export async function planStudy(config: StudyConfig, options: PlanOptions = {}): Promise<StudyPlan> {
  await openProfiles(config);
  const outline = await outlineDataset(config.data, {
    baseDirectory: config.baseDirectory,
    onNotice: options.onNotice,
  });
  const { spaceSize, networks } = await candidatesOf(config, outline);
  const counts = networks.map(countSpec);
  const candidate = {
    params: median(counts.map(({ params }) => params)),
    macs: median(counts.map(({ macs }) => macs)),
  };
  const planned = plannedTrainings(config);
  const macsGrowth = median(
    growable(config, networks).map((spec) => finalMacsPerExample(config, spec) / countSpec(spec).macs),
  );
  const macs = { search: candidate.macs, scale: candidate.macs, train: candidate.macs * macsGrowth };
  const planOf = (phase: PlannedPhase): PhasePlan => {
    const networks = planned[phase].reduce((total, part) => total + part.networks, 0);
    const examples = planned[phase].reduce((total, part) => total + part.networks * part.examples, 0);
    const work = planned[phase].reduce((total, part) => total + part.cost * part.examples, 0);
    return { networks, examples: Math.round(examples / networks), flops: work * macs[phase] * trainingFlopsPerMac };
  };
  const trainings = { search: planOf('search'), scale: planOf('scale'), train: planOf('train') };
  return {
    config: portableStudy(config),
    spaceSize,
    candidate,
    trainings,
    flops: Object.values(trainings).reduce((sum, { flops }) => sum + flops, 0),
    division: divisionOutlook(config),
  };
}

/** Networks that stand for those to come. */
async function candidatesOf(
  config: StudyConfig,
  outline: DatasetOutline,
): Promise<{ readonly spaceSize: string | null; readonly networks: readonly NetworkSpec[] }> {
  if (config.base !== undefined) return { spaceSize: null, networks: [givenNetwork(config, config.base, outline)] };
  const space = await studySpace(config, outline);
  const networks = Array.from({ length: drawn }, (_, index) =>
    decode(space, sampleChoices(space, new Random(config.seed).child('plan', index))),
  );
  return { spaceSize: spaceSize(space).toString(), networks };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Those that the final trainings can grow; the others are infeasible. @throws {ConfigError} when there are none. */
function growable(config: StudyConfig, networks: readonly NetworkSpec[]): readonly NetworkSpec[] {
  const refusals = networks.map((spec) => growthRefusal(config, spec));
  if (refusals.every((refusal) => refusal !== undefined))
    throw new ConfigError(`none of ${drawn} networks drawn at random can be trained: ${refusals[0]}`);
  return networks.filter((_, index) => refusals[index] === undefined);
}

/** {@link planStudy} as text, or as JSON. */
export async function describePlan(
  config: StudyConfig,
  { json, ...options }: PlanOptions & { readonly json: boolean },
): Promise<string> {
  const plan = await planStudy(config, options);
  if (json) return JSON.stringify({ schema: 1, ...plan });
  const flopsOf = (examples: number) => examples * plan.candidate.macs * trainingFlopsPerMac;
  const { search, ...later } = plan.trainings;
  // Of a rung, how many go on is not bounded: promotion is asynchronous.
  const rungs = plannedTrainings(config).search.map(({ networks, examples }, rung) => ({
    bound: rung === 0 ? 'up to' : 'about',
    networks,
    examples,
    flops: networks * flopsOf(examples),
  }));
  const rows = [
    ...(rungs.length === 1 ? [{ bound: 'up to', ...search }] : rungs).map((part) => ['search', part] as const),
    ...Object.entries(later).map(([phase, part]) => [phase, { bound: 'up to', ...part }] as const),
  ].map(
    ([phase, { bound, networks, examples, flops }]) =>
      `  ${phase.padEnd(7)} ${bound} ${String(networks).padStart(4)} training${networks === 1 ? '' : 's'} of ${examples} examples   ${flops.toExponential(1)} FLOPs`,
  );
  const { time, deviceHours, flops } = config.budget;
  const budgets = [
    ...(time === undefined ? [] : [`${time / 1e3} s of wall time`]),
    ...(deviceHours === undefined ? [] : [`${hoursText(deviceHours)} device hours`]),
    ...(flops === undefined ? [] : [`${flops.toExponential(1)} training FLOPs`]),
  ];
  return [
    toYaml(plan.config).trimEnd(),
    '---',
    `${plan.spaceSize === null ? `base: ${plan.config.base}` : `space: ${plan.spaceSize} networks; a typical one`} has ${plan.candidate.params} parameters and ${plan.candidate.macs} multiply-adds`,
    ...rows,
    `in all ${plan.flops.toExponential(1)} training FLOPs${budgets.length === 0 ? '' : `; search and scaling are cut, and the final examples chosen, to fit ${budgets.join(' and ')}`}`,
    ...(plan.division === null ? [] : [plan.division]),
  ].join('\n');
}
