import { existsSync, mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify as toYaml } from 'yaml';
import { canonicalJson, digestJson, shortDigest } from '../../core/digest.ts';
import { ConfigError, InterruptedError } from '../../core/errors.ts';
import type { Choices } from '../../core/trial.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import type { DataSource, LoadOptions } from '../../data/source.ts';
import { type HostLockOptions, withHostLock } from '../../latency/host-lock.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import type { ObservedTrial } from '../../search/controller.ts';
import { type ControllerName, openController } from '../../search/controllers.ts';
import { expectProviders, trainInChild } from '../../training/isolate.ts';
import { planStages, type StagePlan } from '../../training/stage-plan.ts';
import { type StepCost, stepCost, type StepSetting } from '../../training/step-cost.ts';
import type { FoundSchedule, ScheduleStage, TrainingSchedule } from '../../training/training-schedule.ts';
import { Answers } from './answers.ts';
import type { StudyProgress } from '../context.ts';
import { type SchedulePair, schedulePair } from './found-schedules.ts';
import { takeLease } from '../journal/lease.ts';
import { describeData } from '../prepare.ts';
import { resolveRecipe, type TrainerConfig } from '../evaluation/recipe.ts';
import { fixedChoices, levelSchedule, scheduleIdentity, scheduleOfChoices, scheduleSpace } from './schedule-space.ts';

export interface ScheduleSearchRequest {
  /** A spec, or what {@link loadNetwork} takes: a built-in network is fitted to the data. */
  readonly network: NetworkSpec | string;
  readonly data: DataSource;
  /** Relative paths of `data` start here. */
  readonly baseDirectory: string;
  readonly trainer: TrainerConfig;
  /** Examples of every probe: a whole training, as short as still tells schedules apart. */
  readonly probeExamples: number;
  /** Schedules tried, training without one included. */
  readonly trials: number;
  /** Seeds of the best ones and of training without a schedule. */
  readonly seeds: number;
  readonly seed: number;
  readonly controller: ControllerName;
  /** Bytes that the process which trains may take, on the CPU; any amount when absent. */
  readonly memoryBytes?: number;
  /** Cores that a training may use. */
  readonly cores: number;
  /** The schedule's file. Until it is there the work is in a folder beside it that ends in `.part`, from which the same request goes on. */
  readonly file: string;
  /** Of the host's lock; the one all share when absent. */
  readonly lockDirectory?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
  /** Hears what a person should know of the data. */
  readonly onNotice?: LoadOptions['onNotice'];
}

/** A schedule and what it came to, over seeds. */
export interface TriedSchedule {
  readonly schedule: TrainingSchedule;
  /** What a training sees in the predicted time of a probe without a schedule. */
  readonly examples: number;
  /** Means over such trainings, on the hold-out. */
  readonly accuracy: number;
  readonly crossEntropy: number;
}

export interface ScheduleSearchResult {
  /** The one of the lowest cross-entropy at equal time, of those that are no less accurate than `fixed`; it may be `fixed`. */
  readonly best: TriedSchedule;
  readonly fixed: TriedSchedule;
  /** The last stage's settings throughout, of the finalist with stages that is best so; absent where none has several. */
  readonly level?: TriedSchedule;
  readonly seeds: number;
  readonly tried: number;
  /** Schedules that nothing came of: they need more memory than there is, or a training diverged. */
  readonly infeasible: number;
}

/** How long a setting's steps are timed: a machine that is shared has quiet moments. */
const timedS = 2;
/** Equal means of equal sums may differ by so much; one picture is far more. */
const roundingError = 1e-9;
/** The best of the search that are trained with more seeds before one is chosen. */
const finalists = 3;

/**
 * Searches a training schedule for a network on a device of this host, the trainer's provider: the one by which the network learns most in
 * the time that a probe takes without. Times are predicted from step times measured at every setting a schedule uses. Every schedule is
 * tried by a whole training on as many examples as fit into that time, and judged by its cross-entropy on the hold-out, which tells far
 * smaller differences apart than the accuracy of a few hundred pictures. The best three and training without a schedule are
 * trained with more seeds, and so are the last stage's settings throughout, of the best of them that has
 * several; what has the lowest mean cross-entropy is kept, of all that are no less accurate than training without.
 * Where memory is short, stages that need more than there is compute part of their forward pass again (`rematerialise`), which
 * costs time and changes no result.
 * @throws {AcceleratorUnavailableError} when this host does not offer the provider.
 * @throws {ConfigError} when the network does not fit the data, the file exists, or what lies in its `.part` is of another search.
 * @throws {InterruptedError} when aborted; the same request goes on.
 */
