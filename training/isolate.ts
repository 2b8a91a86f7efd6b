import type { Detected } from '../accelerators/accelerator.ts';
import { detectAccelerators } from '../accelerators/detect.ts';
import { AcceleratorUnavailableError } from '../accelerators/onnxruntime.ts';
import { childEntry, runChild } from '../core/child.ts';
import type { Fidelity } from '../core/trial.ts';
import type { Augmentation } from '../data/augment.ts';
import type { TextSource } from '../data/text.ts';
import type { ModelSpec } from '../models/transformer.ts';
import type { FoundLowering } from './choose-lowering.ts';
import type { ScheduleChoice } from './heuristic-schedules.ts';
import { installedTensorFlow } from './tfjs/load.ts';
import type {
  CheckpointOptions,
  CurvePoint,
  Pace,
  Recipe,
  TrainerKind,
  TrainingRequest,
  TrainingResult,
} from './trainer.ts';

/** A prepared data set, and how it is shown. */
export interface ImageData {
  /** Prepared data-set file (`data/cache.ts`). */
  readonly file: string;
  /** Training and scoring resolution; the fidelity's, else the network's own, when absent. */
  readonly resolution?: number;
  readonly augmentation: Augmentation;
  readonly scoredSplit: 'holdout' | 'test';
}

/** What a child process needs to train one network: paths and plain data. */
export interface TrainingAssignment {
  readonly spec: ModelSpec;
  /** Pictures for a convolution network; text, by an absolute path where it has one, for a transformer. */
  readonly data: ImageData | TextSource;
  /** ONNX Runtime when absent. */
  readonly trainer?: TrainerKind;
  readonly recipe: Recipe;
  readonly fidelity: Fidelity;
  /** How settings change as the training goes on; they stay when absent. */
  readonly schedule?: ScheduleChoice;
  readonly threads: number;
  /** The lowering to train by; what the first child of this process found, when absent. */
  readonly lowering?: FoundLowering;
  /** Where the trained weights go, as safetensors: written beside and renamed; absent when training diverged. */
  readonly weightsFile: string;
  /** Makes the training survive its process: it is continued from the file when that is there. */
  readonly checkpoint?: Omit<CheckpointOptions, 'task' | 'onSaved'> & {
    /** Digest of the data set: a training on other data is not continued. */
    readonly dataDigest: string;
  };
}

/** Training seen from outside: a point of the curve and the pace so far. */
export type TrainingProgress = CurvePoint & Pace;

/** What the child tells while it trains. */
export type TrainingNews =
  | { readonly type: 'progress'; readonly progress: TrainingProgress }
  | { readonly type: 'notice'; readonly text: string }
  /** The checkpoint holds a later state. */
  | { readonly type: 'saved'; readonly trainS: number }
  /** What it chose to train by, where the assignment did not say. */
  | { readonly type: 'lowering'; readonly found: FoundLowering };

/** Time an interrupted child has for the update under way and for writing its checkpoint. */
const checkpointGraceMs = 20_000;

/** What the first child found out for all children of this process: they run on one host and one runtime. */
let found: FoundLowering | undefined;

/** A {@link TrainingResult} whose weights are in the file asked for. */
export type StoredTrainingResult =
  | Extract<TrainingResult, { status: 'diverged' }>
  | Omit<Extract<TrainingResult, { status: 'trained' }>, 'weights'>;

/** @throws {EnvironmentError} when a trainer cannot run here for want of a package, saying how to install it. */
export function expectTrainer(kind: TrainerKind): void {
  if (kind === 'tfjs') installedTensorFlow();
}

/** What this host offers, asked once a process. */
let detected: Promise<readonly Detected[]> | undefined;

/**
 * @throws {AcceleratorUnavailableError} when a training asks for a provider that this host does not offer, naming those it does.
 */
export async function expectProviders({
  recipe,
  schedule,
}: Pick<TrainingAssignment, 'recipe' | 'schedule'>): Promise<void> {
  const stages = typeof schedule === 'object' ? schedule.stages : [];
  const asked = [recipe, ...stages].flatMap(({ provider = 'cpu' }) => (provider === 'cpu' ? [] : [provider]));
  if (asked.length === 0) return;
  detected ??= detectAccelerators();
  const offered = await detected;
  const missing = offered.find(({ id, available }) => !available && asked.some((provider) => provider === id));
  if (!missing) return;
  const there = offered.flatMap(({ id, available }) => (available ? [id] : [])).join(', ');
  throw new AcceleratorUnavailableError(
    `provider: expected one that this host offers (${there}), got ${missing.id}: ${missing.reason}; ${missing.fix}`,
  );
}

/**
 * Trains in a process of its own, which survives native crashes and does not block this event loop.
 * Takes no lock: holding the host's lock in shared mode is the caller's part.
 * @throws {InterruptedError} when aborted, after the child has ended; its checkpoint is written by then.
 * @throws {ChildCrashedError} when the child ends without an answer.
 * @throws {AcceleratorUnavailableError} when this host does not offer the provider.
 * @throws {ConfigError} when data and network do not fit, or a checkpoint of another training is refused.
 * @throws {InvalidFileError} when a file is not what it should be.
 */
export async function trainInChild(
  request: TrainingAssignment & {
    readonly signal?: AbortSignal;
    readonly onProgress?: (progress: TrainingProgress) => void;
    readonly onNotice?: TrainingRequest['onNotice'];
    readonly onSaved?: CheckpointOptions['onSaved'];
  },
): Promise<StoredTrainingResult> {
  const { signal, onProgress, onNotice, onSaved, ...assignment } = request;
  await expectProviders(assignment);
  const input = { ...(found && { lowering: found }), ...assignment };
  const hear = (news: TrainingNews): void => {
    if (news.type === 'progress') onProgress?.(news.progress);
    else if (news.type === 'notice') onNotice?.(news.text);
    else if (news.type === 'saved') onSaved?.(news.trainS);
    else found = news.found;
  };
  const { output, peakRssBytes } = await runChild<TrainingAssignment, StoredTrainingResult, TrainingNews>({
    entry: childEntry(import.meta.url, './train-child'),
    input,
    signal,
    ...(input.checkpoint && { graceMs: checkpointGraceMs }),
    onEvent: hear,
  });
  return { ...output, cost: { ...output.cost, peakRssBytes } };
}
