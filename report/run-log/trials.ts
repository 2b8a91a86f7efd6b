import type { EventOf, JournalEvent } from '../../study/journal/events.ts';
import type { Recipe } from '../../training/trainer.ts';
import type { RunEnd, RunReporter, WholeRun } from './run-log.ts';
import { trainingParameters, trainingPoint } from './training.ts';

type Issued = EventOf<'issued'>;
type Outcome = EventOf<'outcome'>;

/** What is the same for all trials of a study. */
export interface LoggedStudy {
  /** Its name: runs are called `<study>/<trial>`. */
  readonly study: string;
  /** How its candidates are trained; absent where a program of the user's own trains. */
  readonly recipe?: Recipe | undefined;
}

/**
 * Tells a run log every trial of a study that has its answer, the final trainings among them. A trial that failed or was
 * cancelled may be tried again until the study ends, and is told then.
 * @returns what hears the journal's events in order, those of earlier sessions first; a trial that is there is not told again.
 */
export function trialLogger(reporter: RunReporter, study: LoggedStudy): (event: JournalEvent) => void {
  const open = new Map<string, Issued>();
  const failed = new Map<string, Outcome>();
  const tell = (answer: Outcome): void => {
    const trial = open.get(answer.id);
    if (trial) reporter.add(runOf(study, trial, answer));
    open.delete(answer.id);
    failed.delete(answer.id);
  };
  return (event) => {
    if (event.type === 'issued') open.set(event.id, event);
    else if (event.type === 'outcome' && event.outcome.status === 'failed') failed.set(event.id, event);
    else if (event.type === 'outcome') tell(event);
    else if (event.type === 'study' && event.action === 'closed') for (const answer of failed.values()) tell(answer);
  };
}

/** A trial with its answer as a run. Between issue and answer its points are spread evenly, for a curve has no clock. */
export function runOf({ study, recipe }: LoggedStudy, trial: Issued, { outcome, tMs }: Outcome): WholeRun {
  const { phase, origin, choices, fidelity } = trial;
  const curve = outcome.status === 'ok' ? (outcome.curve ?? []) : [];
  const spanMs = tMs - trial.tMs;
  const points = curve.map((point) =>
    trainingPoint({ recipe, fidelity }, point, trial.tMs + (spanMs * point.examples) / fidelity.examples),
  );
  const metrics = outcome.status === 'failed' ? {} : (outcome.metrics ?? {});
  const { imagesPerS, trainS } = (outcome.status === 'failed' ? undefined : outcome.cost) ?? {};
  const costs = { ...(imagesPerS !== undefined && { imagesPerS }), ...(trainS !== undefined && { trainS }) };
  return {
    name: `${study}/${trial.id}`,
    startedMs: trial.tMs,
    endedMs: tMs,
    status: statuses[outcome.status],
    parameters: {
      phase,
      by: origin.by,
      ...(origin.target !== undefined && { target: origin.target }),
      ...(origin.size !== undefined && { size: origin.size }),
      ...trainingParameters({ recipe, fidelity }),
      ...Object.fromEntries(Object.entries(choices).map(([key, value]) => [`choice.${key}`, value])),
      ...(outcome.status === 'ok' ? {} : { outcome: outcome.status === 'failed' ? outcome.code : outcome.reason }),
    },
    points: [
      ...points,
      { step: outcome.status === 'ok' ? outcome.cost.examples : 0, atMs: tMs, values: { ...metrics, ...costs } },
    ],
  };
}

const statuses: Readonly<Record<Outcome['outcome']['status'], RunEnd['status']>> = {
  ok: 'finished',
  infeasible: 'failed',
  failed: 'failed',
};
