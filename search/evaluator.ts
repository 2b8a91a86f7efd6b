import type { Fidelity, Outcome } from '../core/trial.ts';
import type { NetworkSpec } from '../models/spec.ts';

/** A point of progress while a candidate is evaluated. */
export interface EvaluationProgress {
  readonly examples: number;
  /** As far as the trainer tells. */
  readonly loss?: number;
  readonly imagesPerS?: number;
}

export interface EvaluationRequest {
  readonly fidelity: Fidelity;
  readonly signal: AbortSignal;
  /** Which attempt at this candidate and fidelity it is, from 1. */
  readonly attempt?: number;
  /** Keep the trained weights as an artefact, named in the outcome's `checkpoint`. */
  readonly keepWeights: boolean;
  /** Hears that a device begins to be busy with it: of an evaluation that is cancelled the time from then on is charged, else none. */
  readonly onBegun?: () => void;
  readonly onProgress?: (progress: EvaluationProgress) => void;
  /** Hears what a person should know, e.g. that an interrupted training goes on. */
  readonly onNotice?: (text: string) => void;
}

/**
 * Answers how good a network is. Never throws for what the candidate does (that is `infeasible`)
 * nor for what the environment does (that is `failed`); it throws when aborted, and when it can
 * evaluate nothing more, as where a program says that its environment is broken.
 */
export interface Evaluator {
  evaluate(
    candidate: { readonly id: string; readonly spec: NetworkSpec },
    request: EvaluationRequest,
  ): Promise<Outcome>;
  /** How many evaluations it can usefully run at once. */
  readonly slots: number;
  /** How many to ask for at once where more than `slots` keep it busy, as where a queue stands between. */
  readonly inFlight?: number;
  /** Hears that an answer is on disk: what it keeps so that the answer cannot be lost may go. */
  journalled?(id: string, attempt: number): void;
  /** Hears that the study is over: what it keeps for evaluations to go on from may go. */
  concluded?(): void;
  close(): Promise<void>;
}
