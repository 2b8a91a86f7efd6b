import type { Outcome } from '../../core/trial.ts';
import type { JournalEvent, PhaseName } from './events.ts';

/** Beginning of the ids of decisions that a target cannot run a network: finding out takes time, too. */
export const unableBefore = 'unable ';

/**
 * Device hours of a study, from its journal: how long training slots and measured devices were busy with it, whatever
 * came out, failures too. A program may say for itself what a training cost (`cost.deviceHours`: eight accelerators for an
 * hour are eight). What was predicted, or known from another study, costs nothing. Of a worker that was lost the time until it was heard of last
 * counts (`cost.lostS`); what a process that was killed trained itself is in no journal, so it is not counted, but for what its
 * checkpoint saved.
 */
export class Spending {
  readonly #byPhase: Partial<Record<PhaseName, number>> = {};
  /** Of trials without a result. */
  readonly #phaseOf = new Map<string, PhaseName>();
  #phase: PhaseName = 'search';
  #hours = 0;
  #flops = 0;

  /** Device hours in all. */
  get hours(): number {
    return this.#hours;
  }

  /** Training FLOPs in all, of what ended well or diverged: nobody knows how far a failed training came. */
  get flops(): number {
    return this.#flops;
  }

  get byPhase(): Readonly<Partial<Record<PhaseName, number>>> {
    return this.#byPhase;
  }

  add(event: JournalEvent): void {
    if (event.type === 'issued') this.#phaseOf.set(event.id, event.phase);
    else if (event.type === 'phase' && event.action === 'started') this.#phase = event.id;
    else if (event.type === 'outcome') {
      this.#charge(this.#phaseOf.get(event.id) ?? this.#phase, outcomeHours(event.outcome));
      this.#flops += 'cost' in event.outcome ? (event.outcome.cost?.flops ?? 0) : 0;
      // What is trained once more is trained by the phase that needs it.
      if (event.outcome.status !== 'failed') this.#phaseOf.delete(event.id);
    } else if (event.type === 'measured') this.#charge(this.#phase, measuredHours(event));
    else if (event.type === 'decision' && event.id.startsWith(unableBefore)) {
      const { seconds } = event.value as { readonly seconds?: number };
      this.#charge(this.#phase, (seconds ?? 0) / 3600);
    }
  }

  #charge(phase: PhaseName, hours: number): void {
    this.#hours += hours;
    this.#byPhase[phase] = (this.#byPhase[phase] ?? 0) + hours;
  }
}

function outcomeHours(outcome: Outcome): number {
  if (outcome.status === 'failed') return (outcome.spentS ?? 0) / 3600;
  if (!outcome.cost) return 0;
  const { deviceHours, trainS, measureS, lostS = 0 } = outcome.cost;
  return (deviceHours ?? (trainS + measureS) / 3600) + lostS / 3600;
}

function measuredHours({
  latency,
  seconds,
}: Pick<Extract<JournalEvent, { type: 'measured' }>, 'latency' | 'seconds'>): number {
  return latency.source === 'predicted' || latency.reusedFrom !== undefined ? 0 : seconds / 3600;
}
