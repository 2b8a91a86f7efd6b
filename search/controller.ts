import type { Json } from '../core/digest.ts';
import type { Choices, Fidelity, Metrics } from '../core/trial.ts';
import type { EarlierStudy } from './earlier-study.ts';
import type { Members } from './members.ts';
import type { Objective } from './objectives.ts';
import type { SpaceNode } from './space.ts';

/** What a controller is told about a trial; issued but unfinished ones are seen too. Failed ones never are. */
export interface ObservedTrial {
  readonly id: string;
  readonly status: 'issued' | 'ok' | 'infeasible';
  readonly choices: Choices;
  readonly fidelity: Fidelity;
  /** The one number to maximise; present on `ok`. */
  readonly reward?: number;
  /** All that is known; on `infeasible` what was found before the limit was. */
  readonly metrics?: Metrics;
  /**
   * On `infeasible`: by how much of its limit the trial is over it, observed ÷ limit − 1, above 0 and summed over
   * limits. Absent where nobody knows, e.g. of an operator that a target lacks.
   */
  readonly violation?: number;
}

/** What every controller is made from. */
export interface SearchOptions {
  readonly space: SpaceNode;
  readonly seed: number;
  /** Choices to try first, e.g. a known good base. */
  readonly start?: readonly Choices[];
  /** What to optimise; the trials' `reward`, maximised, when left out. */
  readonly objectives?: readonly Objective[];
  /**
   * Names the network that choices build, so that choices which build the same one count as one
   * (search/network-identity.ts). When left out, other choices are another network.
   */
  readonly identity?: (choices: Choices) => string;
  /** The only points that exist, where not all of the space do: what is proposed becomes the nearest of them that is new. */
  readonly members?: Members;
  /** What other studies found, for controllers that learn from more than where to start; needs `objectives`. */
  readonly earlier?: readonly EarlierStudy[];
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
