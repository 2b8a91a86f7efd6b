import { EnvironmentError } from '../../core/errors.ts';
import type { Allocation } from './allocate-phase.ts';
import type { StudyContext } from '../context.ts';
import { accuracyOf, admit, countSpec, evaluateAll } from '../evaluation/evaluate.ts';
import { leftOutCodes } from '../journal/failures.ts';
import type { Trial } from '../journal/record.ts';
import { freshAccuracy, meanOf, monotoneHolders, type SeedAccuracies, seedDeviation } from './member-choice.ts';
import { familyLine, type Scaling, type SizedScalings } from '../scale/scalings.ts';
import { scheduleName } from '../evaluation/training-schedule.ts';

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

/**
 * Trains the finalists of every size over seeds, each on the examples that its digest was given, and chooses, for each size, the best mean hold-out accuracy; no size of a family
 * holds a network that is clearly less accurate than that of a smaller one.
 */
export async function trainFamily(
  context: StudyContext,
  sizes: readonly SizedScalings[],
  examples: Allocation['examples'],
): Promise<Member[]> {
  const { config } = context;
  const { schedule } = config.final;
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
        fidelity: {
          examples: examples[finalist.digest] ?? config.final.examples,
          seed,
          ...(schedule && { schedule: scheduleName(schedule) }),
        },
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
  const isTrained = ({ digest }: Scaling) =>
    trials.some(({ id, specDigest }) => specDigest === digest && context.record.outcome(id)?.status === 'ok');
  // A network may stand in several sizes, of several targets: each of them must get one that is trained.
  const isNeeded = ({ specDigest }: Trial) =>
    sizes.some(({ finalists }) => finalists.some(({ digest }) => digest === specDigest) && !finalists.some(isTrained));
  await evaluateAll(context, trials, { label: examplesText(trials), keepWeights: true, isNeeded });
  const chosen = sizes.map((size) => chooseMember(context, size, trials));
  const networks = new Map(
    chosen.flatMap(({ finalists }) => finalists.map((each) => [each.finalist.digest, each.accuracies])),
  );
  const deviation = seedDeviation([...networks.values()], context.data.counts.holdout);
  return withoutInversions(chosen, deviation).map((choice) => memberOf(context, choice));
}

/** Examples of each, or from the fewest to the most. */
function examplesText(trials: readonly Trial[]): string {
  const amounts = trials.map(({ fidelity }) => fidelity.examples);
  const [least, most] = [Math.min(...amounts), Math.max(...amounts)];
  return least === most ? `${least} examples each` : `${least} to ${most} examples each`;
}

/** A finalist with its runs. */
interface ScoredFinalist {
  readonly finalist: Scaling;
  readonly runs: readonly Trial[];
  readonly diverged: number;
  readonly accuracies: SeedAccuracies;
}

/** A size with what was chosen for it, of which finalists. */
interface Choice {
  readonly size: SizedScalings;
  readonly finalists: readonly ScoredFinalist[];
  readonly best: ScoredFinalist;
  /** Name of the smaller size whose network it holds. */
  readonly heldFrom?: string;
}

/** The finalist of the best mean hold-out accuracy. @throws {EnvironmentError} when none could be trained. */
function chooseMember(context: StudyContext, size: SizedScalings, trials: readonly Trial[]): Choice {
  const { record } = context;
  const finalists = size.finalists.flatMap((finalist): ScoredFinalist[] => {
    const own = trials.filter((trial) => trial.specDigest === finalist.digest);
    const runs = own.filter((trial) => accuracyOf(context, trial.id) !== undefined);
    const diverged = own.filter((trial) => record.outcome(trial.id)?.status === 'infeasible');
    if (runs.length === 0) return [];
    // A seed that diverged has learned nothing; one that failed tells nothing of the network.
    const accuracies = new Map([
      ...runs.map(({ id, fidelity }) => [fidelity.seed, accuracyOf(context, id) ?? 0] as const),
      ...diverged.map(({ fidelity }) => [fidelity.seed, 0] as const),
    ]);
    return [{ finalist, runs, diverged: diverged.length, accuracies }];
  });
  const [first, ...others] = finalists;
  if (!first) throw nothingTrained(context, size, trials);
  const best = others.reduce((a, b) => (meanOf(b.accuracies) > meanOf(a.accuracies) ? b : a), first);
  return { size, finalists, best };
}

