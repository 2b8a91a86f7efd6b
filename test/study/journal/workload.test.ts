import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import type { Outcome } from '../../../core/trial.ts';
import { trainingFlopsPerMac } from '../../../models/counts.ts';
import { remainingWorkMs } from '../../../study/estimate.ts';
import type { PhaseName } from '../../../study/journal/events.ts';
import { Journal } from '../../../study/journal/journal.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import { smallBase } from '../../scaling/base.ts';
import { smallStudy, smallStudyFile } from '../small-study.ts';

const spec = smallBase();
const { macs } = countSpec(spec);
const examples = 100;
/** Multiply-adds times examples of a training. */
const one = macs * examples;
const ok: Outcome = {
  status: 'ok',
  metrics: { accuracy: 0.5, crossEntropy: 1, macs },
  cost: { trainS: 1, measureS: 0, examples, flops: one * trainingFlopsPerMac, peakRssBytes: 1 },
};
const failed = (retry: boolean): Outcome => ({ status: 'failed', code: 'child-crashed', detail: 'test', retry });
const refused: Outcome = { status: 'infeasible', reason: 'latency', limit: 1, observed: 2 };

/** A record with so many trials of a phase. */
function recordOf(phase: PhaseName, trials: number) {
  const journal = new Journal(join(mkdtempSync(join(tmpdir(), 'workload-')), 'journal.jsonl'), new SimulatedClock());
  const record = new StudyRecord(journal);
  for (let seed = 0; seed < trials; seed++)
    record.issue({
      phase,
      choices: {},
      spec,
      fidelity: { examples, seed },
      origin: { by: 'test', because: 'test' },
    });
  return record;
}

const totalOf = (record: StudyRecord) => record.workload.total(() => macs);

describe('the work of a study', () => {
  it('that failed and is tried again is still to be done, until it failed for good', () => {
    const record = recordOf('train', 2);
    record.answer('t0001', ok);
    record.answer('t0002', failed(true));
    expect(totalOf(record)).toMatchObject({ done: one, open: one, issued: { train: 2 * one }, lostExamples: {} });
    record.answer('t0002', failed(true));
    expect(totalOf(record).open).toBe(one);
    record.answer('t0002', failed(true));
    expect(totalOf(record)).toMatchObject({ open: 0, issued: { train: one }, lostExamples: { train: examples } });
  });

  it('that is tried again counts once it succeeds, though nobody asked in between', () => {
    const record = recordOf('search', 1);
    record.answer('t0001', failed(false));
    record.append({ type: 'request', id: 't0001', action: 'retry', by: 'somebody' });
    record.answer('t0001', failed(true));
    expect(totalOf(record)).toMatchObject({ done: 0, open: one, lostExamples: {} });
    record.answer('t0001', ok);
    expect(totalOf(record)).toMatchObject({ done: one, open: 0, issued: { search: one }, lostExamples: {} });
  });

  it('that failed is to be done again when somebody asks for it, or the study is opened again', () => {
    for (const again of [
      { type: 'request', id: 't0001', action: 'retry', by: 'somebody' },
      { type: 'study', id: 'small', action: 'opened' },
    ] as const) {
      const record = recordOf('search', 1);
      record.answer('t0001', failed(false));
      expect(totalOf(record)).toMatchObject({ open: 0, lostExamples: { search: examples } });
      record.append(again);
      expect(totalOf(record)).toMatchObject({ open: one, lostExamples: {} });
      record.answer('t0001', ok);
      expect(totalOf(record)).toMatchObject({ done: one, open: 0, issued: { search: one }, lostExamples: {} });
    }
  });

  it('takes as long as what is left of the plan: what gave no result has had its place in it', () => {
    const search = { ...smallStudyFile.search, trials: 4, seeds: 1, finalists: 1, examples };
    const config = smallStudy({ search, family: { edge: ['1x'] }, final: { ...smallStudyFile.final, baselines: [] } });
    const msOf = (record: StudyRecord) =>
      remainingWorkMs(config, totalOf(record), 1000, (phase) => phase === 'scale' || phase === 'train') ?? Number.NaN;
    const done = recordOf('search', 4);
    for (const trial of ['t0001', 't0002', 't0003', 't0004']) done.answer(trial, ok);
    const delivery = msOf(done);
    const record = recordOf('search', 3);
    record.answer('t0001', ok);
    expect(msOf(record) - delivery).toBeCloseTo(3000, 6);
    record.answer('t0002', failed(false));
    record.answer('t0003', refused);
    // One of the four is left.
    expect(msOf(record) - delivery).toBeCloseTo(1000, 6);
    record.decideAgain('something', 1, 'from here on the failure is settled');
    expect(msOf(record) - delivery).toBeCloseTo(1000, 6);
  });
});
