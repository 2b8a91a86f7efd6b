import type { Json } from '../core/digest.ts';
import type { Choices, Fidelity, Metrics } from '../core/trial.ts';

/** What a controller is told about a trial; issued but unfinished ones are seen too. Failed ones never are. */
export interface ObservedTrial {
  readonly id: string;
  readonly status: 'issued' | 'ok' | 'infeasible';
  readonly choices: Choices;
  readonly fidelity: Fidelity;
  /** Objective to maximise; present on `ok`. */
  readonly reward?: number;
  readonly metrics?: Metrics;
}

/**
 * Proposes what to try next.
 *
 * `suggest` never changes state: asked twice it answers the same. Only `observe` moves a
 * controller on, so its state is a replay of the observed trials, and a resumed study continues as
 * the uninterrupted one would have. Randomness comes from (seed, ordinal of the trial), never from
 * a running generator. Observing a trial again replaces what was known of it.
 */
export interface Controller {
  suggest(count: number): readonly Choices[];
  observe(trials: readonly ObservedTrial[]): void;
  /** Serialisable picture of what it knows, for reports and tests. */
  state(): Json;
}
