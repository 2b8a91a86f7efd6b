import { readFileSync } from 'node:fs';
import { hasTables, nasBench201Tasks, objectives, type Task } from '../../../bench/search/tables.ts';
import { absoluteReward, runSearch, volumeAfter } from '../../../bench/search/run.ts';
import { tableMissing, tablesFolder } from '../../cases/public-tables.ts';
import { controllerNames, openController } from '../../../search/controllers.ts';

/** NAS-Bench-201 by device, or why it is not compared. */
export const tables: { readonly tasks: readonly Task[] } | { readonly missing: string } = hasTables(tablesFolder)
  ? { tasks: nasBench201Tasks(tablesFolder) }
  : { missing: tableMissing('NAS-Bench-201') };

type Volumes = Readonly<Record<string, readonly number[]>>;

/** Shares of the hypervolume that Optuna's samplers had on each device after so many trials, over 24 seeds. */
export const optuna = (
  JSON.parse(readFileSync(new URL('../../fixtures/search/optuna-hypervolumes.json', import.meta.url), 'utf8')) as {
    readonly tasks: Readonly<
      Record<string, Readonly<Record<'Optuna nsga2' | 'Optuna tpe' | 'Optuna random', Volumes>>>
    >;
  }
).tasks;

/** The default controller's, after 200 trials. */
export function ourVolumes(task: Task, seeds: number): readonly number[] {
  const { space, identity } = task;
  return Array.from({ length: seeds }, (_, seed) => {
    const controller = openController(controllerNames[0], { space, identity, seed, objectives, trials: 200 });
    return volumeAfter(runSearch(controller, task, 200, absoluteReward(task)), 200, task);
  });
}
