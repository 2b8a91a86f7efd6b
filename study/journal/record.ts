import type { Choices, Fidelity, Outcome } from '../../core/trial.ts';
import { canonicalJson, type Json } from '../../core/digest.ts';
import { InvalidFileError } from '../../core/errors.ts';
import type { Latency } from '../../latency/latency.ts';
import { specDigest, type NetworkSpec } from '../../models/spec.ts';
import { ActiveTime } from './active-time.ts';
import { EventIndex } from './event-index.ts';
import type { EventLog, EventSequence } from './event-log.ts';
import type { EventOf, EventPayload, EventType, JournalEvent, PhaseName } from './events.ts';
import { Failures, isLeftOut } from './failures.ts';
import { Spending } from './spending.ts';
import { WorkloadTally } from './workload.ts';

/** A network to evaluate: an `issued` event of the journal, read as what it issues. */
export interface Trial {
  readonly id: string;
  readonly phase: PhaseName;
  readonly choices: Choices;
  readonly spec: NetworkSpec;
  readonly specDigest: string;
  readonly fidelity: Fidelity;
  readonly origin: EventOf<'issued'>['origin'];
  /** Whether another phase refused the same work. */
  readonly again?: true | undefined;
}
/** A trial before it has a place in the journal. */
export type Proposal = Omit<Trial, 'id' | 'specDigest' | 'again'>;
/** What makes two trials one. */
type Work = Pick<Trial, 'specDigest' | 'fidelity' | 'phase' | 'again'>;

/**
 * What a study knows, as a replay of its journal, and the only way to add to it.
 *
 * A study is a deterministic program whose effects go through here: each effect has an id, and one
 * that the journal holds is answered from it instead of being done again. So resuming is running
 * the program from its start, and a journal that does not fit the program is noticed.
 *
 * What it knows stays in the journal: it keeps where things are and what they add up to, some 70 bytes a trial, and reads
 * the rest when asked.
 */
export class StudyRecord {
  readonly #log: EventLog;
  /** The last event of each type and id. */
  readonly #latest: EventIndex;
  readonly #trialByWork: EventIndex;
  #trialCount = 0;
  /** Of phases in which something was trained. */
  readonly #trained = new Set<PhaseName>();
  #measurements = 0;
  readonly #failures = new Failures();
  #evaluated = { failed: 0, ok: 0 };
  readonly #phases = new Set<string>();
  readonly #spending = new Spending();
  readonly #workload = new WorkloadTally(this.#failures);
  readonly #activeTime = new ActiveTime();
  readonly #onEvent: (event: JournalEvent) => void;
  readonly #secondsOf: (latency: Latency) => number | undefined;

  /** @param secondsOf time that a measurement took, where that is not the time it was waited for. */
  constructor(
    log: EventLog,
    onEvent: (event: JournalEvent) => void = () => {},
    secondsOf: (latency: Latency) => number | undefined = () => undefined,
  ) {
    this.#log = log;
    this.#latest = new EventIndex(log.events, latestKey);
    // Only what was issued is set in it.
    this.#trialByWork = new EventIndex(log.events, (event) => (event.type === 'issued' ? workKey(event) : ''));
    this.#onEvent = onEvent;
    this.#secondsOf = secondsOf;
    let place = 0;
    for (const event of log.events) this.#apply(event, place++);
  }

  /** What events tell, for reading only. */
  static replay(events: readonly JournalEvent[]): StudyRecord {
    return new StudyRecord({
      path: 'replay',
      events,
      append: () => {
        throw new Error('expected a record that is only read, got an event to write');
      },
    });
  }

  get events(): EventSequence {
    return this.#log.events;
  }

  /** All of them, in order of issue: for reports, and what is decided once. */
  get trials(): readonly Trial[] {
    return [...this.eachTrial()];
  }

  /** {@link trials}, one at a time. */
  *eachTrial(): Generator<Trial> {
    for (const event of this.#log.events) if (event.type === 'issued') yield event;
  }

  trial(id: string): Trial | undefined {
    return this.#find('issued', id);
  }

  /** Id of the trial that was issued last. */
  get lastTrial(): string | undefined {
    return this.#trialCount === 0 ? undefined : trialId(this.#trialCount);
  }

  outcome(trial: string): Outcome | undefined {
    return this.#failures.isForgotten(trial) ? undefined : this.#find('outcome', trial)?.outcome;
  }

  /** Where the journal has a trial's last answer: answers are in the order of these numbers. */
  answeredAt(trial: string): number | undefined {
    return this.#find('outcome', trial)?.seq;
  }

  latency(id: string): Latency | undefined {
    return this.#find('measured', id)?.latency;
  }

  artefact(id: string): EventOf<'artefact'> | undefined {
    return this.#find('artefact', id);
  }

  #find<Type extends EventType>(type: Type, id: string): EventOf<Type> | undefined {
    return this.#latest.find(`${type} ${id}`) as EventOf<Type> | undefined;
  }

  /**
   * The trial for this network at this fidelity; issued now unless some phase issued the same work before. What another phase
   * refused to train, under limits that may not hold here, is issued again.
   */
  issue(proposal: Proposal): Trial {
    const work = { ...proposal, specDigest: specDigest(proposal.spec) };
    const known = this.#issued(work);
    if (!known) return this.#issue(work);
    if (known.phase === work.phase || !this.#wasRefused(known.id)) return known;
    const again = { ...work, again: true as const };
    return this.#issued(again) ?? this.#issue(again);
  }

  #issued(work: Work): Trial | undefined {
    return this.#trialByWork.find(workKey(work)) as EventOf<'issued'> | undefined;
  }

