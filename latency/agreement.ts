import { rankCorrelation } from '../core/rank-correlation.ts';
import { median } from '../core/quantile.ts';

/** A network's latency as a profile predicts it and as it was measured. */
export interface PredictedAndMeasured {
  readonly predictedMs: number;
  readonly measuredMs: number;
}

/** How near predictions came to measurements. Null where there are too few networks to say. */
export interface Agreement {
  readonly networks: number;
  /** Median of |predicted ÷ measured − 1|. */
  readonly medianError: number | null;
  /** Median of predicted ÷ measured: above 1 where the profile is too pessimistic. */
  readonly medianRatio: number | null;
  /** Share of networks predicted within ± 10 % of the measurement. */
  readonly within10: number | null;
  /** Spearman's, from three networks on. */
  readonly rankCorrelation: number | null;
}

/** Errors are relative to what was measured, as the error of a prediction is quoted. */
export function agreementOf(pairs: readonly PredictedAndMeasured[]): Agreement {
  if (pairs.length === 0)
    return { networks: 0, medianError: null, medianRatio: null, within10: null, rankCorrelation: null };
  const ratios = pairs.map(({ predictedMs, measuredMs }) => predictedMs / measuredMs);
  const errors = ratios.map((ratio) => Math.abs(ratio - 1));
  const rank = rankCorrelation(
    pairs.map(({ predictedMs }) => predictedMs),
    pairs.map(({ measuredMs }) => measuredMs),
  );
  return {
    networks: pairs.length,
    medianError: median(errors),
    medianRatio: median(ratios),
    within10: errors.filter((error) => error <= 0.1).length / pairs.length,
    rankCorrelation: pairs.length >= 3 && Number.isFinite(rank) ? rank : null,
  };
}

/**
 * Upper end of the one-sided interval of a rate after `hits` of `trials` (Clopper & Pearson 1934): the rate at which so
 * few hits would still come up with probability 1 − level. 1 where nothing was tried.
 */
export function rateAtMost(hits: number, trials: number, level = 0.95): number {
  if (hits >= trials) return 1;
  let lo = 0;
  let hi = 1;
  for (let step = 0; step < 50; step++) {
    const rate = (lo + hi) / 2;
    if (atMostHits(hits, trials, rate) > 1 - level) lo = rate;
    else hi = rate;
  }
  return hi;
}

/** P(B ≤ hits) with B ~ Binomial(trials, rate). */
function atMostHits(hits: number, trials: number, rate: number): number {
  let term = (1 - rate) ** trials;
  let sum = term;
  for (let k = 1; k <= hits; k++) {
    term *= ((trials - k + 1) / k) * (rate / (1 - rate));
    sum += term;
  }
  return sum;
}
