import type { Latency } from '../latency/latency.ts';
import type { LimitMet } from '../latency/setting.ts';
import type { PredictionSummary, TargetSummary } from '../study/deliver/summary.ts';
import { percent, plural } from './format.ts';

/** Where a latency comes from, in words that stand after "latency": measured, reported by a program, or predicted. */
export function sourceText({ source, accelerator, precision, calibrated, reported }: Latency): string {
  if (reported) return 'reported by your program';
  switch (source) {
    case 'measured':
      return 'measured';
    case 'command':
      return 'measured by your program';
    case 'predicted':
      return `predicted by ${accelerator}, ${calibrated ? 'calibrated' : `never calibrated in ${precision}`}`;
    default:
      return source satisfies never;
  }
}

/** Whether a latency can be relied on; a prediction is neither stable nor unstable. */
export function verdictText({ source, calibrated, stable, reported }: Latency): string {
  if (source === 'predicted') return calibrated ? 'predicted' : 'predicted, ranking only';
  if (reported) return 'reported, unchecked';
  return stable ? 'stable' : 'unstable';
}

/** Whether a limit is met, in a word or two; `–` where there is none. */
export function limitMetText(limitMet: LimitMet | null): string {
  if (limitMet === null) return '–';
  return limitMet === 'unknown' ? 'not known' : limitMet ? 'met' : 'missed';
}

/** Sources of a target's final latencies, without repeats. */
export function sourcesOf(target: TargetSummary): readonly string[] {
  return [...new Set(target.lines.flatMap(({ members }) => members.map(({ latency }) => sourceText(latency))))];
}

/** How far prediction was off on a target and what screening did there, in a sentence or two. */
export function predictionText(prediction: PredictionSummary): string {
  const { profile, calibrated, networks, medianError, within10, rankCorrelation, refused, sampled } = prediction;
  const by = `predictions by ${profile} (${calibrated ? 'calibrated' : 'never calibrated'})`;
  const errors =
    medianError === null || within10 === null
      ? `${by}: nothing was measured beside them`
      : `${by} beside measurements of ${plural(networks, 'network')}: median error ${percent(medianError)}, ` +
        `${percent(within10, 0)} within ± 10 %` +
        (rankCorrelation === null ? '' : `, rank correlation ${rankCorrelation.toFixed(2)}`);
  if (refused + sampled === 0) return errors;
  return `${errors}; ${plural(refused, 'network')} refused by prediction alone, ${falseRefusalText(prediction)}`;
}

/** `3 more measured as a sample, 0 of them within the limit (at most 63 % of refusals are wrong)`. */
export function falseRefusalText({ sampled, wronglyRefused, wronglyRefusedAtMost }: PredictionSummary): string {
  if (sampled === 0) return 'none more measured as a sample';
  return (
    `${sampled} more measured as a sample, ${wronglyRefused} of them within the limit ` +
    `(with 95 % confidence at most ${percent(wronglyRefusedAtMost, 0)} of refusals are wrong)`
  );
}
