import type { CurvePoint } from '../../training/trainer.ts';
import type { Agreement } from '../../latency/agreement.ts';
import type { Latency } from '../../latency/latency.ts';
import type { LimitMet, RunSetting } from '../../latency/setting.ts';
import type { SpeedUp } from '../../latency/speed-up.ts';
import type { NetworkCount } from '../../models/counts.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import type { Transfer } from '../../search/regret.ts';
import type { Elasticity } from '../../scaling/elasticity.ts';
import type { Choices, Cost, Outcome } from '../../core/trial.ts';
import type { JournalledLaw, SizeAllocation } from '../train/allocate-phase.ts';
import type { PhaseName } from '../journal/events.ts';
import type { ProxyAudit } from '../search/proxy-audit.ts';
import type { VariantPrecision } from './quantize.ts';

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
  /** On the Pareto front of accuracy against latency on every target, among search trials of the first seed at the highest rung with results. */
  readonly onFront: boolean;
}

/**
 * A delivered network in another precision, made from its file without training; accuracies are shares of this one
 * file. `refusal` says why a target has none.
 */
export type VariantSummary = { readonly precision: VariantPrecision } & (
  | { readonly refusal: string }
  | {
      /** Path below the study's folder. */
      readonly file: string;
      readonly testAccuracy: number;
      readonly holdoutAccuracy: number;
      readonly latency: Latency;
      readonly limitMet: LimitMet | null;
      /** Test accuracy less that of the delivered file; below 0 where the variant lost some. */
      readonly accuracyChange: number;
      /** Against the delivered file. */
      readonly speedUp: SpeedUp;
    }
);

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
  /**
   * Hold-out accuracy by seeds that did not choose among the finalists; `holdoutAccuracy` is the best of several and so flattered.
   * Absent where nothing tells: one seed, a seed of a finalist that diverged, another size's network, a user's own model.
   */
  readonly freshAccuracy?: number;
  /** The run whose weights the file holds, the best of the seeds on the hold-out; null for a user's own model. */
  readonly delivered: { readonly seed: number; readonly testAccuracy: number; readonly holdoutAccuracy: number } | null;
  /** Seeds whose training diverged; they are in no mean above. */
  readonly divergedSeeds: number;
  /** Training examples of each run; absent for a user's own model. */
  readonly trainingExamples?: number;
  /** The delivered file, measured again in a fresh process. */
  readonly latency: Latency;
  readonly limitMet: LimitMet | null;
  /** The settings that its batch and precision were chosen from, as measured then; empty where there was no choice. */
  readonly chosenFrom: NonNullable<Latency['chosenFrom']>;
  /** Path below the study's folder; absent for baselines that are only compared. */
  readonly file?: string;
  /** In the order asked for; empty where none was, and for what is only compared. */
  readonly variants: readonly VariantSummary[];
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
  /** The smallest of several. */
  readonly batch: number;
  /** What each network's batch and precision are chosen from; empty where there is nothing to choose. */
  readonly settings: readonly RunSetting[];
  readonly threads: number;
  readonly limit: { readonly percentile: number; readonly ms: number } | null;
  readonly lines: readonly FamilySummary[];
}

/** What happened at one rung of a search. */
export interface RungSummary {
  /** Training examples of a network. */
  readonly examples: number;
  /** Ids of its trials, infeasible ones included, in order of issue. */
  readonly trials: readonly string[];
  /** How many of them have a result. */
  readonly trained: number;
  /** Trials whose networks went on to the next rung. */
  readonly promoted: readonly string[];
  readonly trainS: number;
  /** Spearman's, of the accuracies here and at the next rung, among networks that have both; null for fewer than five. */
  readonly rankCorrelation: number | null;
}

/** A network that all targets share at one size, on one of them. */
export interface SharedOnTarget {
  readonly target: string;
  /** The target's own size that it stands beside. */
  readonly size: string;
  readonly targetMs: number;
  /** The shared file, measured on this target. */
  readonly latency: Latency;
  readonly limitMet: LimitMet | null;
  /** Hold-out accuracy lost against the best network that was trained and is within this target's size; 0–1. */
  readonly regret: number;
  /** Test accuracy of the target's own member of that size, mean over seeds; null where it has none. */
  readonly ownTestAccuracy: number | null;
}

/** A member of the family that all targets share. */
export interface SharedMemberSummary {
  /** `2x`, or `size-2` where the targets' sizes have different names. */
  readonly name: string;
  readonly spec: NetworkSpec;
  readonly count: NetworkCount;
  readonly testAccuracy: OverSeeds;
  readonly holdoutAccuracy: OverSeeds;
  readonly delivered: { readonly seed: number; readonly testAccuracy: number; readonly holdoutAccuracy: number };
  readonly divergedSeeds: number;
  /** Paths below the study's folder: a file for each precision that some target runs it in. */
  readonly files: readonly string[];
  readonly targets: readonly SharedOnTarget[];
}

/** What a size got out of the budget, and what came of the law that divided it. */
export interface AllocatedSize extends Omit<SizeAllocation, 'network'> {
  /** Passes over the training split. */
  readonly passes: number;
  /** Hold-out cross-entropy that the network reached, mean over seeds; null while it is not trained. */
  readonly reached: number | null;
}

/** How a budget was divided over the family. */
export interface AllocationSummary {
  readonly split: 'even' | 'law';
  readonly because: string;
  readonly sizes: readonly AllocatedSize[];
  readonly law: JournalledLaw | null;
  /** Why no law divided it. */
  readonly problem: string | null;
}

/** What several targets have in common, and what that costs. */
export interface AcrossTargets {
  /** Search trials of equal fidelity that were measured on every target: what the following is of. */
  readonly networks: number;
  /** By target, ids of the trials that no other beats there in accuracy and latency. */
  readonly fronts: Readonly<Record<string, readonly string[]>>;
  /** `[from][to]` in the targets' order: one target's front on another (search/regret.ts); accuracies are shares. Empty without networks. */
  readonly transfer: readonly (readonly Transfer[])[];
  readonly shared: readonly SharedMemberSummary[];
  /** Sizes that no network which was trained keeps on every target. */
  readonly unshared: readonly string[];
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
  /** Hours that training slots and measured devices were busy, failures counted; the budget where there is one. */
  readonly deviceHours: {
    readonly spent: number;
    readonly budget: number | null;
    readonly byPhase: Readonly<Partial<Record<PhaseName, number>>>;
  };
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
  /** The training schedule of the delivered networks, in words; null where settings stay. */
  readonly schedule: string | null;
  /** Rungs of the search, the lowest first; empty where it has one alone. */
  readonly rungs: readonly RungSummary[];
  readonly targets: readonly TargetSummary[];
  /** Null without a budget to divide. */
  readonly allocation: AllocationSummary | null;
  /** How far the cheap stand-ins that it used, or could have used, may be trusted. */
  readonly proxyAudit: ProxyAudit;
  /** Null with one target. */
  readonly acrossTargets: AcrossTargets | null;
  readonly warnings: readonly string[];
  readonly finished: boolean;
}