/**
 * The family made monotone: a size whose network is clearly less accurate than that of a smaller size of its target holds the
 * smaller one's. Lines that are only compared stay as they are.
 */
function withoutInversions(choices: readonly Choice[], deviation: number): readonly Choice[] {
  return choices.map((choice) => {
    if (choice.size.line !== familyLine) return choice;
    const family = choices
      .filter(({ size }) => size.line === familyLine && size.target === choice.size.target)
      .toSorted((a, b) => a.size.targetMs - b.size.targetMs);
    const holders = monotoneHolders(
      family.map(({ best }) => best.accuracies),
      deviation,
    );
    const holder = family[holders[family.indexOf(choice)] ?? -1];
    return holder === undefined || holder === choice
      ? choice
      : { ...choice, best: holder.best, heldFrom: holder.size.size.name };
  });
}

/** The member that a choice stands for, as the journal keeps it. */
function memberOf(context: StudyContext, { size, finalists, best, heldFrom }: Choice): Member {
  const delivered = best.runs.reduce((a, b) =>
    (accuracyOf(context, b.id) ?? 0) > (accuracyOf(context, a.id) ?? 0) ? b : a,
  );
  const { target, line, targetMs } = size;
  const { multipliers } = best.finalist;
  // A diverged seed counts as 0 in choosing, and in no accuracy that is told.
  const isTold = heldFrom === undefined && finalists.every(({ diverged }) => diverged === 0);
  const fresh = isTold ? freshAccuracy(finalists.map(({ accuracies }) => accuracies)) : null;
  const runs = best.runs.map((run) => run.id);
  context.record.decideAgain(
    `member ${target} ${line} ${size.size.name}`,
    {
      targetMs,
      multipliers: { ...multipliers },
      runs,
      diverged: best.diverged,
      delivered: delivered.id,
      freshAccuracy: fresh,
      ...(heldFrom === undefined ? {} : { heldFrom }),
    },
    because(finalists, best, { fresh, heldFrom }),
  );
  return { target, line, size: size.size.name, targetMs, multipliers, runs: best.runs, delivered };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function because(
  finalists: readonly ScoredFinalist[],
  best: ScoredFinalist,
  { fresh, heldFrom }: { readonly fresh: number | null; readonly heldFrom: string | undefined },
): string {
  const diverged = best.diverged > 0 ? `, ${best.diverged} of them diverged and counted as 0` : '';
  const mean = `best mean hold-out accuracy, ${percent(meanOf(best.accuracies))} over ${best.accuracies.size} seeds${diverged}`;
  if (heldFrom !== undefined)
    return `no finalist is as accurate as the network of ${heldFrom}, which is faster, so it is delivered: ${mean}`;
  if (finalists.length === 1) return `${mean}, of 1 finalist`;
  const unbiased =
    fresh === null ? 'the figure that chose it, so flattered' : `${percent(fresh)} by seeds that did not choose`;
  return `${mean}, of ${finalists.length} finalists (${unbiased})`;
}

function nothingTrained({ record }: StudyContext, size: SizedScalings, trials: readonly Trial[]): Error {
  const failures = trials.flatMap(({ id, specDigest }) => {
    const outcome = record.outcome(id);
    const isOf = size.finalists.some(({ digest }) => digest === specDigest);
    return isOf && outcome && outcome.status !== 'ok' ? [{ id, outcome }] : [];
  });
  const reasons = failures.map(
    ({ id, outcome }) => `${id}: ${outcome.status === 'infeasible' ? outcome.reason : outcome.detail}`,
  );
  const cancelled = failures.flatMap(({ id, outcome }) =>
    outcome.status === 'failed' && outcome.code === leftOutCodes.cancelled ? [id] : [],
  );
  const where = `${size.size.name} on ${size.target}`;
  if (cancelled.length > 0 && cancelled.length === failures.length)
    return new EnvironmentError(
      `${where}: every training of it was cancelled (${reasons.join('; ')}), so there is nothing to deliver; "retry ${cancelled[0]}" asks for it again, then search goes on`,
    );
  return new EnvironmentError(`${where}: no finalist could be trained (${reasons.join('; ')})`);
}