export async function searchSchedule(request: ScheduleSearchRequest): Promise<ScheduleSearchResult> {
  const { file, signal = new AbortController().signal, onProgress, onNotice } = request;
  const { provider = 'cpu' } = request.trainer;
  if (provider !== 'cpu' && request.memoryBytes !== undefined)
    throw new ConfigError(`--memory: expected none on ${provider}, whose own memory a process does not tell`);
  if (existsSync(file)) throw new ConfigError(`--out: expected a file that does not exist yet, got ${file}`);
  await expectProviders({ recipe: resolveRecipe(request.trainer).recipe });
  onProgress?.({ phase: 'prepare', text: 'preparing the data' });
  const dataset = await loadDataset(request.data, { baseDirectory: request.baseDirectory, signal, onNotice });
  const spec = fittedNetwork(request.network, dataset);
  const data = describeData(dataset, request.data);
  const folder = `${file}.part`;
  mkdirSync(folder, { recursive: true });
  const release = takeLease(folder);
  try {
    const dataFile = join(folder, 'data.bin');
    await writeDatasetFile(dataset, dataFile);
    const answers = new Answers(join(folder, 'answers.jsonl'), identityOf(request, spec, data.digest));
    const probes = new Probes({ request, spec, folder, dataFile, dataDigest: data.digest, answers, signal });
    const result = await search(request, probes);
    writeSchedule(file, withEvidence(result, { pair: schedulePair(spec, provider), data: data.name }));
    for (const name of ownNames) rmSync(join(folder, name), { force: true });
    return result;
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new InterruptedError(`interrupted; the same command goes on from ${folder}`, { cause: error });
  } finally {
    release();
    removeIfEmpty(folder);
  }
}

/** Files of a search under way; anything else in its folder is somebody's. */
const ownNames = ['data.bin', 'answers.jsonl', 'weights.safetensors', 'checkpoint.safetensors'];

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It is kept for what is in it.
  }
}

async function search(request: ScheduleSearchRequest, probes: Probes): Promise<ScheduleSearchResult> {
  const { seeds } = request;
  // Alone first: what follows needs it, and a memory too small for it is an error.
  const without = await probes.fixed();
  const { tried, infeasible } = await explore(request, probes);
  const likely = tried.toSorted(byCrossEntropy).slice(0, finalists);
  request.onProgress?.({ phase: 'confirm', text: `the best ${likely.length} and none, at equal time` });
  const fixed = await probes.inEqualTime(without, seeds);
  if (!fixed)
    throw new ConfigError('trainer: expected settings that train without a schedule, got a training that diverged');
  const finals: TriedSchedule[] = [];
  for (const { schedule } of likely) finals.push(...asList(await probes.inEqualTime(schedule, seeds)));
  const staged = bestOf(finals.filter(({ schedule }) => schedule.stages.length > 1));
  const level = staged && (await probes.inEqualTime(levelSchedule(staged.schedule), seeds));
  const contenders = [fixed, ...asList(level), ...finals];
  const best = bestOf(contenders.filter(({ accuracy }) => accuracy > fixed.accuracy - roundingError)) ?? fixed;
  return { best, fixed, ...(level && { level }), seeds, tried: tried.length + infeasible, infeasible };
}

function asList<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}

const byCrossEntropy = (a: TriedSchedule, b: TriedSchedule): number => a.crossEntropy - b.crossEntropy;

function bestOf(tried: readonly TriedSchedule[]): TriedSchedule | undefined {
  return tried.toSorted(byCrossEntropy)[0];
}

/** Tries what a controller proposes, one seed each. */
async function explore(
  request: ScheduleSearchRequest,
  probes: Probes,
): Promise<{ readonly tried: readonly TriedSchedule[]; readonly infeasible: number }> {
  const { trials, seed, controller: name, cores, onProgress } = request;
  const identity = (choices: Choices) => scheduleIdentity(choices, probes.end);
  const start = [{ ...fixedChoices, ...(cores > 1 && { threads: 1 }) }];
  const controller = openController(name, { space: scheduleSpace(cores), seed, start, trials, identity });
  const tried: TriedSchedule[] = [];
  let infeasible = 0;
  for (let trial = 0; trial < trials; trial++) {
    const [choices] = controller.suggest(1);
    if (choices === undefined) break;
    onProgress?.({ phase: 'search', text: `schedule ${trial + 1} of ${trials}${bestText(bestOf(tried))}` });
    const schedule = await probes.withinMemory(scheduleOfChoices(choices, probes.end));
    const answer = schedule && (await probes.inEqualTime(schedule, 1));
    if (answer) tried.push(answer);
    else infeasible++;
    controller.observe([observed(`s${trial}`, choices, { answer, request })]);
  }
  return { tried, infeasible };
}

