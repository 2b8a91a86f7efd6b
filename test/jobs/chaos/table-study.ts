import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../../core/clock.ts';
import { canonicalJson, digestBytes } from '../../../core/digest.ts';
import type { Evaluator } from '../../../search/evaluator.ts';
import { FolderArtefacts } from '../../../study/artefacts.ts';
import type { DataDescription, StudyContext } from '../../../study/context.ts';
import { evaluateAll } from '../../../study/evaluation/evaluate.ts';
import { Journal, journalPath, readJournal } from '../../../study/journal/journal.ts';
import { takeLease } from '../../../study/journal/lease.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import type { OpenStudy } from '../../../study/study.ts';
import { tableSpec } from './table-evaluator.ts';

const noLimit = { failures: { stopAfterFirst: 1000, maxShare: '100%' } };
const config = resolveStudy({ study: 'chaos', targets: { edge: { device: 'simulated' } }, ...noLimit }, 'chaos.yaml');

/** Trials proposed at once, unless more are asked for. */
const smallRound = 250;

/**
 * The evaluating part of a study: trials are issued in rounds, evaluated and journalled by the code that studies use.
 * Killed, it goes on from its journal.
 */
export async function runTableStudy(
  folder: string,
  trials: number,
  evaluatorOf: (study: OpenStudy) => Promise<Evaluator>,
  onAnswer: (answered: number) => void = () => {},
  round = smallRound,
): Promise<void> {
  const release = takeLease(folder);
  let evaluator: Evaluator | undefined;
  let answered = 0;
  const journal = new Journal(journalPath(folder));
  const record = new StudyRecord(journal, (event) => {
    if (event.type !== 'outcome') return;
    onAnswer(++answered);
    void journal.durable().then(() => evaluator?.journalled?.(event.id, event.attempt));
  });
  const { signal } = new AbortController();
  const artefacts = new FolderArtefacts(join(folder, 'artefacts'));
  const data = dataIn(folder);
  evaluator = await evaluatorOf({
    key: 'chaos-1',
    measured: () => 0,
    config,
    data,
    artefacts,
    signal,
    onNotice: console.error,
    answer: () => Promise.resolve({ done: false, text: 'nobody asks' }),
  });
  const context = {
    config,
    folder,
    data,
    record,
    evaluator,
    artefacts,
    clock: systemClock,
    signal,
    onProgress: () => {},
    onNotice: () => {},
  } as unknown as StudyContext;
  for (let start = 0; start < trials; start += round) {
    const issued = Array.from({ length: Math.min(round, trials - start) }, (_, index) =>
      record.issue({
        phase: 'search',
        choices: {},
        spec: tableSpec,
        fidelity: { examples: 1, seed: start + index + 1 },
        origin: { by: 'table', because: 'a round' },
      }),
    );
    await evaluateAll(context, issued, { label: 'table', keepWeights: false });
  }
  await journal.durable();
  await evaluator.close();
  journal.close();
  release();
}

/** A data set that nobody reads. */
export function dataIn(folder: string): DataDescription {
  const file = join(folder, 'data.bin');
  writeFileSync(file, 'no data');
  return {
    name: 'none',
    fit: 'stretch',
    digest: digestBytes('no data'),
    channels: 3,
    height: 16,
    width: 16,
    classNames: ['a', 'b'],
    mean: [0, 0, 0],
    std: [1, 1, 1],
    counts: { train: 1, holdout: 1, test: 1 },
    file,
  };
}

/** What a journal must hold however its study came about: final outcomes by trial, as text to compare; and what failed. */
export function answersIn(folder: string): {
  readonly answers: readonly string[];
  readonly failures: readonly string[];
} {
  const { events } = readJournal(journalPath(folder));
  const outcomes = events.flatMap((event) => (event.type === 'outcome' ? [event] : []));
  return {
    answers: outcomes
      .filter(({ outcome }) => outcome.status !== 'failed')
      .map(({ id, outcome }) => canonicalJson({ id, outcome }))
      .toSorted(),
    failures: outcomes.flatMap(({ id, attempt, outcome }) =>
      outcome.status === 'failed' ? [`${id} attempt ${attempt}: ${outcome.code}: ${outcome.detail}`] : [],
    ),
  };
}
