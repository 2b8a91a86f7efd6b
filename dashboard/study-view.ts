import { ActiveTime } from '../study/journal/active-time.ts';
import { remainingWorkMs, trainingMacs } from '../study/estimate.ts';
import { latencyId } from '../study/evaluation/evaluate.ts';
import type { EventOf, JournalEvent, PhaseName } from '../study/journal/events.ts';
import type { JournalLine } from '../study/journal/journal.ts';
import { Failures } from '../study/journal/failures.ts';
import { Spending } from '../study/journal/spending.ts';
import type { StudyConfig } from '../study/study-file.ts';
import { reasonOf, summarise } from '../study/deliver/summarise.ts';
import type { StudySummary } from '../study/deliver/summary.ts';
import { WorkloadTally } from '../study/journal/workload.ts';
import { nonDominated } from '../search/pareto.ts';
import type { TrialRow } from './trial-row.ts';

/** Where an event's line is in its file. */
export interface Place {
  readonly seq: number;
  readonly start: number;
  readonly end: number;
}

type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** Points that are compared with the front at once: comparing is quadratic. */
const frontBatch = 64;
/** Ids of what is known of a network end so. */
const networkSuffix = / (sha256:[0-9a-f]{64})$/;

/**
 * What the page knows of a study, folded from its journal an event at a time, so that an event costs the same at the
 * journal's end as at its beginning. Of a trial a row is kept, and where its events are in the file; whole are kept the
 * events that the results are made of: decisions, phases, files, and what belongs to final trainings.
 */
export class StudyView {
  readonly #rows = new Map<string, Writable<TrialRow>>();
  readonly #list: TrialRow[] = [];
  readonly #latencies = new Map<string, Record<string, number>>();
  /** By trial, and by digest of its network. */
  readonly #places = new Map<string, Place[]>();
  readonly #kept: JournalEvent[] = [];
  readonly #final = new Set<string>();
  readonly #phases = new Map<PhaseName, 'started' | 'finished'>();
  readonly #failed = new Set<string>();
  /** Knows which of them are tried again, as the study itself does. */
  readonly #failures = new Failures();
  readonly #workload = new WorkloadTally(this.#failures);
  /** Rung that the front is of, in examples: the highest that has a result. */
  #frontExamples = 0;
  #front: { readonly id: string; readonly point: readonly number[] }[] = [];
  #candidates: { readonly id: string; readonly point: readonly number[] }[] = [];
  #created: EventOf<'study'> | undefined;
  #last: JournalEvent | undefined;
  readonly #activeTime = new ActiveTime();
  readonly #spending = new Spending();
  #summary: StudySummary | undefined;

  fold({ event, start, end }: JournalLine): void {
    const place = { seq: event.seq, start, end };
    this.#last = event;
    this.#activeTime.add(event);
    this.#spending.add(event);
    this.#workload.add(event);
    this.#failures.add(event);
    switch (event.type) {
      case 'issued':
        return this.#issued(event, place);
      case 'measured':
        return this.#measured(event, place);
      case 'outcome':
        return this.#answered(event, place);
      case 'decision':
        return this.#isOfNetwork(event.id, place) ? undefined : this.#keep(event);
      default:
        if (event.type === 'study' && event.action === 'created') this.#created = event;
        if (event.type === 'phase') this.#phases.set(event.id, event.action);
        this.#reopen(event.seq);
        this.#keep(event);
    }
  }

  /** Events folded. */
  get count(): number {
    return this.#last ? this.#last.seq + 1 : 0;
  }

  /** Undefined until the journal's first event. */
  get config(): StudyConfig | undefined {
    return this.#created?.config as StudyConfig | undefined;
  }

  /** When the study was created, in milliseconds since the epoch; tells journals of one place apart. */
  get createdMs(): number {
    return this.#created?.tMs ?? 0;
  }

  get lastMs(): number {
    return this.#last?.tMs ?? 0;
  }

  /** Seconds of work, pauses between sessions left out. */
  get activeS(): number {
    return this.#activeTime.ms / 1e3;
  }

