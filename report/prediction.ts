import type { StudySummary } from '../study/deliver/summary.ts';
import { optional, percent } from './format.ts';
import type { Content } from './markup.ts';
import { note, section, table } from './page-parts.ts';

/** What a device's profile said of networks that were measured on it, too. */
export function predictionSection(summary: StudySummary): Content {
  const rows = summary.targets.flatMap(({ name, prediction }) => {
    if (!prediction) return [];
    const { profile, calibrated, networks, medianError, medianRatio, within10, rankCorrelation } = prediction;
    const { refused, sampled, wronglyRefused, wronglyRefusedAtMost } = prediction;
    return [
      [
        name,
        `${profile}${calibrated ? '' : ', never calibrated'}`,
        String(networks),
        optional(medianRatio, (ratio) => ratio.toFixed(2)),
        optional(medianError, percent),
        optional(within10, (share) => percent(share, 0)),
        optional(rankCorrelation, (rank) => rank.toFixed(2)),
        String(refused),
        String(sampled),
        sampled === 0 ? '–' : `${wronglyRefused} (at most ${percent(wronglyRefusedAtMost, 0)})`,
      ],
    ];
  });
  if (rows.length === 0) return null;
  return section(
    'Prediction beside measurement',
    table(
      [
        'target',
        'profile',
        'networks with both',
        'median predicted ÷ measured',
        'median error',
        'within ± 10 %',
        'rank correlation',
        'refused by prediction',
        'measured as a sample',
        'of those within the limit',
      ],
      rows,
    ),
    note(
      'A candidate is refused by prediction when the lower end of its interval is above the limit; a seeded sample of those is ' +
        'measured all the same, which bounds how often prediction refuses wrongly (95 % confidence). Everything that was trained was measured.',
    ),
  );
}
