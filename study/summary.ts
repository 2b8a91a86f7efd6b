import type { CurvePoint } from '../training/trainer.ts';
import type { Agreement } from '../latency/agreement.ts';
import type { Latency } from '../latency/latency.ts';
import type { NetworkCount } from '../models/counts.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { Elasticity } from '../scaling/elasticity.ts';
import type { Choices, Cost, Outcome } from '../core/trial.ts';
import type { PhaseName } from './events.ts';

/** Mean and sample standard deviation over seeds; `sd` is null for one. Shares are 0–1. */
export interface OverSeeds {
  readonly mean: number;
  readonly sd: number | null;
  readonly values: readonly number[];
}

/** One trial as `trials.csv` and the report show it. */
export interface TrialSummary {
  readonly id: string;
  readonly phase: PhaseName;
  readonly choices: Choices;
  readonly spec: NetworkSpec;
  readonly because: string;
  readonly target?: string;
  readonly size?: string;
  readonly status: 'issued' | Outcome['status'];
  readonly reason?: string;
  readonly fidelityExamples: number;
  readonly seed: number;
  readonly accuracy?: number;
  readonly crossEntropy?: number;
  /** p50 by target. */
  readonly latencyMs: Readonly<Record<string, number>>;
  readonly count: NetworkCount;
  readonly cost?: Cost;
  readonly curve?: readonly CurvePoint[];
  readonly startedMs: number;
  readonly endedMs?: number;
  /** On the Pareto front of accuracy against latency on every target, among equal-fidelity search trials. */
  readonly onFront: boolean;
}

/** A delivered or compared network of one target. */
export interface MemberSummary {
  /** `1x`, `2x`, `1.5ms` …, or the name of a user's own model. */
  readonly size: string;
  readonly targetMs: number | null;
  /** Realised against the base; null for a user's own model. */
  readonly multipliers: { readonly depth: number; readonly width: number; readonly resolution: number } | null;
  readonly spec: NetworkSpec | null;
  readonly count: NetworkCount | null;
  /** Test split, read once, over the training seeds. */
  readonly testAccuracy: OverSeeds;
  /** Hold-out accuracy of the same runs, what decisions were made on. */
  readonly holdoutAccuracy: OverSeeds | null;
  /** The run whose weights the file holds, the best of the seeds on the hold-out; null for a user's own model. */
  readonly delivered: { readonly seed: number; readonly testAccuracy: number; readonly holdoutAccuracy: number } | null;
  /** Seeds whose training diverged; they are in no mean above. */
  readonly divergedSeeds: number;
  /** The delivered file, measured again in a fresh process. */
  readonly latency: Latency;
  readonly limitMet: boolean | null;
  /** Path below the study's folder; absent for baselines that are only compared. */
  readonly file?: string;
  readonly curve?: readonly CurvePoint[];
}

/** One line of comparison: the family, a fixed rule on the same base, or the user's own models. */
export interface FamilySummary {
  readonly kind: 'family' | 'rule' | 'user-model';
  /** `ridgepoint`, `1.2/1.1/1.15`, `dWr` or a file name. */
  readonly name: string;
  readonly members: readonly MemberSummary[];
}

/** How far the profile of a measured target was off in this study, and what screening by it did. */
export interface PredictionSummary extends Agreement {
  /** Profile's id. */
  readonly profile: string;
  readonly calibrated: boolean;
  /** Networks refused by prediction alone. */
  readonly refused: number;
  /** Networks that prediction would have refused and that were measured all the same, as a sample … */
  readonly sampled: number;
  /** … and how many of those were within the limit after all. */
  readonly wronglyRefused: number;
  /** With 95 % confidence, at most this share of what prediction refuses is within the limit. */
  readonly wronglyRefusedAtMost: number;
}

/** How latency answers to scaling the base on one target; see scaling/elasticity.ts. */
export interface ElasticitySummary {
  readonly observations: number;
  readonly exponents: Elasticity['exponents'];
  readonly determined: boolean;
  readonly residualSd: number;
}

export interface TargetSummary {
  readonly name: string;
  readonly device: string;
  /** The profile that its latencies are predicted by; null where they are measured. */
  readonly predictedBy: { readonly profile: string; readonly calibrated: boolean } | null;
  /** Null where nothing was both predicted and measured. */
  readonly prediction: PredictionSummary | null;
  /** Null where no size was grown. */
  readonly elasticity: ElasticitySummary | null;
  readonly batch: number;
  readonly threads: number;
  readonly limit: { readonly percentile: number; readonly ms: number } | null;
  readonly lines: readonly FamilySummary[];
}

/** Everything the report shows, computed from the journal alone. */
export interface StudySummary {
  readonly name: string;
  readonly seed: number;
  readonly createdMs: number;
  /** Wall time over all sessions, and its parts. */
  readonly activeS: number;
  readonly phaseS: Readonly<Partial<Record<PhaseName, number>>>;
  readonly trainS: number;
  readonly measureS: number;
  readonly data: {
    readonly name: string;
    readonly classes: number;
    readonly native: string;
    readonly train: number;
    readonly holdout: number;
    readonly test: number;
    readonly digest: string;
  };
  readonly environment: Readonly<Record<string, string>>;
  readonly base: {
    readonly trial: string;
    readonly because: string;
    readonly spec: NetworkSpec;
    readonly count: NetworkCount;
  } | null;
  readonly trials: readonly TrialSummary[];
  readonly targets: readonly TargetSummary[];
  readonly warnings: readonly string[];
  readonly finished: boolean;
}
