import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import { InterruptedError } from '../../../core/errors.ts';
import type { Outcome } from '../../../core/trial.ts';
import type { EvaluationRequest } from '../../../search/evaluator.ts';
import type { StudyContext } from '../../../study/context.ts';
import { Journal, journalPath } from '../../../study/journal/journal.ts';
import { StudyRecord, type Trial } from '../../../study/journal/record.ts';
import { StudyRequests } from '../../../study/requests.ts';
import { RollingTrainings } from '../../../study/search/rolling-trainings.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { tableSpec as spec } from '../../jobs/chaos/table-evaluator.ts';

const answer: Outcome = { status: 'infeasible', reason: 'memory', detail: 'too large' };

/** Five trials whose evaluations end when the test says so. */
function held(inFlight: number) {
  const folder = join(fileFolder(), 'study');
  mkdirSync(folder);
  const record = new StudyRecord(new Journal(journalPath(folder)), () => {});
  const targets = { edge: { device: 'simulated' } };
  const config = resolveStudy({ study: 'x', targets, failures: { stopAfterFirst: 1 } }, 'x.yaml');
  const ends = new Map<string, (outcome: Outcome) => void>();
  const stopped: string[] = [];
  const evaluate = ({ id }: { id: string }, { signal }: EvaluationRequest) =>
    new Promise<Outcome>((resolve, reject) => {
      ends.set(id, resolve);
      signal.addEventListener('abort', () => {
        stopped.push(id);
        reject(new InterruptedError(id));
      });
    });
  const controller = new AbortController();
  const context = {
    config,
    record,
    evaluator: { slots: 1, inFlight, evaluate },
    signal: controller.signal,
    clock: new SimulatedClock(0),
    onProgress: () => {},
    onNotice: () => {},
  } as unknown as StudyContext;
  const trials = [1, 2, 3, 4, 5].map((seed) =>
    record.issue({
      phase: 'search',
      choices: {},
      spec,
      fidelity: { examples: 1, seed },
      origin: { by: 'test', because: 'a test' },
    }),
  );
  const end = (trial: Trial | undefined, outcome: Outcome = answer) => ends.get(trial?.id ?? '')?.(outcome);
  return { context, record, trials, end, ends, stopped, abort: () => controller.abort() };
}

describe('trainings that roll on', () => {
  it('are as many at once as the evaluator takes, and answered in the order of the journal', async () => {
    const { context, trials, end, ends } = held(3);
    const rolling = new RollingTrainings(context, () => '');
    const [first, second, third] = trials;
    const answered = rolling.next(trials);
    expect([...ends.keys()]).toEqual(trials.slice(0, 3).map(({ id }) => id));
    end(third);
    end(first);
    expect(await answered).toEqual([third]);
    expect(rolling.size).toBe(4);
    end(second);
    expect(await rolling.next([])).toEqual([first]);
    expect(await rolling.next([])).toEqual([second]);
    expect([...ends.keys()]).toHaveLength(5);
    end(trials[4]);
    expect(await rolling.next([])).toEqual([trials[4]]);
    end(trials[3]);
    expect(await rolling.next([])).toEqual([trials[3]]);
    expect(await rolling.next([])).toEqual([]);
  });

  it('take answers that the journal has without training them again, in its order whatever the order of asking', async () => {
    const { context, record, trials, ends } = held(1);
    const [first, second, third] = trials;
    for (const trial of [third, first]) record.answer(trial?.id ?? '', answer);
    const rolling = new RollingTrainings(context, () => '');
    expect(await rolling.next(trials.slice(0, 3))).toEqual([third]);
    expect(await rolling.next([])).toEqual([first]);
    // What was under way when the journal ended goes on meanwhile.
    expect([...ends.keys()]).toEqual([second?.id]);
    const waiting = rolling.next([]);
    ends.get(second?.id ?? '')?.(answer);
    expect(await waiting).toEqual([second]);
  });

  it('stop all when too many fail, and say the cause', async () => {
    const { context, trials, end, stopped } = held(2);
    const rolling = new RollingTrainings(context, () => '');
    const answered = rolling.next(trials);
    end(trials[1], { status: 'failed', code: 'environment', retry: false, detail: 'out of disk' });
    const failing = answered.then(() => rolling.next([]));
    await expect(failing).rejects.toThrow(/1 of 1 evaluations failed.* out of disk/);
    // The third took the failed one's place or never began; nothing is left under way.
    expect(stopped).toContain(trials[0]?.id);
  });

  it('begin again what failed and was asked for again before it was handed out, and nothing after', async () => {
    const { context, record, trials, end, ends } = held(2);
    const requests = new StudyRequests(record, () => {});
    const [first, second] = trials.slice(0, 2);
    const retry = (trial: Trial | undefined) =>
      requests.answer({ schema: 1, action: 'retry', trial: trial?.id ?? '', by: 'ada' });
    const config = { ...context.config, failures: { stopAfterFirst: 9, maxShare: 1 } };
    const rolling = new RollingTrainings({ ...context, config }, () => '');
    const answered = rolling.next(trials.slice(0, 2));
    end(first);
    expect(await answered).toEqual([first]);
    end(second, { status: 'failed', code: 'lost', retry: false, detail: 'gone' });
    // The study is at something else meanwhile.
    await new Promise((resolve) => setImmediate(resolve));
    expect(retry(second).done).toBe(true);
    ends.clear();
    const again = rolling.next([]);
    expect([...ends.keys()]).toEqual([second?.id]);
    end(second, { status: 'failed', code: 'lost', retry: false, detail: 'gone' });
    expect(await again).toEqual([second]);
    expect(retry(second)).toMatchObject({ done: false, text: expect.stringMatching(/went on without it/) });
  });

  it('stop when the study is interrupted', async () => {
    const { context, trials, abort, stopped } = held(2);
    const rolling = new RollingTrainings(context, () => '');
    const answered = rolling.next(trials);
    abort();
    await expect(answered).rejects.toThrow(InterruptedError);
    expect(stopped).toEqual(trials.slice(0, 2).map(({ id }) => id));
  });
});
