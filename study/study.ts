import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { stringify as toYaml } from 'yaml';
import { type Clock, systemClock } from '../core/clock.ts';
import { canonicalJson, digestJson, shortDigest } from '../core/digest.ts';
import { ConfigError, InterruptedError } from '../core/errors.ts';
import { Ledger } from '../latency/ledger.ts';
import type { Evaluator } from '../search/evaluator.ts';
import { allocate } from './train/allocate-phase.ts';
import { FolderArtefacts } from './artefacts.ts';
import { environmentOf } from './environment.ts';
import { commandEvaluator } from './evaluation/command-evaluator.ts';
import type { DataDescription, LatencyMeter, StudyContext, StudyProgress } from './context.ts';
import { checkUserModels, deliver } from './deliver/deliver-phase.ts';
import { remainingMs } from './estimate.ts';
import type { EventOf, JournalEvent } from './journal/events.ts';
import { Journal, journalEvents, journalPath } from './journal/journal.ts';
import { takeLease } from './journal/lease.ts';
import { LocalEvaluator, trialOfCheckpoint } from './evaluation/local-evaluator.ts';
import { patientMeter } from './evaluation/evaluate.ts';
import { openLatencyMeter } from './evaluation/meter.ts';
import { prepareData } from './prepare.ts';
import { openProfiles, rememberProfiles } from './evaluation/profiles.ts';
import { StudyRecord } from './journal/record.ts';
import { resolveRecipe } from './evaluation/recipe.ts';
import { hearRequests, type RequestAnswer, type StudyRequest, StudyRequests } from './requests.ts';
import { writeResults } from './deliver/results.ts';
import { scaleBase } from './scale/scale-phase.ts';
import { findBase, notTrainable } from './search/search-phase.ts';
import { portableStudy, type StudyConfig } from './study-file.ts';
import { deliverShared } from './deliver/shared-family.ts';
import { deliverVariants } from './deliver/variants.ts';
import { summarise } from './deliver/summarise.ts';
import type { StudySummary } from './deliver/summary.ts';
import { trainFamily } from './train/train-phase.ts';

export interface StudyOptions {
  /** Where the study lives, `runs/<study>` by convention. An existing one is resumed. */
  readonly folder: string;
  /** File of latencies shared with other studies, `runs/ledger.ndjson` by convention; without one everything is measured. */
  readonly ledger?: string;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: JournalEvent) => void;
  readonly onProgress?: (progress: StudyProgress) => void;
  /** Hears what a person should know, e.g. that something faster could not be used; no text twice. */
  readonly onNotice?: (text: string) => void;
  readonly clock?: Clock;
  /** Has others evaluate and measure, given how this machine measures. */
  readonly fleet?: (study: OpenStudy, here: LatencyMeter) => Promise<Pick<StudyContext, 'evaluator' | 'meter'>>;
  /** Instead of training on this machine. */
  readonly makeEvaluator?: (data: DataDescription, artefacts: FolderArtefacts) => Evaluator;
  /** Instead of measuring on this machine. */
  readonly makeMeter?: () => LatencyMeter;
}

/** A study that has been opened and whose data is there. */
export interface OpenStudy extends Pick<StudyContext, 'config' | 'data' | 'artefacts' | 'signal'> {
  /** Names this very study, wherever it is opened again: its name, and a digest of how its journal begins. */
  readonly key: string;
  /** Latencies that its journal holds. */
  readonly measured: () => number;
  readonly onNotice: (text: string) => void;
  /** Does what somebody asks of it; answered when the journal has it on disk. */
  readonly answer: (request: StudyRequest) => Promise<RequestAnswer>;
}

/** Within a study's folder: trainings under way. */
const checkpointsFolder = 'checkpoints';

/**
 * Runs a study to its end, or on from where its journal stops: search → scale → allocate → train →
 * deliver. Killing the process loses nothing the journal holds.
 * @throws {ConfigError} when the folder holds a study of another configuration.
 * @throws {InterruptedError} when aborted; the same call goes on later.
 */
