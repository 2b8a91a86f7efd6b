import type { NetworkSpec } from '../models/spec.ts';
import type { EventOf, JournalEvent, PhaseName } from './events.ts';

/** What a study's trainings have cost so far and will cost, in multiply-adds times examples. */
export interface Workload {
  readonly done: number;
  readonly open: number;
  /** Of the trainings issued so far, by phase; those that failed or were refused left out. */
  readonly issued: Readonly<Partial<Record<PhaseName, number>>>;
  /** Multiply-adds of the first network that was trained; 0 before. */
  readonly baseMacs: number;
}

interface OpenTraining {
  readonly spec: NetworkSpec;
  readonly phase: PhaseName;
  readonly examples: number;
  macs?: number;
  hasFailed?: boolean;
}

/** A study's {@link Workload}, an event at a time: what is answered leaves sums behind, nothing else. */
export class WorkloadTally {
  readonly #open = new Map<string, OpenTraining>();
  readonly #issued: Partial<Record<PhaseName, number>> = {};
  #done = 0;
  #baseMacs = 0;

  add(event: JournalEvent): void {
    if (event.type === 'issued') {
      const { id, spec, phase, fidelity } = event;
      this.#open.set(id, { spec, phase, examples: fidelity.examples });
    } else if (event.type === 'outcome') this.#answered(event);
  }

  /** @param macsOf multiply-adds of a network; asked once for each that is open. */
  total(macsOf: (spec: NetworkSpec) => number): Workload {
    const issued = { ...this.#issued };
    let open = 0;
    for (const training of this.#open.values()) {
      if (training.hasFailed) continue;
      training.macs ??= macsOf(training.spec);
      const work = training.macs * training.examples;
      open += work;
      issued[training.phase] = (issued[training.phase] ?? 0) + work;
    }
    return { done: this.#done, open, issued, baseMacs: this.#baseMacs };
  }

  #answered({ id, outcome }: EventOf<'outcome'>): void {
    const training = this.#open.get(id);
    if (!training) return;
    // It may be tried again.
    training.hasFailed = outcome.status === 'failed';
    if (training.hasFailed) return;
    this.#open.delete(id);
    if (outcome.status !== 'ok') return;
    const macs = outcome.metrics['macs'] ?? 0;
    const work = macs * training.examples;
    this.#done += work;
    this.#baseMacs ||= macs;
    this.#issued[training.phase] = (this.#issued[training.phase] ?? 0) + work;
  }
}
