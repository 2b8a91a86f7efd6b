import type { Choices, Fidelity, Outcome } from '../core/trial.ts';
import { canonicalJson, type Json } from '../core/digest.ts';
import { InvalidFileError } from '../core/errors.ts';
import type { Latency } from '../latency/latency.ts';
import { specDigest, type NetworkSpec } from '../models/spec.ts';
import type { EventOf, EventPayload, JournalEvent, PhaseName } from './events.ts';
import type { Journal } from './journal.ts';
import { Spending } from './spending.ts';

/** A network to evaluate: what the journal's `issued` event says. */
export interface Trial {
  readonly id: string;
  readonly phase: PhaseName;
  readonly choices: Choices;
  readonly spec: NetworkSpec;
  readonly specDigest: string;
  readonly fidelity: Fidelity;
  readonly origin: EventOf<'issued'>['origin'];
}
/** A trial before it has a place in the journal. */
export type Proposal = Omit<Trial, 'id' | 'specDigest'>;

/**
 * What a study knows, as a replay of its journal, and the only way to add to it.
 *
 * A study is a deterministic program whose effects go through here: each effect has an id, and one
 * that the journal holds is answered from it instead of being done again. So resuming is running
 * the program from its start, and a journal that does not fit the program is noticed.
 */
export class StudyRecord {
  readonly #journal: Pick<Journal, 'path' | 'events' | 'append'>;
  readonly #trials = new Map<string, Trial>();
  readonly #trialByWork = new Map<string, string>();
  readonly #outcomes = new Map<string, { attempt: number; outcome: Outcome }>();
  readonly #attempts = new Map<string, number>();
  /** Failures since the study was opened, a trial was issued or something was decided last. */
  readonly #recentFailures = new Set<string>();
  #evaluated = { failed: 0, ok: 0 };
  readonly #latencies = new Map<string, Latency>();
  readonly #decisions = new Map<string, unknown>();
  readonly #phases = new Set<string>();
  readonly #artefacts = new Map<string, EventOf<'artefact'>>();
  readonly #spending = new Spending();
  readonly #onEvent: (event: JournalEvent) => void;
  readonly #secondsOf: (latency: Latency) => number | undefined;

