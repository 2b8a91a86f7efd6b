import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Factory, type FactoryScaling, openFactory } from '../commands/factory.ts';
import { writeTrainingData } from '../commands/training-data.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { canonicalJson, type Json } from '../core/digest.ts';
import { ConfigError, InfeasibleModelError, InterruptedError, UnreachableLimitError } from '../core/errors.ts';
import { readDatasetFile } from '../data/cache.ts';
import { withHostLock } from '../latency/host-lock.ts';
import type { Latency } from '../latency/latency.ts';
import { keepsLimit } from '../latency/setting.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { realisedKey, realisedMultipliers } from '../scaling/apply.ts';
import { blankBase } from '../scaling/blank-base.ts';
import type { ScalingConstraints, ScalingObservation } from '../scaling/candidates.ts';
import { axes } from '../scaling/elasticity.ts';
import { latencyDesign } from '../scaling/latency-design.ts';
import { identity, type Multipliers } from '../scaling/multipliers.ts';
import { bandFloor, proposeScalings } from '../scaling/optimizer.ts';
import { FolderArtefacts } from './artefacts.ts';
import type { DataDescription, LatencyMeter, StudyProgress } from './context.ts';
import { environmentOf } from './environment.ts';
import { deliveredLatencyId, memberFolder, verificationTolerance, VerificationError } from './deliver/deliver-phase.ts';
import { latencyId, mayMeetLimit, patientMeter } from './evaluation/evaluate.ts';
import type { FactoryFile } from './factory-file.ts';
import { writeFactoryResults } from './factory-results.ts';
import {
  factoryJournal,
  type FactoryMember,
  type FactorySummary,
  type FactoryTargetFamily,
  familyId,
  journalled,
  type TriedScaling,
} from './factory-summary.ts';
import { Journal } from './journal/journal.ts';
import { takeLease } from './journal/lease.ts';
import { openLatencyMeter } from './evaluation/meter.ts';
import { openProfiles, rememberProfiles } from './evaluation/profiles.ts';
import { overSeeds } from './deliver/over-seeds.ts';
import { prepareData } from './prepare.ts';
import { StudyRecord } from './journal/record.ts';
import { type Score, type ScoredSplit, scoreFile } from './evaluation/score.ts';
import type { Size } from './sizes.ts';
import type { StudyConfig, TargetConfig } from './study-file.ts';
import { measureIfAble } from './evaluation/target-settings.ts';

/** Scalings whose latency is measured before any is proposed, the base included. */
const designPoints = 8;

export interface ScaleFactoryOptions {
  /** Where the family, the journal and the programs' states lie. */
  readonly folder: string;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
  /** Hears what a person should know of the data. */
  readonly onNotice?: (text: string) => void;
  /** Instead of measuring here. */
  readonly makeMeter?: () => LatencyMeter;
}

/**
 * Latency-aware scaling of a base that a user's own programs write and train (docs/commands.md): for each size of each target's
 * family scalings are asked for, measured as files, trained where they fit; the best of each size is trained fully, over
 * seeds, and delivered as a file that was scored here. What is built and trained for one target serves the others. Killing the
 * process loses nothing that `scaling.jsonl` holds; the report is written from that alone.
 * @param config a study's settings; `targets`, `scale`, `final`, `family`, `data` and `seed` are what is used of it.
 * @throws {ConfigError} when the folder holds another scaling, or the networks do not fit the data.
 * @throws {UnreachableLimitError} when the base is above its size or the limit. @throws {CommandError} when a program fails.
 * @throws {VerificationError} when a file does not reach the accuracy that the trainer reported.
 * @throws {InterruptedError} when aborted; the same call goes on later.
 */
