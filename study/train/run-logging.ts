import { existsSync } from 'node:fs';
import { InterruptedError } from '../../core/errors.ts';
import type { Fidelity } from '../../core/trial.ts';
import { type RunLog, type RunParameter, RunReporter } from '../../report/run-log/run-log.ts';
import { trainingParameters, trainingPoint } from '../../report/run-log/training.ts';
import { trialLogger } from '../../report/run-log/trials.ts';
import type { TrainingProgress } from '../../training/isolate.ts';
import type { Recipe } from '../../training/trainer.ts';
import type { JournalEvent } from '../journal/events.ts';
import { journalEvents, journalPath } from '../journal/journal.ts';
import { resolveRecipe } from '../evaluation/recipe.ts';
import type { StudyConfig } from '../study-file.ts';

/** A training that a run log hears of. */
interface LoggedRun {
  readonly name: string;
  readonly recipe: Recipe;
  readonly fidelity: Fidelity;
  /** Beside those of recipe and fidelity. */
  readonly parameters: Readonly<Record<string, RunParameter>>;
  /** Whether it is the continuation of a run that was interrupted. */
  readonly goesOn: boolean;
  readonly onNotice?: ((text: string) => void) | undefined;
}

/**
 * Trains while a run log hears of it; what that cannot take is a notice and costs the training nothing.
 * @param metricsOf what of the result is told at the end, by name.
 */
export async function whileLogged<Result>(
  log: RunLog | undefined,
  { name, parameters, goesOn, onNotice, ...training }: LoggedRun,
  train: (onPoint: (point: TrainingProgress) => void) => Promise<Result>,
  metricsOf: (result: Result) => Readonly<Record<string, number>>,
): Promise<Result> {
  if (!log) return train(() => {});
  const reporter = new RunReporter(log, onNotice ?? (() => {}));
  const start = { ...trainingParameters(training), ...parameters };
  const run = reporter.open({ name, parameters: start, startedMs: Date.now() }, goesOn);
  const end = (status: 'finished' | 'failed' | 'killed') => run.end({ status, endedMs: Date.now() });
  try {
    const result = await train((point) => run.point(trainingPoint(training, point, Date.now())));
    run.point({ step: training.fidelity.examples, atMs: Date.now(), values: metricsOf(result) });
    end('finished');
    return result;
  } catch (error) {
    end(error instanceof InterruptedError ? 'killed' : 'failed');
    throw error;
  } finally {
    await reporter.settled();
  }
}

/** Tells a run log of a study's trials. */
export interface TrialLogging {
  readonly event: (event: JournalEvent) => void;
  /** When all that was heard is told. */
  settled(): Promise<void>;
}

/**
 * Has a run log hear of every trial of a study: those that its journal holds already, then what `event` is given.
 * @param folder where the study lives. @param onNotice hears once why nothing more is recorded.
 */
export function logTrials(
  log: RunLog,
  config: StudyConfig,
  folder: string,
  onNotice: (text: string) => void,
): TrialLogging {
  const { study, trainer, trainerCommand } = config;
  const reporter = new RunReporter(log, onNotice);
  const recipe = trainerCommand ? undefined : resolveRecipe(trainer).recipe;
  const event = trialLogger(reporter, { study, recipe });
  if (existsSync(journalPath(folder))) for (const earlier of journalEvents(journalPath(folder))) event(earlier);
  return { event, settled: () => reporter.settled() };
}
