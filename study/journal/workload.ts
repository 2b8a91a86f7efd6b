import { trainingFlopsPerMac } from '../../models/counts.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { EventOf, JournalEvent, PhaseName } from './events.ts';

/** What a study's trainings have cost so far and will cost, in multiply-adds times examples. */
export interface Workload {
  readonly done: number;
  readonly open: number;
  /** Of the trainings issued so far, by phase; those that failed or were refused left out. */
  readonly issued: Readonly<Partial<Record<PhaseName, number>>>;
  /** The first network that was trained; none before. */
  readonly base: NetworkSpec | undefined;
}

/** A training without a result. */
export type OpenTraining = Pick<EventOf<'issued'>, 'spec' | 'phase' | 'fidelity'>;

interface Entry extends OpenTraining {
  /** Multiply-adds times examples, once asked for. */
  work?: number;
  hasFailed?: boolean;
}

/** A study's {@link Workload}, an event at a time: what is answered leaves sums behind, nothing else. */
export class WorkloadTally {
  readonly #open = new Map<string, Entry>();
  readonly #issued: Partial<Record<PhaseName, number>> = {};
  #done = 0;
  #base: NetworkSpec | undefined;

  add(event: JournalEvent): void {
    if (event.type === 'issued') {
      const { id, spec, phase, fidelity } = event;
      this.#open.set(id, { spec, phase, fidelity });
    } else if (event.type === 'outcome') this.#answered(event);
  }

  /** @param macsOf multiply-adds of an example of a training; asked once for each that is open. */
  total(macsOf: (training: OpenTraining) => number): Workload {
    const issued = { ...this.#issued };
    let open = 0;
    for (const training of this.#open.values()) {
      if (training.hasFailed) continue;
      training.work ??= macsOf(training) * training.fidelity.examples;
      open += training.work;
      issued[training.phase] = (issued[training.phase] ?? 0) + training.work;
    }
    return { done: this.#done, open, issued, base: this.#base };
  }

  #answered({ id, outcome }: EventOf<'outcome'>): void {
    const training = this.#open.get(id);
    if (!training) return;
    // It may be tried again.
    training.hasFailed = outcome.status === 'failed';
    if (training.hasFailed) return;
    this.#open.delete(id);
    if (outcome.status !== 'ok') return;
    // By a schedule, examples of several sizes were seen: FLOPs alone know how many.
    const { flops } = outcome.cost;
    const work = flops > 0 ? flops / trainingFlopsPerMac : (outcome.metrics['macs'] ?? 0) * training.fidelity.examples;
    this.#done += work;
    this.#base ??= training.spec;
    this.#issued[training.phase] = (this.#issued[training.phase] ?? 0) + work;
  }
}