  /** @param secondsOf time that a measurement took, where that is not the time it was waited for. */
  constructor(
    journal: Pick<Journal, 'path' | 'events' | 'append'>,
    onEvent: (event: JournalEvent) => void = () => {},
    secondsOf: (latency: Latency) => number | undefined = () => undefined,
  ) {
    this.#journal = journal;
    this.#onEvent = onEvent;
    this.#secondsOf = secondsOf;
    for (const event of journal.events) this.#apply(event);
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

  get events(): readonly JournalEvent[] {
    return this.#journal.events;
  }

  get trials(): readonly Trial[] {
    return [...this.#trials.values()];
  }

  outcome(trial: string): Outcome | undefined {
    return this.#outcomes.get(trial)?.outcome;
  }

  latency(id: string): Latency | undefined {
    return this.#latencies.get(id);
  }

  artefact(id: string): EventOf<'artefact'> | undefined {
    return this.#artefacts.get(id);
  }

  /** The trial for this network at this fidelity; issued now unless some phase issued the same work before. */
  issue(proposal: Proposal): Trial {
    const digest = specDigest(proposal.spec);
    const known = this.#trialByWork.get(workKey(digest, proposal));
    if (known !== undefined) return this.#trials.get(known) as Trial;
    const trial: Trial = { id: `t${String(this.#trials.size + 1).padStart(4, '0')}`, specDigest: digest, ...proposal };
    this.append({ type: 'issued', ...trial });
    return trial;
  }

  /** Latency by id, measured only when the journal does not have it. */
  async measureOnce(id: string, target: string, measure: () => Promise<Latency>): Promise<Latency> {
    const known = this.#latencies.get(id);
    if (known) return known;
    const startMs = performance.now();
    const latency = await measure();
    const seconds = this.#secondsOf(latency) ?? (performance.now() - startMs) / 1000;
    this.append({ type: 'measured', id, target, latency, seconds });
    return latency;
  }

  /** Attempts already spent on a trial, by this process and earlier ones. */
  attempts(trial: string): number {
    return this.#attempts.get(trial) ?? 0;
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
    if (this.#decisions.has(id)) return this.#decisions.get(id) as Value;
    const { value, because } = await decide();
    this.append({ type: 'decision', id, value, because });
    return value;
  }

  /** The same decision, recomputed on every replay; a journal that says otherwise is refused. */
  decideAgain<Value extends Json>(id: string, value: Value, because: string): Value {
    if (!this.#decisions.has(id)) {
      this.append({ type: 'decision', id, value, because });
    } else if (canonicalJson(this.#decisions.get(id)) !== canonicalJson(value)) {
      throw new InvalidFileError(
        `${this.#journal.path}: decision ${id}: expected ${canonicalJson(value)} from the journal's own results, got ${canonicalJson(this.#decisions.get(id))}; was it written by another version?`,
      );
    }
    return value;
  }

  /** Device hours that the journal's evaluations and measurements took. */
  get spending(): Spending {
    return this.#spending;
  }

  /** Whether a trial failed, or was cancelled, and nothing rests on that yet: no trial issued, nothing decided since. */
  mayRetry(trial: string): boolean {
    return this.#recentFailures.has(trial);
  }

  /** From here on something rests on a trial's failure, though no event says so yet. */
  settle(trial: string): void {
    this.#recentFailures.delete(trial);
  }

  decision(id: string): unknown {
    return this.#decisions.get(id);
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

  append(payload: EventPayload): void {
    const event = this.#journal.append(payload);
    this.#apply(event);
    this.#onEvent(event);
  }

  /** Evaluations answered since the study was last opened, retries counted. */
  get evaluated(): { readonly failed: number; readonly ok: number } {
    return this.#evaluated;
  }

  /**
   * Opening a study again gives failed trials another attempt, for what failed was the environment; but only
   * those that nothing was issued after, or decisions in the journal would lose their ground. What was left out on
   * purpose stays so until somebody asks for it.
   */
  #forgetFailures(): void {
    for (const trial of this.#recentFailures) if (!isLeftOut(this.outcome(trial))) this.#forgetFailure(trial);
    this.#evaluated = { failed: 0, ok: 0 };
  }

  #forgetFailure(trial: string): void {
    this.#outcomes.delete(trial);
    this.#recentFailures.delete(trial);
  }

  #apply(event: JournalEvent): void {
    this.#spending.add(event);
    switch (event.type) {
      case 'issued': {
        const { type: _type, schema: _schema, seq: _seq, tMs: _tMs, ...trial } = event;
        this.#trials.set(event.id, trial);
        this.#trialByWork.set(workKey(event.specDigest, event), event.id);
        this.#recentFailures.clear();
        break;
      }
      case 'measured':
        this.#latencies.set(event.id, event.latency);
        break;
      case 'outcome':
        this.#outcomes.set(event.id, { attempt: event.attempt, outcome: event.outcome });
        this.#attempts.set(event.id, event.attempt);
        if (event.outcome.status === 'failed') this.#recentFailures.add(event.id);
        else this.#recentFailures.delete(event.id);
        if (event.outcome.status !== 'infeasible' && !isLeftOut(event.outcome)) this.#evaluated[event.outcome.status]++;
        break;
      case 'decision':
        this.#decisions.set(event.id, event.value);
        this.#recentFailures.clear();
        break;
      case 'phase':
        this.#phases.add(`${event.id}:${event.action}`);
        break;
      case 'artefact':
        this.#artefacts.set(event.id, event);
        break;
      case 'request':
        if (event.action === 'retry' && this.#recentFailures.has(event.id)) this.#forgetFailure(event.id);
        break;
      case 'study':
        if (event.action === 'opened') this.#forgetFailures();
        break;
      default:
        event satisfies never;
    }
  }
}

/** Codes of answers that nobody's machine is to blame for: a person cancelled the trial, or its budget is used up. */
export const leftOutCodes = { cancelled: 'cancelled', overBudget: 'over-budget' } as const;

/** Whether a trial has no result because it was left out on purpose. */
function isLeftOut(outcome: Outcome | undefined): boolean {
  return outcome?.status === 'failed' && Object.values<string>(leftOutCodes).includes(outcome.code);
}

/** Final training is work of its own even at a fidelity already tried: its weights are kept, earlier ones are not. */
function workKey(digest: string, { fidelity, phase }: Pick<Trial, 'fidelity' | 'phase'>): string {
  return `${digest} ${canonicalJson(fidelity)}${phase === 'train' ? ' kept' : ''}`;
}