const fixedSchedule: TrainingSchedule = { stages: [{ share: 1 }] };

function bestText(best: TriedSchedule | undefined): string {
  return best
    ? `; best so far ${(100 * best.accuracy).toFixed(1)} %, cross-entropy ${best.crossEntropy.toFixed(3)}`
    : '';
}

function observed(
  id: string,
  choices: Choices,
  { answer, request }: { readonly answer: TriedSchedule | undefined; readonly request: ScheduleSearchRequest },
): ObservedTrial {
  const known = { id, choices, fidelity: { examples: request.probeExamples, seed: request.seed } };
  // A tenth less is as good wherever it is.
  return answer
    ? { ...known, status: 'ok', reward: -Math.log(answer.crossEntropy) }
    : { ...known, status: 'infeasible' };
}

/** What a training came to. A type, for interfaces are no JSON. */
type Quality = { readonly accuracy: number; readonly crossEntropy: number };

interface ProbesOptions {
  readonly request: ScheduleSearchRequest;
  readonly spec: NetworkSpec;
  readonly folder: string;
  readonly dataFile: string;
  readonly dataDigest: string;
  readonly answers: Answers;
  readonly signal: AbortSignal;
}

/** Measures and trains what schedules are tried by, each once. */
class Probes {
  readonly end: ReturnType<typeof resolveRecipe>;
  readonly #options: ProbesOptions;

  constructor(options: ProbesOptions) {
    this.#options = options;
    this.end = resolveRecipe(options.request.trainer);
  }

  /** A schedule over so many seeds, each on as many examples as it sees while training without sees a probe's; undefined where one diverged. */
  async inEqualTime(schedule: TrainingSchedule, seeds: number): Promise<TriedSchedule | undefined> {
    const { probeExamples, seed } = this.#options.request;
    const share = (await this.#predictedS(await this.fixed())) / (await this.#predictedS(schedule));
    const examples = Math.round(probeExamples * share);
    const all = Array.from({ length: seeds }, (_, index) => seed + index);
    const quality = await this.#meanQuality(schedule, examples, all);
    return quality && { schedule, examples, ...quality };
  }

  /** Stages that need more memory than there is compute part of their forward pass again; undefined where that is not enough. */
  async withinMemory(schedule: TrainingSchedule): Promise<TrainingSchedule | undefined> {
    const { memoryBytes = Infinity, probeExamples } = this.#options.request;
    if (memoryBytes === Infinity) return schedule;
    const fits = async (stage: ScheduleStage): Promise<boolean> => {
      const costs = this.#plansOf({ stages: [stage] }, probeExamples).map((plan) => this.#cost(plan));
      return (await Promise.all(costs)).every(({ peakRssBytes }) => peakRssBytes <= memoryBytes);
    };
    const stages: ScheduleStage[] = [];
    for (const stage of schedule.stages) {
      const kept = (await fits(stage)) ? stage : { ...stage, rematerialise: true };
      if (kept !== stage && !(await fits(kept))) return undefined;
      stages.push(kept);
    }
    return { stages };
  }

  /**
   * Training without a schedule, within memory.
   * @throws {ConfigError} when it is not.
   */
  async fixed(): Promise<TrainingSchedule> {
    const fixed = await this.withinMemory(fixedSchedule);
    if (fixed === undefined) throw new ConfigError('--memory: expected enough to train without a schedule');
    return fixed;
  }

  /** Step times of a probe, added up. */
  async #predictedS(schedule: TrainingSchedule): Promise<number> {
    let seconds = 0;
    for (const plan of this.#plansOf(schedule, this.#options.request.probeExamples))
      seconds += (plan.updates * (await this.#cost(plan)).stepMs) / 1000;
    return seconds;
  }

  async #meanQuality(
    schedule: TrainingSchedule,
    examples: number,
    seeds: readonly number[],
  ): Promise<Quality | undefined> {
    let [accuracy, crossEntropy] = [0, 0];
    for (const seed of seeds) {
      const quality = await this.#quality(schedule, examples, seed);
      if (quality === null) return undefined;
      accuracy += quality.accuracy / seeds.length;
      crossEntropy += quality.crossEntropy / seeds.length;
    }
    return { accuracy, crossEntropy };
  }

  /** Of one training on the hold-out; null where it diverged, which overfitting can look worse than. */
  #quality(schedule: TrainingSchedule, examples: number, seed: number): Promise<Quality | null> {
    const { answers, request, spec, folder, dataFile, dataDigest, signal } = this.#options;
    const { recipe, augmentation } = this.end;
    const id = `quality ${shortDigest(digestJson(schedule))} ${examples} ${seed}`;
    return answers.once<Quality | null>(id, async () => {
      const checkpoint = join(folder, 'checkpoint.safetensors');
      const result = await withHostLock(
        'shared',
        () =>
          trainInChild({
            spec,
            data: { file: dataFile, augmentation, scoredSplit: 'holdout' },
            recipe,
            fidelity: { examples, seed },
            schedule,
            threads: 1,
            weightsFile: join(folder, 'weights.safetensors'),
            checkpoint: { file: checkpoint, dataDigest, onMisfit: 'start-over' },
            signal,
            onProgress: ({ examples: seen, loss, remainingS }) =>
              request.onProgress?.({
                phase: 'probe',
                text: `${seen}/${examples} examples, loss ${loss.toFixed(2)}, this one ends in ${Math.round(remainingS)} s`,
              }),
          }),
        this.#lock,
      );
      rmSync(checkpoint, { force: true });
      if (result.status === 'diverged') return null;
      const { accuracy, crossEntropy } = result.metrics;
      if (accuracy === undefined || crossEntropy === undefined)
        throw new Error('expected accuracy and cross-entropy of a classifier');
      return { accuracy, crossEntropy };
    });
  }

  #cost({ spec, recipe, threads, optimization }: StagePlan<NetworkSpec>): Promise<StepCost> {
    const { answers, signal } = this.#options;
    const setting: StepSetting = { spec, recipe, threads, ...(optimization && { optimization }) };
    // The rate and what is smoothed change no step's time.
    const { batchSize, microBatches, rematerialise, provider, optimizer } = recipe;
    const id = `step ${shortDigest(digestJson({ spec, batchSize, microBatches, rematerialise, provider, optimizer, threads, optimization }))}`;
    return answers.once<{ stepMs: number; peakRssBytes: number }>(id, () =>
      withHostLock('exclusive', () => stepCost({ setting, seconds: timedS }, signal), this.#lock),
    );
  }

  get #lock(): HostLockOptions {
    const { signal, request } = this.#options;
    return { signal, ...(request.lockDirectory !== undefined && { directory: request.lockDirectory }) };
  }

