import { duration, percent, utcMinute } from '../report/format.ts';
import { element, type Content } from '../report/markup.ts';
import { phaseNames, type PhaseName } from '../study/journal/events.ts';
import { dataTable, livePart, note, type Page, stateMark, studyPath } from './layout.ts';
import type { FollowedStudy } from './runs.ts';
import type { TrialRow } from './trial-row.ts';

/** How far a study is, in numbers. */
export interface Standing {
  readonly phase: PhaseName | 'finished';
  readonly counts: Readonly<Record<TrialRow['status'], number>>;
  /** The most accurate trained trial among those that saw the most examples; accuracies compare within one fidelity only. */
  readonly best: TrialRow | undefined;
  /** Undefined unless the study runs and something was trained. */
  readonly remainingS: number | undefined;
}

export function standingOf({ view, state }: FollowedStudy, nowMs: number): Standing {
  const counts = { issued: 0, ok: 0, infeasible: 0, failed: 0 };
  let best: TrialRow | undefined;
  for (const row of view.trials) {
    counts[row.status]++;
    if (row.status !== 'ok' || row.accuracy === undefined) continue;
    const isLonger = row.examples > (best?.examples ?? 0);
    if (isLonger || (row.examples === best?.examples && row.accuracy > (best.accuracy ?? 0))) best = row;
  }
  const remaining = state === 'running' ? view.remainingMs(nowMs) : undefined;
  return {
    phase: phaseNames.find((name) => view.phase(name) !== 'finished') ?? 'finished',
    counts,
    best,
    remainingS: remaining === undefined ? undefined : remaining / 1e3,
  };
}

/** Every study, the most recently changed first. @param version of all of them. */
export function studiesPage(studies: readonly FollowedStudy[], version: string, nowMs: number): Page {
  const rows = studies.map((study) => studyRow(study, standingOf(study, nowMs)));
  const columns = [
    'study',
    'state',
    'phase',
    'trained',
    'open',
    'infeasible',
    'failed',
    'best top-1',
    'left',
    'worked',
  ];
  return {
    title: 'Studies',
    live: { events: '/events', version },
    body: [
      element('h1', {}, 'Studies'),
      livePart(
        'studies',
        { class: 'head' },
        rows.length === 0
          ? note('No study yet. "ridgepoint search study.yaml" begins one; it then appears here.')
          : dataTable('Studies', [...columns, 'last event'], rows),
      ),
    ],
  };
}

function studyRow(study: FollowedStudy, { phase, counts, best, remainingS }: Standing): readonly Content[] {
  const { name, view, state } = study;
  return [
    element('a', { href: studyPath(name) }, name),
    stateMark(state),
    phase,
    String(counts.ok),
    String(counts.issued),
    String(counts.infeasible),
    counts.failed > 0 ? element('span', { class: 'bad' }, `! ${counts.failed}`) : '0',
    best?.accuracy === undefined ? '–' : percent(best.accuracy),
    remainingS === undefined ? '–' : `about ${duration(remainingS)}`,
    duration(view.activeS),
    view.count === 0 ? '–' : utcMinute(view.lastMs),
  ];
}