export async function runStudy(config: StudyConfig, options: StudyOptions): Promise<StudySummary> {
  const { folder, clock = systemClock } = options;
  const cancelling = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, cancelling.signal]) : cancelling.signal;
  if (config.table) throw notTrainable(config.search.space);
  const profiles = await openProfiles(config);
  const release = takeLease(folder);
  let journal: Journal | undefined;
  let evaluator: Evaluator | undefined;
  let meter: LatencyMeter | undefined;
  let deafen: (() => Promise<void>) | undefined;
  try {
    forgetUnstarted(config, folder);
    journal = new Journal(journalPath(folder), clock);
    const written = journal;
    const hear = (event: JournalEvent): void => {
      options.onEvent?.(event);
      // Whoever keeps a result until it is safe hears of it once it is on disk; a disk that refuses ends the study.
      if (event.type !== 'outcome' && event.type !== 'measured') return;
      const tell = (): void => {
        if (event.type === 'outcome') evaluator?.journalled?.(event.id, event.attempt);
        else meter?.journalled?.(event.latency);
      };
      written.durable().then(tell, () => {});
    };
    const record = new StudyRecord(written, hear, (latency) => meter?.secondsOf?.(latency));
    await openRecord(record, config, folder);
    const requests = new StudyRequests(record, () => cancelling.abort());
    deafen = hearRequests(folder, requests, () => written.durable());
    rememberProfiles(record, profiles);
    options.onProgress?.({ phase: 'prepare', text: 'preparing the data' });
    const data = await prepareData(config, folder, record, { signal, onNotice: options.onNotice });
    const artefacts = new FolderArtefacts(join(folder, 'artefacts'));
    const ledger = options.ledger === undefined ? {} : { ledger: new Ledger(options.ledger) };
    meter = options.makeMeter?.() ?? openLatencyMeter(config, signal, { ...ledger, clock });
    if (options.fleet) {
      const { onNotice = () => {} } = options;
      const measured = (): number => record.measurements;
      const answer = async (request: StudyRequest): Promise<RequestAnswer> => {
        const answered = requests.answer(request);
        await written.durable();
        return answered;
      };
      const study = { key: studyKey(record), measured, config, data, artefacts, signal, onNotice, answer };
      ({ evaluator, meter } = await options.fleet(study, meter));
    } else {
      evaluator =
        options.makeEvaluator?.(data, artefacts) ??
        commandEvaluator(config, folder, data, artefacts) ??
        localEvaluator(config, folder, data, artefacts);
    }
    meter = patientMeter(meter, signal, clock);
    const context: StudyContext = {
      config,
      folder,
      data,
      record,
      evaluator,
      meter,
      profiles,
      artefacts,
      clock,
      signal,
      requests,
      onProgress: (progress) => options.onProgress?.({ ...progress, ...outlook(context) }),
      onNotice: toldOnce(options.onNotice),
    };
    await checkUserModels(context);
    await runPhases(context);
    record.append({ type: 'study', id: config.study, action: 'closed' });
    await written.durable();
    // Those of trials that were given up: nothing will go on from them.
    forgetTrainings(record, join(folder, checkpointsFolder));
    evaluator.concluded?.();
    const events = [...record.events];
    const summary = summarise(events);
    await writeResults(folder, config, events, summary);
    return summary;
  } catch (error) {
    if (signal.aborted || error instanceof InterruptedError)
      throw new InterruptedError(
        `${cancelling.signal.aborted ? 'cancelled' : 'interrupted'}; everything finished so far is kept`,
        { cause: error },
      );
    throw error;
  } finally {
    await deafen?.();
    // What closing tells others to forget must be on disk; so must be what there is where that fails.
    await journal?.durable().catch(() => {});
    await closeAll(
      () => meter?.close(),
      () => evaluator?.close(),
      () => journal?.close(),
      release,
    );
  }
}

