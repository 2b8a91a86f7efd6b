import type { StudySummary } from '../study/deliver/summary.ts';
import { phaseNames } from '../study/journal/events.ts';
import type { Content } from './markup.ts';
import { note, section, table } from './page-parts.ts';

/** How many trials of each phase ended how, and the reasons of those without a result. */
export function trialSection(summary: StudySummary): Content {
  if (summary.trials.length === 0) return null;
  const statuses = ['ok', 'infeasible', 'failed', 'issued'] as const;
  const names = { ok: 'ok', infeasible: 'infeasible', failed: 'failed', issued: 'without an answer yet' };
  const used = statuses.filter((status) => summary.trials.some((trial) => trial.status === status));
  const rows = phaseNames.flatMap((phase) => {
    const trials = summary.trials.filter((trial) => trial.phase === phase);
    if (trials.length === 0) return [];
    const counts = used.map((status) => String(trials.filter((trial) => trial.status === status).length));
    return [[phase, ...counts, String(trials.length)]];
  });
  const reasons = new Map<string, string[]>();
  for (const { id, status, reason } of summary.trials)
    if (reason !== undefined) {
      const key = `${status}: ${reason}`;
      reasons.set(key, [...(reasons.get(key) ?? []), id]);
    }
  return section(
    'Trials',
    table(['phase', ...used.map((status) => names[status]), 'all'], rows),
    reasons.size > 0 &&
      table(
        ['reason', 'trials', 'which'],
        [...reasons]
          .toSorted(([, a], [, b]) => b.length - a.length)
          .map(([reason, ids]) => [reason, String(ids.length), listed(ids, 8)]),
      ),
    note('Every trial is a line of trials.csv.'),
  );
}

function listed(ids: readonly string[], most: number): string {
  return ids.length <= most ? ids.join(', ') : `${ids.slice(0, most).join(', ')} and ${ids.length - most} more`;
}