  #issue(work: Omit<Trial, 'id'>): Trial {
    return this.append({ type: 'issued', id: trialId(this.#trialCount + 1), ...work }) as EventOf<'issued'>;
  }

  /** Whether a trial was found infeasible before it was trained. */
  #wasRefused(trial: string): boolean {
    const outcome = this.outcome(trial);
    return outcome?.status === 'infeasible' && outcome.cost === undefined;
  }

  /** Latency by id, measured only when the journal does not have it. */
  async measureOnce(id: string, target: string, measure: () => Promise<Latency>): Promise<Latency> {
    const known = this.latency(id);
    if (known) return known;
    const startMs = performance.now();
    const latency = await measure();
    const seconds = this.#secondsOf(latency) ?? (performance.now() - startMs) / 1000;
    this.append({ type: 'measured', id, target, latency, seconds });
    return latency;
  }

  /** Attempts already spent on a trial, by this process and earlier ones. */
  attempts(trial: string): number {
    return this.#find('outcome', trial)?.attempt ?? 0;
  }

  answer(trial: string, outcome: Outcome): Outcome {
    this.append({ type: 'outcome', id: trial, attempt: this.attempts(trial) + 1, outcome });
    return outcome;
  }

  /** A decision by id, made only once; the reason is for people. */
  async decideOnce<Value extends Json>(
    id: string,
    decide: () => { value: Value; because: string } | Promise<{ value: Value; because: string }>,
  ): Promise<Value> {
    const known = this.#find('decision', id);
    if (known) return known.value as Value;
    const { value, because } = await decide();
    this.append({ type: 'decision', id, value, because });
    return value;
  }

  /** The same decision, recomputed on every replay; a journal that says otherwise is refused. */
  decideAgain<Value extends Json>(id: string, value: Value, because: string): Value {
    const known = this.#find('decision', id);
    if (!known) {
      this.append({ type: 'decision', id, value, because });
    } else if (canonicalJson(known.value) !== canonicalJson(value)) {
      throw new InvalidFileError(
        `${this.#log.path}: decision ${id}: expected ${canonicalJson(value)} from the journal's own results, got ${canonicalJson(known.value)}; was it written by another version?`,
      );
    }
    return value;
  }

  /** Device hours that the journal's evaluations and measurements took. */
  get spending(): Spending {
    return this.#spending;
  }

  /** Of the trainings issued so far. */
  get workload(): WorkloadTally {
    return this.#workload;
  }

  /** Time of work that the journal records. */
  get activeTime(): Pick<ActiveTime, 'ms' | 'lastMs'> {
    return this.#activeTime;
  }

  /** Latencies that the journal holds. */
  get measurements(): number {
    return this.#measurements;
  }

  /** Whether something was trained in a phase. */
  hasTrained(phase: PhaseName): boolean {
    return this.#trained.has(phase);
  }

  /** Whether a trial failed, or was cancelled, and nothing rests on that yet: no trial issued, nothing decided since. */
  mayRetry(trial: string): boolean {
    return this.#failures.mayForget(trial);
  }

  /** From here on something rests on a trial's failure, though no event says so yet. */
  settle(trial: string): void {
    this.#failures.settle(trial);
  }

  decision(id: string): unknown {
    return this.#find('decision', id)?.value;
  }

  hasFinished(phase: PhaseName): boolean {
    return this.#phases.has(`${phase}:finished`);
  }

  /** Runs a phase, marking its start and end once. */
  async phase<Result>(name: PhaseName, run: () => Promise<Result>): Promise<Result> {
    if (!this.#phases.has(`${name}:started`)) this.append({ type: 'phase', id: name, action: 'started' });
    const result = await run();
    if (!this.hasFinished(name)) this.append({ type: 'phase', id: name, action: 'finished' });
    return result;
  }

  append(payload: EventPayload): JournalEvent {
    const event = this.#log.append(payload);
    this.#apply(event, this.#log.events.length - 1);
    this.#onEvent(event);
    return event;
  }

  /** Evaluations answered since the study was last opened, retries counted. */
  get evaluated(): { readonly failed: number; readonly ok: number } {
    return this.#evaluated;
  }

  #apply(event: JournalEvent, place: number): void {
    this.#spending.add(event);
    this.#workload.add(event);
    this.#activeTime.add(event);
    this.#failures.add(event);
    this.#latest.set(latestKey(event), place);
    if (event.type === 'issued') {
      this.#trialByWork.set(workKey(event), place);
      this.#trialCount++;
    } else if (event.type === 'measured') this.#measurements++;
    else if (event.type === 'outcome') this.#answered(event);
    else if (event.type === 'phase') this.#phases.add(`${event.id}:${event.action}`);
    else if (event.type === 'study' && event.action === 'opened') this.#evaluated = { failed: 0, ok: 0 };
  }

  #answered({ id, outcome }: EventOf<'outcome'>): void {
    if (outcome.status === 'infeasible' || isLeftOut(outcome)) return;
    this.#evaluated[outcome.status]++;
    const phase = outcome.status === 'ok' ? this.trial(id)?.phase : undefined;
    if (phase) this.#trained.add(phase);
  }
}

function trialId(ordinal: number): string {
  return `t${String(ordinal).padStart(4, '0')}`;
}

function latestKey({ type, id }: JournalEvent): string {
  return `${type} ${id}`;
}

/** Final training is work of its own even at a fidelity already tried: its weights are kept, earlier ones are not. */
function workKey({ specDigest: digest, fidelity, phase, again }: Work): string {
  return `${digest} ${canonicalJson(fidelity)}${phase === 'train' ? ' kept' : ''}${again ? ' again' : ''}`;
}