export async function scaleFactory(
  config: StudyConfig,
  declared: FactoryFile,
  options: ScaleFactoryOptions,
): Promise<FactorySummary> {
  const {
    folder,
    clock = systemClock,
    signal = new AbortController().signal,
    onProgress,
    onNotice,
    makeMeter,
  } = options;
  const profiles = await openProfiles(config);
  const release = takeLease(folder);
  const journal = new Journal(join(folder, factoryJournal), clock);
  const meter = patientMeter(makeMeter?.() ?? openLatencyMeter(config, signal, { clock }), signal, clock);
  try {
    const record = new StudyRecord(journal);
    expectSame(record, folder, { ...asked(config), base: declared.portable });
    await open(record, config);
    rememberProfiles(record, profiles);
    onProgress?.({ phase: 'prepare', text: 'preparing the data' });
    const data = await prepareData(config, folder, record, { signal, onNotice });
    const home = resolve(folder, 'trainings');
    mkdirSync(home, { recursive: true });
    const factory = openFactory({ ...declared, study: config.study, folder: home, clock });
    const { onThisHost } = await factory.describe(signal);
    const artefacts = new FolderArtefacts(resolve(folder, 'artefacts'));
    const context = { config, declared, folder, record, data, factory, onThisHost, artefacts, meter, clock, signal };
    const shared = {
      ...context,
      home,
      accuracies: new Map(),
      tried: new Set<string>(),
      onProgress: onProgress ?? (() => {}),
    };
    const scalings = Object.entries(config.targets).map((target) => new FactoryScalings(shared, target));
    // A base that is above its limit on one target ends it before anything is trained for another.
    for (const one of scalings) await one.begin();
    for (const one of scalings) await one.run();
    record.append({ type: 'study', id: config.study, action: 'closed' });
    await journal.durable();
    return writeFactoryResults(folder, [...record.events]);
  } catch (error) {
    if (signal.aborted && !(error instanceof InterruptedError))
      throw new InterruptedError('interrupted; everything finished so far is kept', { cause: error });
    throw error;
  } finally {
    await journal.durable().catch(() => {});
    await meter.close();
    await journal.close();
    release();
  }
}

/** Proposals that measure above their size teach and are cheap; so many rounds may end so. */
const roundsPerTrial = 9;

/** What results depend on, as far as the study file says it. */
function asked({ seed, data, targets, family, scale, final }: StudyConfig): Record<string, Json> {
  const plain = JSON.parse(JSON.stringify({ seed, data, targets, family, scale, final })) as Record<string, Json>;
  return plain;
}

function expectSame(record: StudyRecord, folder: string, request: Json): void {
  const known = record.decision('scaling');
  if (known !== undefined && canonicalJson(known) !== canonicalJson(request))
    throw new ConfigError(
      `${folder}: expected to go on with the scaling that was begun there, got another; give it another --name, or delete the folder to start over`,
    );
  record.decideAgain('scaling', request, 'as asked for');
}

/** Says in the journal whose scaling it is and what it runs on, and that it is opened. */
async function open(record: StudyRecord, { study: id }: StudyConfig): Promise<void> {
  if (![...record.events].some((event) => event.type === 'study' && event.action === 'created'))
    record.append({ type: 'study', id, action: 'created', environment: await environmentOf() });
  record.append({ type: 'study', id, action: 'opened' });
}

interface FactoryContext {
  readonly config: StudyConfig;
  readonly declared: FactoryFile;
  readonly folder: string;
  /** Of the programs' states. */
  readonly home: string;
  readonly record: StudyRecord;
  readonly data: DataDescription;
  readonly factory: Factory;
  readonly onThisHost: boolean;
  readonly artefacts: FolderArtefacts;
  readonly meter: LatencyMeter;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Accuracies at the fidelity of scaling, by scaling: no target's own. */
  readonly accuracies: Map<string, number>;
  /** Scalings that were to be trained, those that diverged among them, by key. */
  readonly tried: Set<string>;
  readonly onProgress: (progress: StudyProgress) => void;
}

/** A scaling that the factory has written. */
interface Candidate {
  readonly key: string;
  readonly multipliers: Multipliers;
  readonly scaling: FactoryScaling;
  /** Of the untrained file. */
  readonly digest: string;
  readonly latency: Latency;
}

/** By the digest of the trained file, and its accuracy on the hold-out. */
type Trained = { readonly accuracy: number; readonly digest: string };

/** A file's digest, or why there is none. */
type FileOrReason = { readonly digest: string } | { readonly reason: string };

interface SizeTarget {
  readonly size: Size;
  readonly targetMs: number;
}

/** The scalings of a factory's base for one target. */
class FactoryScalings {
  readonly #context: FactoryContext;
  readonly #targetName: string;
  readonly #target: TargetConfig;
  readonly #base;
  readonly #constraints: ScalingConstraints;
  readonly #candidates = new Map<string, Candidate>();
  /** Networks that the factory or the target does not have. */
  readonly #refused: Multipliers[] = [];
  #begun: { readonly base: Candidate; readonly sizes: readonly SizeTarget[] } | undefined;

