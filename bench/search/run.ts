import type { Controller } from '../../search/controller.ts';
import type { Losses, Task } from './tables.ts';

/** A search on a task: the losses of its trials, in order. */
export type Run = readonly Losses[];

/**
 * One trial after the other.
 * @param rewardOf the one number for controllers that maximise one; of no meaning to the others.
 */
export function runSearch(
  controller: Controller,
  task: Task,
  trials: number,
  rewardOf: (losses: Losses) => number,
): Run {
  const run: Losses[] = [];
  for (let trial = 0; trial < trials; trial++) {
    const [choices = {}] = controller.suggest(1);
    const losses = task.lossesOf(choices);
    run.push(losses);
    const metrics = { error: losses[0], latencyMs: Math.exp(losses[1]) };
    const fidelity = { examples: 1, seed: 0 };
    controller.observe([{ id: `${trial}`, status: 'ok', choices, fidelity, metrics, reward: rewardOf(losses) }]);
  }
  return run;
}

/** Share of the hypervolume of the table's own front that the first `trials` of a run dominate. */
export function volumeAfter(run: Run, trials: number, { reference, best }: Task): number {
  const front = run
    .slice(0, trials)
    .filter(([x, y]) => x < reference[0] && y < reference[1])
    .toSorted((a, b) => a[0] - b[0] || a[1] - b[1]);
  let volume = 0;
  let top = reference[1];
  for (const [x, y] of front) {
    if (y >= top) continue;
    volume += (reference[0] - x) * (top - y);
    top = y;
  }
  return volume / best;
}

/**
 * TuNAS's absolute reward for controllers that maximise one number: accuracy − .1 · |latency ÷ target − 1|, with half the
 * reference's latency as the target. Such a controller looks for one latency, so its front is narrow wherever the target is.
 */
export function absoluteReward({ reference }: Task): (losses: Losses) => number {
  const targetMs = Math.exp(reference[1]) / 2;
  return ([error, logLatency]) => 1 - error / 100 - 0.1 * Math.abs(Math.exp(logLatency) / targetMs - 1);
}
