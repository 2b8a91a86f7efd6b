import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { InterruptedError } from '../../../core/errors.ts';
import type { Outcome } from '../../../core/trial.ts';
import type { Evaluator } from '../../../search/evaluator.ts';
import type { StudyContext } from '../../../study/context.ts';
import { evaluateAll } from '../../../study/evaluation/evaluate.ts';
import { Journal, journalPath } from '../../../study/journal/journal.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { systemClock } from '../../../core/clock.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { tableSpec as spec } from '../../jobs/chaos/table-evaluator.ts';

const failure: Outcome = { status: 'failed', code: 'environment', retry: false, detail: 'out of disk' };
const answer: Outcome = { status: 'infeasible', reason: 'memory', detail: 'too large' };

/** What becomes of eight trials, one of which fails. */
async function evaluateEight(evaluator: Pick<Evaluator, 'slots' | 'inFlight' | 'evaluate'>): Promise<string[]> {
  const folder = join(fileFolder(), 'study');
  mkdirSync(folder);
  const journal = new Journal(journalPath(folder));
  const record = new StudyRecord(journal, () => {});
  const targets = { edge: { device: 'simulated' } };
  const config = resolveStudy({ study: 'x', targets, failures: { stopAfterFirst: 1 } }, 'x.yaml');
  const { signal } = new AbortController();
  const context = { config, record, evaluator, clock: systemClock, signal, onProgress: () => {}, onNotice: () => {} };
  const trials = Array.from({ length: 8 }, (_, index) =>
    record.issue({
      phase: 'search',
      choices: {},
      spec,
      fidelity: { examples: 1, seed: index + 1 },
      origin: { by: 'table', because: 'a round' },
    }),
  );
  const stopped = evaluateAll(context as unknown as StudyContext, trials, { label: 'x', keepWeights: false });
  await expect(stopped).rejects.toThrow(/1 of \d evaluations failed.* out of disk/);
  journal.close();
  return trials.flatMap(({ id }) => record.outcome(id)?.status ?? []);
}

describe('a study that stops for its failures', () => {
  it('takes back what waits in a queue, and says what the first failure was', async () => {
    let takenBack = 0;
    const outcomes = await evaluateEight({
      slots: 1,
      inFlight: 8,
      evaluate: ({ id }, { signal, fidelity }) =>
        fidelity.seed === 3
          ? Promise.resolve(failure)
          : new Promise((_, reject) =>
              signal.addEventListener('abort', () => {
                takenBack++;
                reject(new InterruptedError(id));
              }),
            ),
    });
    expect(takenBack).toBe(7);
    expect(outcomes).toEqual(['failed']);
  });

  it('waits for what runs on its own machine, and begins nothing more', async () => {
    const outcomes = await evaluateEight({
      slots: 2,
      evaluate: async (_, { signal, fidelity }) => {
        if (fidelity.seed === 1) return failure;
        await setImmediate();
        expect(signal.aborted).toBe(false);
        return answer;
      },
    });
    expect(outcomes).toEqual(['failed', 'infeasible']);
  });
});