  constructor(context: FactoryContext, target: readonly [name: string, TargetConfig]) {
    const { declared, data } = context;
    this.#context = context;
    [this.#targetName, this.#target] = target;
    this.#base = blankBase(declared.resolution);
    const native = Math.min(data.width, data.height);
    if (declared.resolution > native)
      throw new ConfigError(`factory.resolution: expected at most the data's ${native} px, got ${declared.resolution}`);
    this.#constraints = { maxResolution: native, resolutionMultiple: declared.resolutionMultiple };
  }

  /** Measures the base. @throws {UnreachableLimitError} when it is above its size or the limit. */
  async begin(): Promise<{ readonly base: Candidate; readonly sizes: readonly SizeTarget[] }> {
    if (this.#begun) return this.#begun;
    const base = await this.#candidate(identity);
    if (!base) throw new ConfigError('expected the factory to write its base, got a network that cannot be had');
    this.#begun = { base, sizes: this.#sizes(base) };
    return this.#begun;
  }

  /** Scales, trains and delivers, and decides on the family. */
  async run(): Promise<void> {
    const { base, sizes } = await this.begin();
    await this.#learnLatency(base, sizes);
    await this.#trainProposals(sizes.filter((size) => !isBase(size)));
    const members: FactoryMember[] = [];
    const unserved: string[] = [];
    for (const size of sizes) {
      const chosen = isBase(size) ? base : this.#bestWithin(size.targetMs);
      if (chosen) members.push(await this.#deliver(size, chosen));
      else unserved.push(size.size.name);
    }
    const { record } = this.#context;
    const target = this.#targetName;
    const baseMs = base.latency.p50Ms;
    const family: FactoryTargetFamily = { target, baseMs, members, unserved, scalings: this.#tried() };
    record.decideAgain(familyId(target), journalled(family), 'the most accurate within each size');
  }

  #tried(): readonly TriedScaling[] {
    const { accuracies } = this.#context;
    const measured = [...this.#candidates.values()].map(({ key, multipliers, scaling: { resolution }, latency }) => ({
      multipliers,
      resolution,
      p50Ms: latency.p50Ms,
      accuracy: accuracies.get(key) ?? null,
    }));
    const refused = this.#refused.map((multipliers) => ({
      multipliers,
      resolution: this.#resolutionOf(multipliers),
      p50Ms: null,
      accuracy: null,
    }));
    return [...measured, ...refused];
  }

  #resolutionOf({ resolution }: Multipliers): number {
    return Math.round(this.#context.declared.resolution * resolution);
  }

  #sizes(base: Candidate): readonly SizeTarget[] {
    const { config } = this.#context;
    const baseMs = base.latency.p50Ms;
    const sizes = (config.family[this.#targetName] ?? []).map((size) => ({
      size,
      targetMs: size.ms ?? baseMs * (size.multiple ?? 1),
    }));
    const { limit } = this.#target;
    const below = sizes.find((size) => !isBase(size) && size.targetMs < baseMs);
    if (below || (limit && !mayMeetLimit(base.latency, limit)))
      throw new UnreachableLimitError(
        `expected a base within ${below ? `${below.size.name} (${below.targetMs.toPrecision(3)} ms)` : `the limit of ${limit?.ms} ms`}, got one of ${baseMs.toPrecision(3)} ms`,
      );
    return sizes;
  }

  /** Measures how latency grows along each axis, as far as the largest size. */
  async #learnLatency(base: Candidate, sizes: readonly SizeTarget[]): Promise<void> {
    const largest = Math.max(...sizes.map(({ targetMs }) => targetMs));
    if (sizes.every(isBase)) return;
    const ratio = largest / base.latency.p50Ms;
    for (const { realised, spec } of latencyDesign(this.#base, this.#constraints, ratio, designPoints))
      if (this.#mayExist(spec)) await this.#candidate(realised);
  }

  async #trainProposals(grown: readonly SizeTarget[]): Promise<void> {
    const { scale, seed } = this.#context.config;
    const tried = new Map(grown.map(({ size }) => [size.name, new Set<string>()]));
    const exhausted = new Set<string>();
    // Proposals that measure above their size are not trained and do not count: rounds are bounded instead.
    for (let round = 0; round < roundsPerTrial * scale.trials; round++) {
      const open = grown.filter(
        ({ size }) => (tried.get(size.name)?.size ?? 0) < scale.trials && !exhausted.has(size.name),
      );
      if (open.length === 0) return;
      const problem = {
        base: this.#base,
        sizes: open.map(({ size, targetMs }) => ({ name: size.name, targetMs })),
        observations: this.#observations(),
        constraints: { ...this.#constraints, admits: (spec: NetworkSpec) => this.#mayExist(spec) },
        count: Math.min(scale.round, scale.trials),
        seed: seed + round,
      };
      for (const { size, status, proposals } of proposeScalings(problem)) {
        if (status === 'exhausted') exhausted.add(size.name);
        for (const { realised } of proposals) {
          const candidate = await this.#candidate(realised);
          if (!candidate || !this.#fits(candidate, size.targetMs)) continue;
          const result = await this.#train(candidate, scale.examples, seed, `${size.name} scaling`);
          if (result) this.#context.accuracies.set(candidate.key, result.accuracy);
          this.#context.tried.add(candidate.key);
          tried.get(size.name)?.add(candidate.key);
        }
      }
    }
  }

  /** What is nowhere smaller than a network that was refused would be refused, too: such limits are of size. */
  #mayExist(spec: NetworkSpec): boolean {
    const wanted = realisedMultipliers(this.#base, spec);
    return !this.#refused.some((refused) => axes.every((axis) => wanted[axis] >= refused[axis] - 1e-9));
  }

  #observations(): readonly ScalingObservation[] {
    return [...this.#candidates.values()].map(({ key, multipliers, latency }) => {
      const accuracy = this.#context.accuracies.get(key);
      const tried = this.#context.tried.has(key) || !this.#isWithinLimit(latency);
      return { multipliers, latencyMs: latency.p50Ms, tried, ...(accuracy === undefined ? {} : { accuracy }) };
    });
  }

  /** The most accurate of those trained that use a size's latency; where none does, of those below. */
  #bestWithin(targetMs: number): Candidate | undefined {
    const { accuracies } = this.#context;
    const fitting = this.#trainedWithin(targetMs).toSorted(
      (a, b) => (accuracies.get(b.key) ?? 0) - (accuracies.get(a.key) ?? 0),
    );
    return fitting.find(({ latency }) => latency.p50Ms >= bandFloor * targetMs) ?? fitting[0];
  }

  #trainedWithin(targetMs: number): readonly Candidate[] {
    const { accuracies } = this.#context;
    return [...this.#candidates.values()].filter(
      (candidate) => accuracies.has(candidate.key) && this.#fits(candidate, targetMs),
    );
  }

  #fits({ latency }: Candidate, targetMs: number): boolean {
    return latency.p50Ms <= targetMs && this.#isWithinLimit(latency);
  }

  #isWithinLimit(latency: Latency): boolean {
    const { limit } = this.#target;
    return !limit || mayMeetLimit(latency, limit);
  }

  /** A scaling, written by the factory and measured; undefined where the factory or the target has none. */
  async #candidate(multipliers: Multipliers): Promise<Candidate | undefined> {
    const { record, artefacts, config, data, factory, signal } = this.#context;
    const key = realisedKey(multipliers);
    const known = this.#candidates.get(key);
    if (known) return known;
    const resolution = this.#resolutionOf(multipliers);
    const scaling = { multipliers, resolution, channels: data.channels, classes: data.classNames.length };
    this.#tell('scale', `${textOf(multipliers)}: building`);
    const built = await record.decideOnce<FileOrReason>(`network ${key}`, async () => {
      const answer = await factory.build(scaling, signal);
      if (answer.status === 'infeasible') return { value: { reason: answer.reason }, because: 'the factory says so' };
      return { value: { digest: await artefacts.put(answer.onnx) }, because: 'the factory wrote it' };
    });
    if (!('digest' in built)) return this.#refuse(multipliers);
    const { digest } = built;
    if (!(await artefacts.isIntact(digest)))
      throw new ConfigError(
        `${artefacts.path(digest)}: expected the network that the factory wrote, got none; delete the folder to start over`,
      );
    const isOfBase = key === realisedKey(identity);
    this.#tell('scale', `${textOf(multipliers)}: measuring`);
    try {
      const latency = await measureIfAble(this.#context, latencyId(this.#targetName, digest), this.#targetName, () =>
        this.#measure(digest, isOfBase ? 'thorough' : config.latency),
      );
      const candidate = { key, multipliers, scaling, digest, latency };
      this.#candidates.set(key, candidate);
      return candidate;
    } catch (error) {
      if (error instanceof InfeasibleModelError) return this.#refuse(multipliers);
      throw error;
    }
  }

  #refuse(multipliers: Multipliers): undefined {
    this.#refused.push(multipliers);
    return undefined;
  }

  #measure(digest: string, protocol: 'quick' | 'thorough'): Promise<Latency> {
    const { meter, artefacts } = this.#context;
    return meter.measureFile(artefacts.path(digest), this.#target, null, protocol);
  }

  /** Undefined where training diverged, or the network turned out to be none. */
  async #train(candidate: Candidate, examples: number, seed: number, what: string): Promise<Trained | undefined> {
    const { record, artefacts, data, factory, onThisHost, signal } = this.#context;
    const id = `${candidate.key.replaceAll(' ', '-')}-${examples}-s${seed}`;
    const { digest, scaling } = candidate;
    const trained = await record.decideOnce<Trained | { readonly reason: string }>(`trained ${id}`, async () => {
      const training = {
        id,
        scaling,
        model: { onnx: artefacts.path(digest), digest },
        data: await this.#trainingData(scaling.resolution),
        examples,
        seed,
        signal,
        onEvent: (event: { t: string; examples?: number | undefined }) =>
          this.#tell('train', `${what}, ${textOf(candidate.multipliers)}: ${event.examples ?? 0}/${examples} examples`),
      };
      this.#tell('train', `${what}, ${textOf(candidate.multipliers)}: 0/${examples} examples`);
      const train = () => factory.train(training);
      const answer = onThisHost ? await withHostLock('shared', train, { signal }) : await train();
      if (answer.status === 'infeasible') return { value: { reason: answer.reason }, because: 'the trainer says so' };
      const file = await artefacts.put(answer.onnx);
      const score = await this.#score(file, 'holdout');
      const reported = answer.result.metrics.accuracy.value;
      if (!(Math.abs(score.accuracy - reported) <= verificationTolerance(score.examples)))
        throw new VerificationError(
          `${id}: expected the trained file to reach the ${(100 * reported).toFixed(2)} % that its trainer reported on the hold-out of ${data.name}, got ${(100 * score.accuracy).toFixed(2)} %`,
        );
      return { value: { accuracy: score.accuracy, digest: file }, because: 'the file, scored in a fresh process' };
    });
    return 'accuracy' in trained ? trained : undefined;
  }

  async #score(digest: string, split: ScoredSplit): Promise<Score> {
    const { artefacts, data, signal } = this.#context;
    const modelFile = artefacts.path(digest);
    return (await scoreFile({ modelFile, dataFile: data.file, splits: [split] }, signal))[split];
  }

  async #trainingData(side: number) {
    const { home, data } = this.#context;
    const file = join(home, `data-${side}.bin`);
    if (!existsSync(file)) await writeTrainingData(await readDatasetFile(data.file), side, file);
    const { digest, name, classNames, mean, std } = data;
    return { file, digest, name, classNames: [...classNames], mean: [...mean], std: [...std] };
  }

  async #deliver({ size, targetMs }: SizeTarget, candidate: Candidate): Promise<FactoryMember> {
    const { config, record, folder, artefacts } = this.#context;
    const { examples, seeds } = config.final;
    const runs: (Trained & { readonly seed: number; readonly test: number })[] = [];
    for (let seed = config.seed; seed < config.seed + seeds; seed++) {
      const trained = await this.#train(candidate, examples, seed, size.name);
      if (!trained) continue;
      const { accuracy: test } = await record.decideOnce(`test ${trained.digest}`, async () => ({
        value: { ...(await this.#score(trained.digest, 'test')) },
        because: 'the test split, read at delivery only',
      }));
      runs.push({ ...trained, seed, test });
    }
    const [first] = runs;
    if (!first) throw new ConfigError(`${size.name}: expected a training that ends, got ${seeds} that diverged`);
    const best = runs.reduce((a, b) => (b.accuracy > a.accuracy ? b : a), first);
    this.#tell('deliver', `${size.name}: measuring`);
    const id = deliveredLatencyId(this.#targetName, best.digest);
    const latency = await record.measureOnce(id, this.#targetName, () => this.#measure(best.digest, 'thorough'));
    const file = join(memberFolder({ target: this.#targetName, size: size.name }), 'model.onnx');
    const path = join(folder, file);
    mkdirSync(join(path, '..'), { recursive: true });
    copyFileSync(artefacts.path(best.digest), `${path}.part`);
    renameSync(`${path}.part`, path);
    const { limit } = this.#target;
    return {
      size: size.name,
      targetMs,
      multipliers: candidate.multipliers,
      resolution: candidate.scaling.resolution,
      file,
      digest: best.digest,
      seed: best.seed,
      holdoutAccuracy: overSeeds(runs.map(({ accuracy }) => accuracy)),
      testAccuracy: overSeeds(runs.map(({ test }) => test)),
      latency,
      limitMet: limit ? keepsLimit(latency, limit) : null,
      trained: isBase({ size, targetMs }) ? 0 : this.#trainedWithin(targetMs).length,
    };
  }

  #tell(phase: string, text: string): void {
    this.#context.onProgress({ phase, text });
  }
}

function isBase({ size }: SizeTarget): boolean {
  return size.multiple === 1;
}

function textOf({ depth, width, resolution }: Multipliers): string {
  return `${depth.toFixed(2)} · ${width.toFixed(2)} · ${resolution.toFixed(2)}`;
}
