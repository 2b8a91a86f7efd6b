import type { Clock } from '../core/clock.ts';
import type { Latency } from '../latency/latency.ts';
import type { ProtocolPreset } from '../latency/protocol.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { Evaluator } from '../search/evaluator.ts';
import type { Dataset } from '../data/dataset.ts';
import type { FolderArtefacts } from './artefacts.ts';
import type { StudyProfiles } from './evaluation/profiles.ts';
import type { StudyRecord } from './journal/record.ts';
import type { StudyRequests } from './requests.ts';
import type { StudyConfig, TargetConfig } from './study-file.ts';

/** What is known of the data without holding its pixels. */
export interface DataDescription extends Omit<Dataset, 'splits'> {
  /** How pictures became squares of the native size; see `Preprocessing`. */
  readonly fit: 'centre-crop' | 'stretch';
  readonly digest: string;
  readonly counts: Readonly<Record<'train' | 'holdout' | 'test', number>>;
  /** Prepared data-set file that child processes read. */
  readonly file: string;
}

/** Latency of networks on targets: measured, or predicted where a target's device is a profile. */
export interface LatencyMeter {
  /**
   * A network with untrained weights; by the study's protocol unless one is asked for. By the thorough one the percentile of
   * the target's limit decides when it is known well enough.
   */
  measureSpec(spec: NetworkSpec, target: TargetConfig, protocol?: ProtocolPreset): Promise<Latency>;
  /** A file, by the thorough protocol unless another is asked for; the percentile of the target's limit decides when it is known well enough. */
  measureFile(
    path: string,
    target: TargetConfig,
    spec: NetworkSpec | null,
    protocol?: ProtocolPreset,
  ): Promise<Latency>;
  /** Hears that a latency it gave is kept in another unit: what it knows of the one it knows of the other. */
  converted?(given: Latency, kept: Latency): void;
  /** Hears that a latency it gave is on disk: what it keeps so that it cannot be lost may go. */
  journalled?(latency: Latency): void;
  /** Seconds that the device was busy with a latency it gave or what it threw, where that is not the time it was waited for. */
  secondsOf?(given: object): number | undefined;
  close(): Promise<void>;
}

/** A point of a running study that a person may want to see. */
export interface StudyProgress {
  readonly phase: string;
  readonly text: string;
  /** Estimated time to the end of the job; absent while nothing can be told. */
  readonly etaMs?: number;
  /** Device hours used, and those of the budget; absent without such a budget. */
  readonly deviceHours?: { readonly spent: number; readonly budget: number };
}

/** Everything a phase works with. */
export interface StudyContext {
  readonly config: StudyConfig;
  readonly folder: string;
  readonly data: DataDescription;
  readonly record: StudyRecord;
  readonly evaluator: Evaluator;
  readonly meter: LatencyMeter;
  readonly profiles: StudyProfiles;
  readonly artefacts: FolderArtefacts;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What people ask of it while it runs; absent where nobody can. */
  readonly requests?: StudyRequests;
  readonly onProgress: (progress: StudyProgress) => void;
  /** Takes what a person should know of a trial. A text is passed on once a study run, with the first trial it is of. */
  readonly onNotice: (trial: string, text: string) => void;
}
