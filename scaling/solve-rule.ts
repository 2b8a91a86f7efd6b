import type { Multipliers } from './multipliers.ts';
import type { ScalingRule } from './rules.ts';

/** Where a fixed rule meets a latency target. */
export interface RuleSolution {
  /**
   * `reached`: latency within [1 − tolerance, 1] of the target. `below`: the largest size found that is
   * not above it. `unreachable`: even φ = 0 is above it.
   */
  readonly status: 'reached' | 'below' | 'unreachable';
  readonly phi: number;
  /** Nominal multipliers of the rule at φ. */
  readonly multipliers: Multipliers;
  readonly latencyMs: number;
  /** How many latencies were asked for. */
  readonly evaluations: number;
}

/** Stops {@link solveRule}. */
export interface RuleSolverOptions {
  /** Latency may fall short of the target by this share; default .03. */
  readonly tolerance?: number;
  /** Latencies asked for at most; default 24, enough for bisection to .001 of φ. */
  readonly maxEvaluations?: number;
  /** Where to look first, e.g. φ solved on a surrogate; default 1. */
  readonly guess?: number;
}

/** No rule is followed further than this: EfficientNet-L2 stands at about 10. */
const maxPhi = 32;

/**
 * Bisection that asks for latencies by yielding multipliers, so that one search serves both sync and async
 * answers.
 */
function* bisect(
  rule: ScalingRule,
  targetMs: number,
  { tolerance = 0.03, maxEvaluations = 24, guess = 1 }: RuleSolverOptions,
): Generator<Multipliers, RuleSolution, number> {
  let evaluations = 1;
  const latencyAtZero = yield rule.multipliers(0);
  let below = { phi: 0, latencyMs: latencyAtZero };
  const solution = (status: RuleSolution['status']): RuleSolution => ({
    status,
    phi: below.phi,
    multipliers: rule.multipliers(below.phi),
    latencyMs: below.latencyMs,
    evaluations,
  });
  if (!(latencyAtZero <= targetMs)) return solution('unreachable');
  const close = (): boolean => below.latencyMs >= (1 - tolerance) * targetMs;
  let above = Infinity;
  let phi = Math.min(maxPhi, Math.max(0.05, guess));
  while (!close() && evaluations < maxEvaluations && below.phi < maxPhi && above - below.phi > 1e-4) {
    const latencyMs = yield rule.multipliers(phi);
    evaluations++;
    if (latencyMs <= targetMs) below = { phi, latencyMs };
    else above = phi;
    phi = Number.isFinite(above) ? (below.phi + above) / 2 : Math.min(maxPhi, 2 * phi);
  }
  return solution(close() ? 'reached' : 'below');
}

/**
 * The largest φ found at which a rule's latency stays at or below the target: bisection over a latency that
 * grows with φ. Rounding makes that latency a staircase, so a target between two steps gives `below`. Bounded.
 * @param latencyOf milliseconds at nominal multipliers (apply rounding and limits inside).
 */
export function solveRule(
  rule: ScalingRule,
  latencyOf: (multipliers: Multipliers) => number,
  targetMs: number,
  options: RuleSolverOptions = {},
): RuleSolution {
  const search = bisect(rule, targetMs, options);
  let step = search.next();
  while (!step.done) step = search.next(latencyOf(step.value));
  return step.value;
}

/** {@link solveRule} with latencies that are measured; give it a `guess` and few `maxEvaluations`. */
export async function solveRuleMeasured(
  rule: ScalingRule,
  latencyOf: (multipliers: Multipliers) => Promise<number>,
  targetMs: number,
  options: RuleSolverOptions = {},
): Promise<RuleSolution> {
  const search = bisect(rule, targetMs, options);
  let step = search.next();
  while (!step.done) step = search.next(await latencyOf(step.value));
  return step.value;
}