  /** Device hours used, and those of the budget. */
  get deviceHours(): { readonly spent: number; readonly budget: number | null } {
    return { spent: this.#spending.hours, budget: this.config?.budget?.deviceHours ?? null };
  }

  /** In order of issue. */
  get trials(): readonly TrialRow[] {
    return this.#list;
  }

  trial(id: string): TrialRow | undefined {
    return this.#rows.get(id);
  }

  phase(name: PhaseName): 'started' | 'finished' | undefined {
    return this.#phases.get(name);
  }

  /** Ids of the search trials of the first seed that no other beats in accuracy and in latency on every target. */
  get front(): ReadonlySet<string> {
    this.#settleFront();
    return new Set(this.#front.map(({ id }) => id));
  }

  /** Where the file has what explains a trial, in order. */
  places(id: string): readonly Place[] {
    const row = this.#rows.get(id);
    const known = row ? [...(this.#places.get(id) ?? []), ...(this.#places.get(row.specDigest) ?? [])] : [];
    return known.toSorted((a, b) => a.seq - b.seq);
  }

  /** Events kept whole. */
  get kept(): readonly JournalEvent[] {
    return this.#kept;
  }

  /** What was decided and delivered so far, as the report has it; of its trials only the final trainings. Undefined before the study's first event. */
  get results(): StudySummary | undefined {
    if (this.#created) this.#summary ??= summarise(this.#kept);
    return this.#summary;
  }

  /** Milliseconds until the study is done, as far as can be told, were it running. */
  remainingMs(nowMs: number): number | undefined {
    const { config } = this;
    if (!config) return undefined;
    const workload = this.#workload.total((training) => trainingMacs(config, training));
    const elapsedMs = this.#activeTime.ms + Math.max(0, nowMs - this.lastMs);
    return remainingWorkMs(config, workload, elapsedMs, (phase) => this.#phases.get(phase) === 'finished');
  }

  /** Trials whose failure is forgotten, because the study was opened again, are open again. */
  #reopen(seq: number): void {
    for (const id of this.#failed) {
      if (!this.#failures.isForgotten(id)) continue;
      const row = this.#rows.get(id);
      if (row) Object.assign(row, { status: 'issued', reason: undefined, endedMs: undefined, changed: seq });
      this.#failed.delete(id);
    }
  }

  #issued(event: EventOf<'issued'>, place: Place): void {
    const { id, phase, specDigest, fidelity, origin, tMs } = event;
    const latencyMs = this.#latencies.get(specDigest) ?? {};
    this.#latencies.set(specDigest, latencyMs);
    const row: Writable<TrialRow> = {
      id,
      phase,
      by: origin.by,
      because: origin.because,
      ...(origin.target === undefined ? {} : { target: origin.target }),
      ...(origin.size === undefined ? {} : { size: origin.size }),
      specDigest,
      examples: fidelity.examples,
      seed: fidelity.seed,
      status: 'issued',
      latencyMs,
      startedMs: tMs,
      changed: place.seq,
    };
    this.#rows.set(id, row);
    this.#list.push(row);
    this.#placed(id, place);
    if (phase !== 'train') return;
    this.#final.add(id);
    this.#keep(event);
  }

  #measured(event: EventOf<'measured'>, place: Place): void {
    if (!this.#isOfNetwork(event.id, place)) return this.#keep(event);
    const digest = networkSuffix.exec(event.id)?.[1] ?? '';
    if (event.id !== latencyId(event.target, digest)) return;
    const latencyMs = this.#latencies.get(digest) ?? {};
    latencyMs[event.target] = event.latency.p50Ms;
    this.#latencies.set(digest, latencyMs);
  }

  #answered(event: EventOf<'outcome'>, place: Place): void {
    const { id, outcome, tMs } = event;
    this.#placed(id, place);
    const row = this.#rows.get(id);
    if (!row) return;
    const metrics = 'metrics' in outcome ? outcome.metrics : undefined;
    row.status = outcome.status;
    row.reason = reasonOf(outcome);
    row.accuracy = metrics?.['accuracy'];
    row.params = metrics?.['params'];
    row.macs = metrics?.['macs'];
    row.trainS = 'cost' in outcome ? outcome.cost?.trainS : undefined;
    row.endedMs = tMs;
    row.changed = place.seq;
    if (outcome.status === 'failed') this.#failed.add(id);
    else this.#failed.delete(id);
    if (outcome.status === 'ok') this.#trained(row);
    // Failed ones are counted from the rows; a summary of some of them would count those only.
    if (this.#final.has(id) && outcome.status !== 'failed') this.#keep(event);
  }

  #trained(row: TrialRow): void {
    if (row.phase !== 'search' || row.seed !== this.config?.seed || row.examples < this.#frontExamples) return;
    if (row.examples > this.#frontExamples) {
      this.#frontExamples = row.examples;
      this.#front = [];
      this.#candidates = [];
    }
    const times = Object.keys(this.config.targets).map((name) => row.latencyMs[name] ?? Number.POSITIVE_INFINITY);
    this.#candidates.push({ id: row.id, point: [row.accuracy ?? 0, ...times] });
    if (this.#candidates.length >= frontBatch) this.#settleFront();
  }

  /** The front of the front so far and of what came since is the front of all. */
  #settleFront(): void {
    if (this.#candidates.length === 0) return;
    const all = [...this.#front, ...this.#candidates];
    const [first] = all;
    const directions = first?.point.map((_, index) => (index === 0 ? 'max' : 'min')) ?? [];
    const kept = new Set(
      nonDominated(
        all.map(({ point }) => point),
        directions as ('max' | 'min')[],
      ),
    );
    this.#front = all.filter((_, index) => kept.has(index));
    this.#candidates = [];
  }

  #isOfNetwork(id: string, place: Place): boolean {
    const digest = networkSuffix.exec(id)?.[1];
    if (digest === undefined) return false;
    this.#placed(digest, place);
    return true;
  }

  #placed(key: string, place: Place): void {
    const places = this.#places.get(key);
    if (places) places.push(place);
    else this.#places.set(key, [place]);
  }

  #keep(event: JournalEvent): void {
    this.#kept.push(event);
    this.#summary = undefined;
  }
}
