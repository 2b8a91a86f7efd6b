import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock } from '../../core/clock.ts';
import { specDigest } from '../../models/spec.ts';
import { openController } from '../../search/controllers.ts';
import type { ControllerName } from '../../search/controllers.ts';
import type { Evaluator } from '../../search/evaluator.ts';
import { networkIdentity } from '../../search/network-identity.ts';
import { accuracyAndLatencies } from '../../search/objectives.ts';
import { builtInSpace } from '../../search/spaces.ts';
import { rewardFor } from '../../study/search/base-choice.ts';
import type { StudyContext } from '../../study/context.ts';
import { Journal, journalPath } from '../../study/journal/journal.ts';
import { StudyRecord } from '../../study/journal/record.ts';
import { searchNetworks } from '../../study/search/search-loop.ts';
import { resolveStudy } from '../../study/resolve-study.ts';
import { FakeMeter } from '../../test/study/fake-meter.ts';
import { noOpOutcome } from './no-op.ts';

/**
 * The search phase of a study by the code that studies use, in which measuring and training take no time: proposals, admission,
 * answers, journal.
 * @param onAnswer hears how many trials are answered, in a turn of its own.
 */
export async function runLongSearch(
  folder: string,
  {
    controller,
    trials,
    slots,
  }: { readonly controller: ControllerName; readonly trials: number; readonly slots: number },
  onAnswer: (answered: number) => void,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const search = { controller, trials, round: 1000, examples: 100, seeds: 1 };
  const config = resolveStudy({ study: 'long', targets: { edge: { device: 'simulated' } }, search }, 'long.yaml');
  const journal = new Journal(journalPath(folder));
  const record = new StudyRecord(journal);
  const space = builtInSpace(config.search.space, { channels: 3, classes: 10, nativeResolution: 32 });
  let answered = 0;
  const meter = new FakeMeter((spec) => 1 + shareOf(specDigest(spec)));
  const evaluator: Evaluator = {
    slots,
    evaluate: async ({ spec }) => {
      await nextTurn();
      // It remembers whom it measured; a real one does not.
      meter.calls.length = 0;
      onAnswer(answered++);
      return { ...noOpOutcome, metrics: { accuracy: shareOf(specDigest(spec)), crossEntropy: 1 } };
    },
    close: () => Promise.resolve(),
  };
  const context = {
    config,
    folder,
    record,
    evaluator,
    meter,
    profiles: new Map(),
    clock: systemClock,
    signal: new AbortController().signal,
    onProgress: () => {},
    onNotice: () => {},
  } as unknown as StudyContext;
  await searchNetworks(context, {
    space,
    controller: openController(controller, {
      space,
      seed: config.seed,
      identity: networkIdentity(space),
      objectives: accuracyAndLatencies(Object.keys(config.targets)),
      trials,
    }),
    reward: rewardFor(config),
    bounds: [{ target: 'edge' }],
    describeBest: (trial) => trial ?? 'none',
  });
  await journal.durable();
  journal.close();
}

/** A number from 0 to 1 that depends on a text alone. */
function shareOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32LE(0) / 2 ** 32;
}