/** One after the other, each whatever becomes of those before it. @throws what the first that failed threw. */
async function closeAll(...steps: readonly (() => Promise<void> | void)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Time between two estimates of what is left: each looks at every trial. */
const estimateEveryMs = 1000;
const estimates = new WeakMap<StudyContext, { readonly atMs: number; readonly etaMs: number | undefined }>();

/** What a person wants to know beside what is being done: how long still, and what it has cost. */
function outlook(context: StudyContext): Pick<StudyProgress, 'etaMs' | 'deviceHours'> {
  const { clock, config, record } = context;
  const nowMs = clock.now();
  const known = estimates.get(context);
  const isFresh = known !== undefined && nowMs - known.atMs < estimateEveryMs;
  const estimate = isFresh ? known : { atMs: nowMs, etaMs: remainingMs(context) };
  estimates.set(context, estimate);
  const { deviceHours: budget } = config.budget;
  return {
    etaMs: estimate.etaMs,
    ...(budget === undefined ? {} : { deviceHours: { spent: record.spending.hours, budget } }),
  };
}

/** Removes what trials that were given up left: nothing will go on from them. */
function forgetTrainings(record: StudyRecord, folder: string): void {
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const trial = trialOfCheckpoint(name);
    if (trial !== undefined && record.trial(trial)) rmSync(join(folder, name), { force: true });
  }
}

/** Names a study wherever it is opened: its name, and a digest of how its journal begins. */
export function studyKey({ events }: { readonly events: Iterable<JournalEvent> }): string {
  const created = createdIn(events);
  return `${created?.id}-${shortDigest(digestJson(created))}`;
}

/** How a study began; read no further than that. */
function createdIn(events: Iterable<JournalEvent>): EventOf<'study'> | undefined {
  for (const event of events) if (event.type === 'study' && event.action === 'created') return event;
  return undefined;
}

/** Trials of one machine meet the same obstacles. */
function toldOnce(tell: StudyOptions['onNotice']): StudyContext['onNotice'] {
  const told = new Set<string>();
  return (trial, text) => {
    if (!told.has(text)) tell?.(`${trial}: ${text}`);
    told.add(text);
  };
}

async function runPhases(context: StudyContext): Promise<void> {
  const { record } = context;
  const base = await record.phase('search', () => findBase(context));
  const sizes = await record.phase('scale', () => scaleBase(context, base));
  const { examples } = await record.phase('allocate', () => allocate(context, sizes));
  const members = await record.phase('train', () => trainFamily(context, sizes, examples));
  await record.phase('deliver', async () => {
    await deliver(context, members);
    await deliverVariants(context, members);
    await deliverShared(context, members);
  });
}

/** A study that issued no trial has nothing to lose: when its file was corrected since, it begins anew. */
function forgetUnstarted(config: StudyConfig, folder: string): void {
  const path = journalPath(folder);
  if (!existsSync(path)) return;
  let created: EventOf<'study'> | undefined;
  for (const event of journalEvents(path)) {
    if (event.type === 'issued') return;
    if (event.type === 'study' && event.action === 'created') created ??= event;
  }
  if (created && changedKeys(created.config, portableStudy(config)).length > 0) rmSync(path);
}

async function openRecord(record: StudyRecord, config: StudyConfig, folder: string): Promise<void> {
  const portable = portableStudy(config);
  const created = createdIn(record.events);
  if (!created) {
    record.append({
      type: 'study',
      id: config.study,
      action: 'created',
      config: portable,
      environment: await environmentOf(),
    });
    writeFileSync(join(folder, 'resolved.yaml'), toYaml(portable));
  } else if (changedKeys(created.config, portable).length > 0) {
    throw new ConfigError(
      `${folder}: expected to resume the study as it was started, got a changed ${changedKeys(created.config, portable).join(', ')}; give the study another name, or delete the folder to start over`,
    );
  }
  record.append({ type: 'study', id: config.study, action: 'opened' });
}

/** Places where two configurations differ, e.g. `search.trials`, the nearest to the leaves. */
function changedKeys(before: unknown, now: unknown, path = ''): string[] {
  if (canonicalJson({ before }) === canonicalJson({ before: now })) return [];
  if (!isMapping(before) || !isMapping(now)) return [path];
  const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...keys].flatMap((key) => changedKeys(before[key], now[key], path === '' ? key : `${path}.${key}`));
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function localEvaluator(
  { trainer, final: { schedule } }: StudyConfig,
  folder: string,
  data: DataDescription,
  artefacts: FolderArtefacts,
): Evaluator {
  const means = resolveRecipe(trainer);
  const slots = trainer.parallel ?? availableParallelism();
  const checkpoints = { folder: join(folder, checkpointsFolder), dataDigest: data.digest };
  return new LocalEvaluator({ ...means, schedule, dataFile: data.file, artefacts, checkpoints, slots });
}
