import { ConfigError, InterruptedError } from '../core/errors.ts';
import { extent } from '../core/extent.ts';
import { Random } from '../core/random.ts';
import { bootstrap, type Draws, percentileInterval } from './fit-bootstrap.ts';
import { checkDesign, curvatureAt, type DesignCheck, worstCondition } from './fit-identifiability.ts';
import { fitLaw, type LawFit, residualsOf } from './fit.ts';
import { huber, type Penalty } from './fit-penalty.ts';
import { type OutlierPolicy, outlying, type Run } from './fit-runs.ts';
import { type HoldOut, logLosses, rollingHoldOut } from './fit-selection.ts';
import { fitEnvelope, type TrainingCurve } from './laws/envelope.ts';
import { fitIsoFlop, isoFlopBudgets } from './laws/iso-flop.ts';
import { fittableLaws, lossLaw } from './laws/laws.ts';
import {
  type AllocationTuple,
  type Columns,
  columnsOf,
  type Confirmed,
  type Exponents,
  lossAt,
  type LossLaw,
  naturalValues,
  type ParamsCount,
  thetaOf,
  trainingFlops,
} from './laws/law.ts';
import { allocateByPowerLaw, type PowerLaw } from './laws/power-law.ts';

/** Lower and upper end; null where there are too few draws. */
export type Range = readonly [number, number] | null;

/** A number with the 95 % interval of its bootstrap. */
export interface Estimate {
  readonly value: number;
  readonly interval: Range;
}

/** A law fitted to runs, judged. */
export interface FittedLaw {
  readonly law: string;
  readonly formula: string;
  readonly source: string;
  readonly confirmed: Confirmed;
  /** In coordinates of the fit, and refits to resamples in the same. */
  readonly theta: readonly number[];
  readonly draws: Draws;
  /** Natural values by name. */
  readonly parameters: Readonly<Record<string, Estimate>>;
  /** N ∝ C^params, D ∝ C^data; null where the optimum is no power law. */
  readonly exponents: { readonly params: Estimate; readonly data: Estimate } | null;
  readonly objective: number;
  readonly r2: number;
  /** Mean |ln predicted − ln observed|. */
  readonly meanError: number;
  readonly starts: LawFit['starts'];
  readonly holdOut: HoldOut | null;
  readonly curvature: { readonly condition: number; readonly weakest: readonly string[] };
  /** At the budget asked for. */
  readonly prediction:
    | (AllocationTuple & { readonly loss: number; readonly intervals: Record<'params' | 'data' | 'loss', Range> })
    | null;
  readonly residuals: readonly number[];
}

/** An allocation mapping read off optima, without a law of the loss: approach 1 or 2. */
export interface FittedMapping {
  readonly law: 'approach-1' | 'approach-2';
  readonly mapping: PowerLaw;
  readonly optima: readonly (AllocationTuple & { readonly flops: number; readonly loss: number })[];
  readonly prediction: AllocationTuple | null;
}

/** All that `ridgepoint fit` finds. */
export interface FitReport {
  readonly schema: 1;
  readonly convention: string;
  /** Which parameters N counts, as the caller says. */
  readonly paramsCount: ParamsCount;
  readonly runs: {
    /** Of the table. A run has one, or as many as its training curve has points. */
    readonly rows: number;
    readonly given: number;
    /** Runs that the laws were fitted to. */
    readonly used: number;
    /** Lines where the runs end that were left out. */
    readonly dropped: readonly number[];
    /** Least and most of a run used. */
    readonly flops: readonly [number, number];
    /** Training FLOPs ÷ 6·N·D, geometric mean over the runs used: 1 unless the table gives other FLOPs. */
    readonly flopsRatio: number;
  };
  readonly penalty: Penalty;
  readonly outliers: OutlierPolicy;
  readonly design: DesignCheck;
  readonly laws: readonly FittedLaw[];
  readonly mappings: readonly FittedMapping[];
  /** Law with the lowest hold-out error, or the only one. */
  readonly selected: string | null;
  readonly budgetFlops: number | null;
  /** Largest ÷ smallest prediction over the laws, at the budget. */
  readonly spread: { readonly params: number; readonly data: number; readonly loss: number } | null;
  readonly warnings: readonly string[];
}

