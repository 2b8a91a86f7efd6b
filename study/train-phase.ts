import { EnvironmentError } from '../core/errors.ts';
import type { StudyContext } from './context.ts';
import { accuracyOf, admit, countSpec, evaluateAll } from './evaluate.ts';
import type { Trial } from './record.ts';
import type { SizedScalings } from './scale-phase.ts';
import { trainingTimeMs } from './budget.ts';

/** What became of one size: the scaling that is delivered, with its runs over seeds. */
export interface Member {
  readonly target: string;
  readonly line: string;
  readonly size: string;
  readonly targetMs: number;
  readonly multipliers: { readonly depth: number; readonly width: number; readonly resolution: number };
  /** Finished runs of the chosen scaling, one a seed. */
  readonly runs: readonly Trial[];
  /** The run whose weights are delivered: the best on the hold-out. */
  readonly delivered: Trial;
}

/** Largest training amount a time budget may decide, in passes over the training split. */
const maxEpochs = 60;

/**
 * Examples every final run sees: as configured, or what a time budget leaves, from the speed the
 * study's own trials reached (multiply-adds trained per second and slot).
 */
export async function allocate(context: StudyContext, sizes: readonly SizedScalings[]): Promise<number> {
  const { config, record, data } = context;
  return record.decideOnce('allocation', () => {
    const members = sizes.reduce((sum, { finalists }) => sum + Math.min(1, finalists.length), 0);
    const timeMs = trainingTimeMs(context, members);
    const configured = config.final.examples;
    if (timeMs === undefined) return { value: configured, because: 'final.examples' };
    let work = 0;
    let seconds = 0;
    for (const trial of record.trials) {
      const outcome = record.outcome(trial.id);
      if (outcome?.status !== 'ok') continue;
      work += countSpec(trial.spec).macs * outcome.cost.examples;
      seconds += outcome.cost.trainS;
    }
    if (seconds === 0) return { value: configured, because: 'final.examples: no trial tells how fast training is' };
    const networks = new Map(
      sizes.flatMap(({ finalists }) => finalists.map(({ spec, digest }) => [digest, countSpec(spec).macs] as const)),
    );
    const macsPerExample = config.final.seeds * [...networks.values()].reduce((sum, macs) => sum + macs, 0);
    const examples = Math.round(((timeMs / 1e3) * context.evaluator.slots * (work / seconds)) / macsPerExample);
    const bounded = Math.min(Math.max(examples, config.search.examples), maxEpochs * data.counts.train);
    return {
      value: bounded,
      because: `${(timeMs / 1e3).toFixed(0)} s are left for ${networks.size} networks × ${config.final.seeds} seeds at ${(work / seconds / 1e9).toFixed(2)} GMAC/s a slot`,
    };
  });
}

/** Trains the finalists of every size over seeds and chooses, for each size, the best mean hold-out accuracy. */
export async function trainFamily(
  context: StudyContext,
  sizes: readonly SizedScalings[],
  examples: number,
): Promise<Member[]> {
  const { config, record } = context;
  const seeds = Array.from({ length: config.final.seeds }, (_, index) => config.seed + index);
  // Smallest first, so that the first results come early.
  const ordered = sizes
    .flatMap((size) => size.finalists.map((finalist) => ({ size, finalist })))
    .toSorted((a, b) => countSpec(a.finalist.spec).macs - countSpec(b.finalist.spec).macs);
  const trials = await admit(
    context,
    ordered.flatMap(({ size, finalist }) =>
      seeds.map((seed) => ({
        phase: 'train' as const,
        choices: { ...finalist.multipliers },
        spec: finalist.spec,
        fidelity: { examples, seed },
        origin: {
          by: size.line,
          because: `finalist for ${size.size.name} on ${size.target}`,
          target: size.target,
          size: size.size.name,
        },
      })),
    ),
    [],
  );
  await evaluateAll(context, trials, { label: `${examples} examples each`, keepWeights: true });
  return sizes.map((size) => {
    const scored = size.finalists.flatMap((finalist) => {
      const own = trials.filter((trial) => trial.specDigest === finalist.digest);
      const runs = own.filter((trial) => accuracyOf(context, trial.id) !== undefined);
      const diverged = own.filter((trial) => record.outcome(trial.id)?.status === 'infeasible').length;
      if (runs.length === 0) return [];
      // A seed that diverged has learned nothing; one that failed tells nothing of the network.
      const sum = runs.reduce((total, run) => total + (accuracyOf(context, run.id) ?? 0), 0);
      return [{ finalist, runs, diverged, mean: sum / (runs.length + diverged) }];
    });
    const best = scored.reduce<(typeof scored)[number] | undefined>(
      (a, b) => (a && a.mean >= b.mean ? a : b),
      undefined,
    );
    if (!best) throw nothingTrained(context, size, trials);
    const delivered = best.runs.reduce((a, b) =>
      (accuracyOf(context, b.id) ?? 0) > (accuracyOf(context, a.id) ?? 0) ? b : a,
    );
    const { target, line, targetMs } = size;
    record.decideAgain(
      `member ${target} ${line} ${size.size.name}`,
      {
        targetMs,
        multipliers: { ...best.finalist.multipliers },
        runs: best.runs.map((run) => run.id),
        diverged: best.diverged,
        delivered: delivered.id,
      },
      `best mean hold-out accuracy, ${(100 * best.mean).toFixed(1)} % over ${best.runs.length} seeds, of ${size.finalists.length} finalists`,
    );
    return {
      target,
      line,
      size: size.size.name,
      targetMs,
      multipliers: best.finalist.multipliers,
      runs: best.runs,
      delivered,
    };
  });
}

function nothingTrained({ record }: StudyContext, size: SizedScalings, trials: readonly Trial[]): Error {
  const reasons = trials.flatMap((trial) => {
    const outcome = record.outcome(trial.id);
    return size.finalists.some(({ digest }) => digest === trial.specDigest) && outcome && outcome.status !== 'ok'
      ? [`${trial.id}: ${outcome.status === 'infeasible' ? outcome.reason : outcome.detail}`]
      : [];
  });
  return new EnvironmentError(
    `${size.size.name} on ${size.target}: no finalist could be trained (${reasons.join('; ')})`,
  );
}
