import { childEntry, runChild } from '../core/child.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { StagePlan } from './stage-plan.ts';

/** A setting whose step is timed: a stage's network and recipe. What it is shown makes no difference. */
export type StepSetting = Pick<StagePlan<NetworkSpec>, 'spec' | 'recipe' | 'threads' | 'optimization'>;

/** What one update costs at a setting. */
export interface StepCost {
  /** Fastest of the steps timed, batches not included: what others do on the machine only adds, and not to all of them. With one thread on the CPU in processor time. */
  readonly stepMs: number;
  /** Of the process that trains, its runtime included; not of a device with memory of its own. */
  readonly peakRssBytes: number;
}

/** What the child is asked. */
export interface StepCostAssignment {
  readonly setting: StepSetting;
  /** Steps are timed for so long, at least three. */
  readonly seconds: number;
}

/**
 * Times a few updates at a setting, on the recipe's provider, in a process of its own, whose memory is the setting's alone. Takes no lock: holding the
 * host's is the caller's part.
 * @throws {InterruptedError} when aborted. @throws {ChildCrashedError} when the process ends, as for want of memory.
 */
export async function stepCost(assignment: StepCostAssignment, signal: AbortSignal): Promise<StepCost> {
  const entry = childEntry(import.meta.url, './step-cost-child');
  const { output, peakRssBytes } = await runChild<StepCostAssignment, number>({ entry, input: assignment, signal });
  return { stepMs: output, peakRssBytes };
}