export interface FitRequest {
  /** Names of laws, `approach-1`, `approach-2`, or `all`. */
  readonly laws: readonly string[];
  readonly penalty?: Penalty;
  readonly outliers?: OutlierPolicy;
  /** What the runs' N counts; `total` by default. */
  readonly paramsCount?: ParamsCount;
  /** Resamples for intervals; 0 for none. */
  readonly draws?: number;
  readonly seed?: number;
  /** Compute budget to predict for, in FLOPs as the runs count them. */
  readonly budgetFlops?: number;
}

/** What a fit says while it works, and how it is stopped. */
export interface FitProgress {
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/** A budget this many times outside the runs' is far. */
const farFactor = 30;

/**
 * Fits laws to runs and judges them: identifiability before and after, bootstrap intervals, rolling hold-out, selection, and what
 * all of them predict for a budget. Warnings say what to distrust.
 * @throws {ConfigError} for unknown laws and too few runs; {InterruptedError} when stopped.
 */
export async function fitRuns(
  runs: readonly Run[],
  request: FitRequest,
  progress: FitProgress = {},
): Promise<FitReport> {
  const {
    penalty = huber,
    outliers = { kind: 'keep' },
    draws = 300,
    seed = 0,
    budgetFlops,
    paramsCount = 'total',
  } = request;
  const wanted = request.laws.includes('all');
  const repeated = runs.some(({ data, uniqueData }) => uniqueData !== undefined && uniqueData < data);
  const laws = wanted
    ? fittableLaws.filter((law) => !law.repeats || repeated)
    : request.laws.filter((name) => !/^approach-[12]$/.test(name)).map(lossLaw);
  const warnings: string[] = [];
  // Points of one curve are no runs of their own.
  const given = finalRuns(runs);
  const finals = dropOutliers(given, laws[0], penalty, outliers, warnings);
  const flops = extent(finals.map((run) => run.flops));
  const counted = flopsCount(finals);
  warnings.push(...counted.warnings);
  warnings.push(...unfinished(finals));
  const design = checkDesign(finals, Math.min(...laws.map((law) => law.parameters.length), 5));
  for (const problem of laws.length > 0 ? design.problems : []) warnings.push(`design: ${problem}`);
  const fitted: FittedLaw[] = [];
  const options = { penalty, draws, seed, budgetFlops: budgetFlops && budgetFlops / counted.ratio };
  for (const law of laws) {
    if (finals.length <= law.parameters.length) {
      if (!wanted)
        throw new ConfigError(
          `${law.name}: expected more than ${law.parameters.length} runs for its ${law.parameters.length} parameters, got ${finals.length}`,
        );
      warnings.push(`${law.name}: left out, ${finals.length} runs are too few for ${law.parameters.length} parameters`);
      continue;
    }
    const one = await fitOne(law, finals, options, progress, warnings);
    if (one) fitted.push(one);
  }
  const mappings = fitMappings(finals, curvesOf(runs, finals), request.laws, budgetFlops, warnings);
  if (fitted.length === 0 && mappings.length === 0)
    throw new ConfigError(
      `expected runs that determine one of the laws, got ${finals.length}${warnings.map((text) => `\n  ${text}`).join('')}`,
    );
  if (budgetFlops !== undefined && (budgetFlops > flops[1] * farFactor || budgetFlops < flops[0] / farFactor))
    warnings.push(
      `the budget of ${budgetFlops.toPrecision(3)} FLOPs is far outside the runs (${flops[0].toPrecision(3)} to ${flops[1].toPrecision(3)}): expect the laws to disagree, and more error than the intervals say`,
    );
  const judged = fitted.filter(({ holdOut }) => holdOut !== null);
  const selected = judged.toSorted((a, b) => (a.holdOut?.error ?? 0) - (b.holdOut?.error ?? 0))[0] ?? fitted[0];
  return {
    schema: 1,
    convention: `training FLOPs are ${counted.convention}; N counts ${paramsCount === 'total' ? 'all parameters' : 'parameters without embeddings'}; losses in nats`,
    paramsCount,
    runs: {
      rows: runs.length,
      given: given.length,
      used: finals.length,
      dropped: linesWithout(given, finals),
      flops,
      flopsRatio: counted.ratio,
    },
    penalty,
    outliers,
    design,
    laws: fitted,
    mappings,
    selected: selected?.law ?? null,
    budgetFlops: budgetFlops ?? null,
    spread: spreadOf([...fitted, ...mappings].map(({ prediction }) => prediction).filter((p) => p !== null)),
    warnings,
  };
}

/** Null where natural values do not hold the law: no file could either, and no plan should rest on it. */
async function fitOne(
  law: LossLaw,
  runs: readonly Run[],
  options: {
    readonly penalty: Penalty;
    readonly draws: number;
    readonly seed: number;
    /** 6·N·D, under which laws have their optimum. */
    readonly budgetFlops?: number;
  },
  { signal, onProgress }: FitProgress,
  warnings: string[],
): Promise<FittedLaw | null> {
  const points = columnsOf(runs);
  const logLoss = logLosses(runs);
  onProgress?.(`${law.name}: fitting ${runs.length} runs`);
  await pause(signal);
  const fit = fitLaw(law, points, logLoss, { penalty: options.penalty });
  const unheld = unheldParameters(fit, points, logLoss);
  if (unheld.length > 0) {
    warnings.push(
      `${law.name}: left out, no number is as large, or as small, as its ${unheld.join(' and ')}: the runs do not determine this law`,
    );
    return null;
  }
  await pause(signal);
  const holdOut = rollingHoldOut(law, runs, options.penalty);
  const draws: (readonly number[])[] = [];
  for (const theta of bootstrap(fit, points, logLoss, options.draws, new Random(options.seed).child(law.name))) {
    draws.push(theta);
    if (draws.length % 10 !== 0) continue;
    onProgress?.(`${law.name}: resample ${draws.length} of ${options.draws}`);
    await pause(signal);
  }
  const sizes = [...fit.residuals].map(Math.abs);
  const meanError = sizes.reduce((sum, value) => sum + value, 0) / sizes.length;
  // 1.2533·mean |r| is a normal's standard deviation, without the weight of squares on the largest.
  const curvature = curvatureAt(law, fit.theta, points, 1.2533 * meanError);
  if (curvature.condition > worstCondition)
    warnings.push(
      `${law.name}: the runs hardly determine ${curvature.weakest.join(', ')} (condition ${curvature.condition.toExponential(1)}); trust its predictions between the runs, not its parameters`,
    );
  const odd = outlying(fit.residuals, 6).map((at) => runs[at]?.line);
  if (odd.length > 0)
    warnings.push(
      `${law.name}: more than six robust deviations off, line${odd.length > 1 ? 's' : ''} ${odd.join(', ')}; --outliers says what to do with such runs`,
    );
  const interval = (of: (theta: readonly number[]) => number): Range => percentileInterval(draws.map(of));
  const estimate = (of: (theta: readonly number[]) => number): Estimate => ({
    value: of(fit.theta),
    interval: interval(of),
  });
  const exponent = (which: keyof Exponents) => (theta: readonly number[]) =>
    law.exponents(theta)?.[which] ?? Number.NaN;
  const { budgetFlops } = options;
  const at = (theta: readonly number[]): AllocationTuple => law.optimum(theta, budgetFlops ?? Number.NaN);
  const prediction = budgetFlops === undefined ? null : at(fit.theta);
  return {
    law: law.name,
    formula: law.formula,
    source: law.source,
    confirmed: law.confirmed,
    theta: fit.theta,
    draws,
    parameters: Object.fromEntries(
      law.parameters.map(({ name }) => [name, estimate((theta) => naturalValues(law, theta)[name] ?? Number.NaN)]),
    ),
    exponents: law.exponents(fit.theta) && { params: estimate(exponent('params')), data: estimate(exponent('data')) },
    objective: fit.objective,
    r2: fit.r2,
    meanError,
    starts: fit.starts,
    holdOut,
    curvature: { condition: curvature.condition, weakest: curvature.weakest },
    prediction: prediction && {
      ...prediction,
      loss: lossAt(law, fit.theta, prediction),
      intervals: {
        params: interval((theta) => at(theta).params),
        data: interval((theta) => at(theta).data),
        // Of the loss at the tuple that would be trained, not at each draw's own.
        loss: interval((theta) => lossAt(law, theta, prediction)),
      },
    },
    residuals: [...fit.residuals],
  };
}

/** Parameters whose natural values overflow, or underflow so that the law would predict something else; empty where all is well. */
function unheldParameters(
  { law, theta, residuals }: LawFit,
  points: Columns,
  logLoss: Float64Array,
): readonly string[] {
  const values = naturalValues(law, theta);
  const names = Object.keys(values).filter((name) => values[name] === 0 || !Number.isFinite(values[name]));
  if (names.length === 0 || names.some((name) => values[name] !== 0)) return names;
  const held = residualsOf(law, thetaOf(law, values), points, logLoss);
  return held.every((value, i) => Math.abs(value - (residuals[i] ?? 0)) < 1e-6) ? [] : names;
}

function dropOutliers(
  runs: readonly Run[],
  law: LossLaw | undefined,
  penalty: Penalty,
  policy: OutlierPolicy,
  warnings: string[],
): readonly Run[] {
  switch (policy.kind) {
    case 'keep':
      return runs;
    case 'highest': {
      const dropped = new Set(runs.toSorted((a, b) => b.loss - a.loss).slice(0, policy.count));
      return runs.filter((run) => !dropped.has(run));
    }
    case 'residual': {
      if (!law) {
        warnings.push('outliers by residual need a law of the loss; none was fitted, so none were dropped');
        return runs;
      }
      const { residuals } = fitLaw(law, columnsOf(runs), logLosses(runs), { penalty });
      const dropped = new Set(outlying(residuals, policy.deviations));
      return runs.filter((_, i) => !dropped.has(i));
    }
    default:
      return policy satisfies never;
  }
}

/** The last point of each training curve; runs that are no curves as they are. */
export function finalRuns(runs: readonly Run[]): readonly Run[] {
  const last = new Map<string, Run>();
  for (const run of runs) {
    if (run.curve === undefined) continue;
    const before = last.get(run.curve);
    if (!before || before.data < run.data) last.set(run.curve, run);
  }
  return runs.filter((run) => run.curve === undefined || last.get(run.curve) === run);
}

function fitMappings(
  finals: readonly Run[],
  curves: readonly TrainingCurve[],
  names: readonly string[],
  budgetFlops: number | undefined,
  warnings: string[],
): readonly FittedMapping[] {
  const prediction = (law: PowerLaw) => (budgetFlops === undefined ? null : allocateByPowerLaw(law, budgetFlops));
  const fitted: FittedMapping[] = [];
  const all = names.includes('all');
  const attempt = (
    law: FittedMapping['law'],
    fit: () => { law: PowerLaw; optima: FittedMapping['optima']; warnings: readonly string[] },
  ) => {
    try {
      const found = fit();
      fitted.push({ law, mapping: found.law, optima: found.optima, prediction: prediction(found.law) });
      warnings.push(...found.warnings.map((text) => `${law}: ${text}`));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      if (!all) throw new ConfigError(`${law}: ${error.message}`, { cause: error });
      warnings.push(`${law}: left out, ${error.message}`);
    }
  };
  if (names.includes('approach-2') || (all && isoFlopBudgets(finals) >= 3))
    attempt('approach-2', () => fitIsoFlop(finals));
  if (names.includes('approach-1') && curves.length === 0)
    throw new ConfigError('approach-1: expected training curves (curve=… and horizon=… in --columns), got single runs');
  if (curves.length > 0 && (all || names.includes('approach-1')))
    attempt('approach-1', () => {
      const { law, envelope, warnings } = fitEnvelope(curves);
      return { law, optima: envelope, warnings };
    });
  return fitted;
}

/** Training curves that end in these runs; one without a horizon is taken to have run to the end of its schedule. */
function curvesOf(points: readonly Run[], finals: readonly Run[]): readonly TrainingCurve[] {
  const groups = new Map<string, Run[]>(finals.flatMap(({ curve }) => (curve === undefined ? [] : [[curve, []]])));
  for (const point of points) if (point.curve !== undefined) groups.get(point.curve)?.push(point);
  return [...groups.values()]
    .filter((points) => points.length > 1)
    .map((points) => {
      const ordered = points.toSorted((a, b) => a.data - b.data);
      const last = ordered.at(-1) as Run;
      const flopsPerDatum = last.flops / last.data;
      return { params: last.params, horizon: last.horizon ?? last.data, flopsPerDatum, points: ordered };
    });
}

function linesWithout(given: readonly Run[], kept: readonly Run[]): readonly number[] {
  const rest = new Set(kept);
  return given.filter((run) => !rest.has(run)).map(({ line }) => line);
}

/** Up to this many times as much as the least the ratio of FLOPs to 6·N·D counts as one number: the tolerance of an isoFLOP budget. */
const sameRatio = 1.1;

/** What the runs' FLOPs are, against the 6·N·D of laws of the loss. */
function flopsCount(runs: readonly Run[]): {
  readonly ratio: number;
  readonly convention: string;
  readonly warnings: readonly string[];
} {
  const ratios = runs.map((run) => run.flops / trainingFlops(run));
  const ratio = Math.exp(ratios.reduce((sum, value) => sum + Math.log(value), 0) / ratios.length);
  const [least, most] = extent(ratios);
  const isOne = most < least * sameRatio && Math.abs(ratio - 1) < 0.005;
  return {
    ratio,
    convention: isOne ? '6·N·D' : `the table's, ${ratio.toPrecision(3)} times 6·N·D`,
    warnings:
      most > least * sameRatio
        ? [
            `the FLOPs of these runs are ${least.toPrecision(3)} to ${most.toPrecision(3)} times 6·N·D: laws of the loss take a budget for ${ratio.toPrecision(3)} times 6·N·D, and are off by the rest`,
          ]
        : [],
  };
}

/** Share of its schedule after which a run counts as finished: losses are recorded at intervals. */
const finishedShare = 0.95;

/** Names runs that their schedule would have gone on with. They are kept, as all are that nobody asked to leave out. */
function unfinished(finals: readonly Run[]): readonly string[] {
  const cut = finals
    .map(({ line, data, horizon = data }) => ({ line, share: data / horizon }))
    .filter(({ share }) => share < finishedShare);
  if (cut.length === 0) return [];
  const shown = cut.slice(0, 5).map(({ line, share }) => `${line} (${Math.round(100 * share)} %)`);
  const one = cut.length === 1;
  return [
    `${cut.length} run${one ? '' : 's'} ended before ${one ? 'its' : 'their'} schedule, which leaves ${one ? 'its loss' : 'their losses'} higher than a finished one of as much data has: line${one ? '' : 's'} ${shown.join(', ')}${cut.length > 5 ? ' …' : ''}`,
  ];
}

function spreadOf(predictions: readonly (AllocationTuple & { readonly loss?: number })[]): FitReport['spread'] {
  if (predictions.length < 2) return null;
  const losses = predictions.map(({ loss }) => loss).filter((loss) => loss !== undefined);
  return {
    params: ratioOf(predictions.map(({ params }) => params)),
    data: ratioOf(predictions.map(({ data }) => data)),
    loss: losses.length > 0 ? ratioOf(losses) : 1,
  };
}

function ratioOf(values: readonly number[]): number {
  return Math.max(...values) / Math.min(...values);
}

/** Lets signals and timers in between two pieces of arithmetic. */
async function pause(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  if (signal?.aborted) throw new InterruptedError('stopped before the fit was finished; nothing was written');
}
