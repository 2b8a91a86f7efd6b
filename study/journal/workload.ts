import { trainingFlopsPerMac } from '../../models/counts.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { EventOf, JournalEvent, PhaseName } from './events.ts';
import { type Failures, isTriedAgain } from './failures.ts';

/** What a study's trainings have cost so far and will cost, in multiply-adds times examples. */
export interface Workload {
  readonly done: number;
  readonly open: number;
  /** Of the trainings issued so far, by phase; those without a result left out. */
  readonly issued: Readonly<Partial<Record<PhaseName, number>>>;
  /** Examples of trainings that were refused, diverged or failed for good, by phase: their places in the plan are taken. */
  readonly lostExamples: Readonly<Partial<Record<PhaseName, number>>>;
  /** The first network that was trained; none before. */
  readonly base: NetworkSpec | undefined;
}

/** A training without a result. */
export type OpenTraining = Pick<EventOf<'issued'>, 'spec' | 'phase' | 'fidelity'>;

interface Entry extends OpenTraining {
  /** Multiply-adds times examples, once asked for. */
  work?: number;
}

/** A study's {@link Workload}, an event at a time: what is answered leaves sums behind, nothing else. */
export class WorkloadTally {
  readonly #failures: Pick<Failures, 'isForgotten' | 'mayForget'>;
  readonly #open = new Map<string, Entry>();
  /** Trainings that failed, as long as another attempt may be asked for. */
  readonly #failed = new Map<string, Entry>();
  readonly #issued: Partial<Record<PhaseName, number>> = {};
  readonly #lostExamples: Partial<Record<PhaseName, number>> = {};
  #done = 0;
  #base: NetworkSpec | undefined;

  /** @param failures told of the same events. */
  constructor(failures: Pick<Failures, 'isForgotten' | 'mayForget'>) {
    this.#failures = failures;
  }

  add(event: JournalEvent): void {
    if (event.type === 'issued') {
      const { id, spec, phase, fidelity } = event;
      this.#open.set(id, { spec, phase, fidelity });
    } else if (event.type === 'outcome') this.#answered(event);
  }

  /** @param macsOf multiply-adds of an example of a training; asked once for each that is open. */
  total(macsOf: (training: OpenTraining) => number): Workload {
    this.#settleFailed();
    const issued = { ...this.#issued };
    let open = 0;
    for (const training of this.#open.values()) {
      training.work ??= macsOf(training) * training.fidelity.examples;
      open += training.work;
      increase(issued, training.phase, training.work);
    }
    const lostExamples = { ...this.#lostExamples };
    for (const { phase, fidelity } of this.#failed.values()) increase(lostExamples, phase, fidelity.examples);
    return { done: this.#done, open, issued, lostExamples, base: this.#base };
  }

  #answered({ id, outcome, attempt }: EventOf<'outcome'>): void {
    const training = this.#open.get(id) ?? this.#failed.get(id);
    if (!training) return;
    this.#failed.delete(id);
    this.#open.set(id, training);
    if (isTriedAgain(outcome, attempt)) return;
    this.#open.delete(id);
    const { phase, spec, fidelity } = training;
    if (outcome.status === 'failed') this.#failed.set(id, training);
    if (outcome.status === 'infeasible') increase(this.#lostExamples, phase, fidelity.examples);
    if (outcome.status !== 'ok') return;
    // By a schedule, examples of several sizes were seen: FLOPs alone know how many.
    const { flops } = outcome.cost;
    const work = flops > 0 ? flops / trainingFlopsPerMac : (outcome.metrics['macs'] ?? 0) * fidelity.examples;
    this.#done += work;
    this.#base ??= spec;
    increase(this.#issued, phase, work);
  }

  /** What failed is open again when another attempt was asked for, and lost when none can be any more. */
  #settleFailed(): void {
    for (const [id, training] of this.#failed) {
      if (this.#failures.isForgotten(id)) this.#open.set(id, training);
      else if (this.#failures.mayForget(id)) continue;
      else increase(this.#lostExamples, training.phase, training.fidelity.examples);
      this.#failed.delete(id);
    }
  }
}

function increase(sums: Partial<Record<PhaseName, number>>, phase: PhaseName, by: number): void {
  sums[phase] = (sums[phase] ?? 0) + by;
}
