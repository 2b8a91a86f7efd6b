import { rankCorrelation } from '../../core/rank-correlation.ts';
import type { StudyRecord, Trial } from '../journal/record.ts';
import { rungsOf, type StudyConfig } from '../study-file.ts';
import type { RungSummary } from './summary.ts';

/** Networks trained at two rungs below which no rank correlation is told. */
const fewestRanked = 5;

/** What happened at each rung of a search, the lowest first; none where it had one rung or its base was given. */
export function rungSummaries(record: StudyRecord, { search, seed, base }: StudyConfig): readonly RungSummary[] {
  const rungs = rungsOf(search);
  if (rungs.length === 1 || base !== undefined) return [];
  const at = rungs.map((examples) =>
    record.trials.filter(
      ({ phase, fidelity }) => phase === 'search' && fidelity.seed === seed && fidelity.examples === examples,
    ),
  );
  return rungs.map((examples, rung) => {
    const trials = at[rung] ?? [];
    const above = new Map((at[rung + 1] ?? []).map((trial) => [trial.specDigest, trial]));
    const promoted = trials.filter(({ specDigest }) => above.has(specDigest));
    const pairs = promoted.flatMap((trial) => {
      const [low, high] = [accuracyOf(record, trial), accuracyOf(record, above.get(trial.specDigest))];
      return low === undefined || high === undefined ? [] : [[low, high] as const];
    });
    const [lows, highs] = [pairs.map(([low]) => low), pairs.map(([, high]) => high)];
    const isRanked = pairs.length >= fewestRanked && new Set(lows).size > 1 && new Set(highs).size > 1;
    return {
      examples,
      trials: trials.map(({ id }) => id),
      trained: trials.filter(({ id }) => record.outcome(id)?.status === 'ok').length,
      promoted: promoted.map(({ id }) => id),
      trainS: trials.reduce((sum, { id }) => {
        const outcome = record.outcome(id);
        return sum + (outcome && 'cost' in outcome ? (outcome.cost?.trainS ?? 0) : 0);
      }, 0),
      rankCorrelation: isRanked ? rankCorrelation(lows, highs) : null,
    };
  });
}

function accuracyOf(record: StudyRecord, trial: Trial | undefined): number | undefined {
  const outcome = trial && record.outcome(trial.id);
  return outcome?.status === 'ok' ? outcome.metrics['accuracy'] : undefined;
}
