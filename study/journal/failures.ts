import type { Outcome } from '../../core/trial.ts';
import type { JournalEvent } from './events.ts';

/** Codes of answers that nobody's machine is to blame for: a person cancelled the trial, or its budget is used up. */
export const leftOutCodes = { cancelled: 'cancelled', overBudget: 'over-budget' } as const;

/** Whether a trial has no result because it was left out on purpose. */
export function isLeftOut(outcome: Outcome | undefined): boolean {
  return outcome?.status === 'failed' && Object.values<string>(leftOutCodes).includes(outcome.code);
}

/** Attempts before an evaluation that keeps failing is given up. */
export const maxAttempts = 3;

/** Whether an answer is followed by another attempt at once. @param attempt the one that it is of, from 1. */
export function isTriedAgain(outcome: Outcome, attempt: number): boolean {
  return outcome.status === 'failed' && outcome.retry && attempt < maxAttempts;
}

/**
 * Which failed trials may be tried again, an event at a time. Nothing rests on a failure as long as no trial is issued and nothing decided
 * after it. Such a failure is forgotten, which gives its trial another attempt, when somebody asks for that and when the
 * study is opened again, for what failed was the environment. What was left out on purpose stays so until somebody asks.
 */
export class Failures {
  /** Those that nothing rests on, and whether each was left out on purpose. */
  readonly #recent = new Map<string, boolean>();
  readonly #forgotten = new Set<string>();

  /** Whether a trial's last answer is a failure that another attempt takes the place of. */
  isForgotten(trial: string): boolean {
    return this.#forgotten.has(trial);
  }

  /** Whether a trial failed, or was cancelled, and nothing rests on that yet. */
  mayForget(trial: string): boolean {
    return this.#recent.has(trial);
  }

  /** From here on something rests on a trial's failure, though no event says so yet. */
  settle(trial: string): void {
    this.#recent.delete(trial);
  }

  add(event: JournalEvent): void {
    if (event.type === 'issued' || event.type === 'decision') this.#recent.clear();
    else if (event.type === 'outcome') {
      this.#forgotten.delete(event.id);
      this.#recent.delete(event.id);
      if (event.outcome.status === 'failed') this.#recent.set(event.id, isLeftOut(event.outcome));
    } else if (event.type === 'request' && event.action === 'retry' && this.#recent.has(event.id))
      this.#forget(event.id);
    else if (event.type === 'study' && event.action === 'opened')
      for (const [trial, leftOut] of this.#recent) if (!leftOut) this.#forget(trial);
  }

  #forget(trial: string): void {
    this.#recent.delete(trial);
    this.#forgotten.add(trial);
  }
}
