import type { StudyContext } from '../context.ts';
import { evaluateAll, isAnswered } from '../evaluation/evaluate.ts';
import type { Trial } from '../journal/record.ts';

/**
 * Trainings of which some are always under way. Their answers are handed out one by one in the order in which the journal has
 * them, never in that in which promises happen to end: so who decides by them decides alike when the journal is replayed.
 */
export class RollingTrainings {
  readonly #context: StudyContext;
  readonly #label: () => string;
  readonly #stopping = new AbortController();
  /** Begun and not handed out yet, in the order they were begun. */
  readonly #open = new Map<string, Trial>();
  readonly #running = new Map<string, Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** @param label what these trainings are part of and how it stands, for the progress line. */
  constructor(context: StudyContext, label: () => string) {
    this.#context = { ...context, signal: AbortSignal.any([context.signal, this.#stopping.signal]) };
    this.#label = label;
  }

  /** How many are not handed out yet. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Begins these and waits for the next answer of any that is under way; none when nothing is.
   * @throws what an evaluation threw, once the others have stopped.
   */
  async next(begun: readonly Trial[]): Promise<readonly Trial[]> {
    for (const trial of begun) this.#open.set(trial.id, trial);
    while (this.#open.size > 0) {
      this.#fill();
      if (this.#failure) {
        await this.close();
        throw this.#failure.error;
      }
      const earliest = this.#earliest();
      if (earliest) {
        this.#open.delete(earliest.id);
        // The study goes on without a failed one: from here on nobody may ask for it again.
        this.#context.record.settle(earliest.id);
        return [earliest];
      }
      await Promise.race(this.#running.values());
    }
    return [];
  }

  /** Stops what is under way and waits until it has stopped. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running.values());
  }

  /** Begins what is open, has no answer and does not run: new ones, and those whose failure somebody had forgotten. */
  #fill(): void {
    const { inFlight, slots } = this.#context.evaluator;
    for (const trial of this.#open.values()) {
      if (this.#running.size >= (inFlight ?? slots) || this.#stopping.signal.aborted || this.#failure) return;
      if (this.#running.has(trial.id) || isAnswered(this.#context, trial, false)) continue;
      const training = evaluateAll(this.#context, [trial], { label: this.#label(), keepWeights: false }).catch(
        (error: unknown) => {
          this.#failure ??= { error };
        },
      );
      // The next begins at once, whatever the study is at.
      const running = training.finally(() => {
        this.#running.delete(trial.id);
        this.#fill();
      });
      this.#running.set(trial.id, running);
    }
  }

  /** Of the open trials that are answered, the one whose answer the journal has first. */
  #earliest(): Trial | undefined {
    const { record } = this.#context;
    return [...this.#open.values()]
      .filter((trial) => isAnswered(this.#context, trial, false))
      .toSorted((a, b) => (record.answeredAt(a.id) ?? 0) - (record.answeredAt(b.id) ?? 0))[0];
  }
}
