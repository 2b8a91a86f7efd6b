import { ConfigError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { percentileInterval } from '../../scaling/fit-bootstrap.ts';
import { checkDesign, usualUnit, worstCondition } from '../../scaling/fit-identifiability.ts';
import { type FitProgress, fitRuns, type FittedLaw } from '../../scaling/fit-report.ts';
import type { Run } from '../../scaling/fit-runs.ts';
import { chinchilla } from '../../scaling/laws/chinchilla.ts';
import { effectiveData } from '../../scaling/laws/data-constrained.ts';
import { lossAt, type LossLaw, trainingFlops } from '../../scaling/laws/law.ts';
import { lossLaw } from '../../scaling/laws/laws.ts';
import { tied } from '../../scaling/laws/tied.ts';
import { countSpec } from '../evaluation/evaluate.ts';
import type { StudyRecord } from '../journal/record.ts';
import { isBase } from '../scale/scalings.ts';
import { rungsOf, type StudyConfig, topExamples } from '../study-file.ts';

/** A trial as a point of the law: a network by its digest, its multiply-adds, the examples it saw and the loss it reached. */
export interface LawTrial {
  readonly digest: string;
  /** Of one example, forward. */
  readonly macs: number;
  /** Repeats counted. */
  readonly examples: number;
  /** Hold-out cross-entropy, nats. */
  readonly crossEntropy: number;
}

/**
 * A law of the loss of a study's own networks, L(M, D'): M multiply-adds of one example, D' the examples seen, repeats
 * discounted (docs/methods.md, The family's law).
 */
export interface FamilyLaw {
  readonly law: LossLaw;
  readonly theta: readonly number[];
  /** Refits to resampled trials. */
  readonly draws: readonly (readonly number[])[];
  /** Multiply-adds that count as one of the law's N. */
  readonly unitMacs: number;
  /** Distinct training examples there are. */
  readonly uniqueExamples: number;
  readonly trials: readonly LawTrial[];
  /** ln predicted − ln observed, trial by trial. */
  readonly residuals: readonly number[];
}

/** A loss foretold: 95 % of what trainings will reach lies from lo to hi, as far as the form is right. */
export type LossForecast = {
  readonly crossEntropy: number;
  readonly lo: number;
  readonly hi: number;
};

/** Laws that are tried. Where a hold-out cannot tell them apart the first, of fewer parameters, is taken. */
const forms: readonly LossLaw[] = [tied, chinchilla];
/** Resamples for intervals. */
const resamples = 200;
/** What `checkDesign` asks for. */
const leastAmounts = 3;
/** Share of resamples that must find that further examples lower the loss. */
const sureOfGain = 0.975;

/**
 * The trials that tell of the law: every scaling, and at all their rungs the networks that the search trained to its top one. Those that
 * fell at a lower rung are the worse ones, at few examples only, and would make examples look better than they are. What did no
 * better than chance has not begun to learn and lies on no curve.
 */
export function lawTrials(record: StudyRecord, config: Pick<StudyConfig, 'search'>, classes: number): LawTrial[] {
  const top = topExamples(config.search);
  const kept = new Set(
    record.trials.flatMap(({ id, phase, fidelity, specDigest }) =>
      (phase === 'scale' || fidelity.examples >= top) && record.outcome(id)?.status === 'ok' ? [specDigest] : [],
    ),
  );
  return record.trials.flatMap(({ id, phase, fidelity, spec, specDigest: digest }) => {
    const outcome = record.outcome(id);
    if (phase === 'train' || outcome?.status !== 'ok' || !kept.has(digest)) return [];
    const crossEntropy = outcome.metrics['crossEntropy'] ?? Number.NaN;
    if (!(crossEntropy > 0 && crossEntropy < Math.log(classes))) return [];
    return [{ digest, macs: countSpec(spec).macs, examples: fidelity.examples, crossEntropy }];
  });
}

/**
 * What keeps a study's trials from identifying a law, as far as its file tells; null where nothing does. Which networks reach the
 * top rung only the study itself shows.
 */
export function designProblem({
  base,
  search,
  family,
  scale,
}: Pick<StudyConfig, 'base' | 'search' | 'family' | 'scale'>): string | null {
  const grows = Object.values(family)
    .flat()
    .some((size) => !isBase({ size }));
  const searched = base === undefined ? rungsOf(search) : [topExamples(search)];
  const amounts = new Set([...searched, ...(grows ? [scale.examples] : [])]);
  if (amounts.size >= leastAmounts) return null;
  const remedy =
    base === undefined
      ? 'give search.examples rungs, or scale.examples another amount'
      : 'with a given base there are at most two';
  return `trials see ${amounts.size === 1 ? 'one amount' : `${amounts.size} amounts`} of examples (${[...amounts].join(', ')}), and ${leastAmounts} are needed: ${remedy}`;
}

/**
 * Fits a study's law, or says why its trials do not identify one.
 * @param uniqueExamples of the training split. @throws {InterruptedError} when stopped.
 */
export async function fitFamilyLaw(
  trials: readonly LawTrial[],
  uniqueExamples: number,
  seed: number,
  progress: FitProgress = {},
): Promise<{ readonly law: FamilyLaw } | { readonly problem: string }> {
  // M has no unit of its own.
  const unitMacs = usualUnit(trials.map(({ macs, examples }) => ({ params: macs, data: examples })));
  const runs = trials.map((trial) => runOf(trial, unitMacs, uniqueExamples));
  const { problems } = checkDesign(runs, tied.parameters.length);
  if (problems[0] !== undefined) return { problem: inTrials(problems[0]) };
  const laws = forms.filter(({ parameters }) => parameters.length < runs.length).map(({ name }) => name);
  const report = await fitRuns(runs, { laws, draws: resamples, seed }, progress).catch((error: unknown) => {
    if (error instanceof RangeError || error instanceof ConfigError) return error;
    throw error;
  });
  if (report instanceof Error) return { problem: report.message };
  const usable = report.laws.filter((fitted) => isDetermined(fitted, runs));
  const chosen = usable.find(({ law }) => law === report.selected) ?? usable[0];
  if (!chosen)
    return { problem: 'the trials differ too little, or too much by chance, to tell what further examples gain' };
  const { theta, draws, residuals } = chosen;
  return {
    law: { law: lossLaw(chosen.law), theta, draws, residuals, unitMacs, uniqueExamples, trials },
  };
}

function runOf({ macs, examples, crossEntropy }: LawTrial, unitMacs: number, uniqueExamples: number): Run {
  const tuple = { params: macs / unitMacs, data: effectiveData(examples, uniqueExamples) };
  return { ...tuple, flops: trainingFlops(tuple), loss: crossEntropy, line: 0 };
}

/** A problem of a design in a study's words. */
function inTrials(problem: string): string {
  return problem.replace('model sizes', 'sizes of network').replace('amounts of data', 'amounts of examples');
}

/** Whether a fit tells its parameters apart, and nearly all resamples agree that more examples help. */
function isDetermined({ law: name, curvature, draws }: FittedLaw, runs: readonly Run[]): boolean {
  const law = lossLaw(name);
  const most = runs.reduce((a, b) => (b.data > a.data ? b : a));
  const gains = draws.filter(
    (theta) => lossAt(law, theta, { ...most, data: 2 * most.data }) < lossAt(law, theta, most),
  );
  return curvature.condition <= worstCondition && gains.length >= sureOfGain * draws.length;
}

/** A network that the law is asked about. */
type Asked = Pick<LawTrial, 'digest' | 'macs'>;

function lawLoss(family: FamilyLaw, theta: readonly number[], macs: number, examples: number): number {
  const data = effectiveData(examples, family.uniqueExamples);
  return lossAt(family.law, theta, { params: macs / family.unitMacs, data });
}

/** How a network's own trials lie to the law, as a factor; 1 for one that has none. Networks of equal cost differ. */
function ownFactor(family: FamilyLaw, theta: readonly number[], digest: string): number {
  const own = family.trials.filter((trial) => trial.digest === digest);
  if (own.length === 0) return 1;
  const logs = own.map(({ macs, examples, crossEntropy }) =>
    Math.log(crossEntropy / lawLoss(family, theta, macs, examples)),
  );
  return Math.exp(logs.reduce((sum, value) => sum + value, 0) / logs.length);
}

/** Loss a network is expected to reach after so many examples: by the law, moved by what the network's own trials were off. */
export function expectedLoss(family: FamilyLaw, { digest, macs }: Asked, examples: number): number {
  return lawLoss(family, family.theta, macs, examples) * ownFactor(family, family.theta, digest);
}

/** What a further example takes off the expected loss, in nats. */
export function gainOfExamples(family: FamilyLaw, { digest, macs }: Asked): (examples: number) => number {
  const factor = ownFactor(family, family.theta, digest);
  const step = 1e-4;
  return (examples) =>
    (factor *
      (lawLoss(family, family.theta, macs, examples * (1 - step)) -
        lawLoss(family, family.theta, macs, examples * (1 + step)))) /
    (2 * step * examples);
}

/** The expected loss with its interval: refits to resampled trials, each with the luck of one more training. */
export function forecast(family: FamilyLaw, asked: Asked, examples: number, random: Random): LossForecast {
  const { draws, residuals } = family;
  const crossEntropy = expectedLoss(family, asked, examples);
  const luck = random.child('forecast', asked.digest, examples);
  const values = draws.map((theta) => {
    const drawn = lawLoss(family, theta, asked.macs, examples) * ownFactor(family, theta, asked.digest);
    return drawn * Math.exp(residuals[luck.integer(residuals.length)] ?? 0);
  });
  const [lo, hi] = percentileInterval(values) ?? [crossEntropy, crossEntropy];
  return { crossEntropy, lo, hi };
}