  #plansOf(schedule: TrainingSchedule, examples: number): readonly StagePlan<NetworkSpec>[] {
    return planStages(schedule, { spec: this.#options.spec, ...this.end, examples, threads: 1 });
  }
}

function fittedNetwork(
  network: NetworkSpec | string,
  { name, classNames, channels, height, width }: Awaited<ReturnType<typeof loadDataset>>,
): NetworkSpec {
  const classes = classNames.length;
  const nativeResolution = Math.min(height, width);
  const spec =
    typeof network === 'string' ? loadNetwork(network, { data: { classes, channels, nativeResolution } }) : network;
  if (spec.classes !== classes || spec.input.channels !== channels)
    throw new ConfigError(
      `spec: expected ${classes} classes and ${channels} channels as in ${name}, got ${spec.classes} and ${spec.input.channels}`,
    );
  return spec;
}

/** What decides the answers; another number of trials or seeds only asks for more of them. */
function identityOf({ trainer }: ScheduleSearchRequest, spec: NetworkSpec, data: string): string {
  return canonicalJson({
    spec: digestJson(spec),
    data,
    trainer: digestJson(trainer),
    device: schedulePair(spec, trainer.provider).device,
  });
}

function withEvidence(
  { best, fixed, seeds, tried }: ScheduleSearchResult,
  { pair, data }: { readonly pair: SchedulePair; readonly data: string },
): TrainingSchedule {
  const found: FoundSchedule = {
    ...pair,
    data,
    tried,
    examples: { scheduled: best.examples, fixed: fixed.examples },
    accuracy: { scheduled: best.accuracy, fixed: fixed.accuracy, seeds },
    crossEntropy: { scheduled: best.crossEntropy, fixed: fixed.crossEntropy },
  };
  return { ...best.schedule, found };
}

function writeSchedule(file: string, schedule: TrainingSchedule): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.tmp`, toYaml(schedule));
  renameSync(`${file}.tmp`, file);
}
