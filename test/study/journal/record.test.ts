import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import { parseNetworkSpec } from '../../../models/spec.ts';
import { Journal } from '../../../study/journal/journal.ts';
import { type Proposal, StudyRecord } from '../../../study/journal/record.ts';

const spec = parseNetworkSpec(
  {
    input: { resolution: 16 },
    classes: 4,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 1, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 16 },
  },
  'test',
);
const proposal = (seed: number): Proposal => ({
  phase: 'search',
  choices: {},
  spec,
  fidelity: { examples: 100, seed },
  origin: { by: 'test', because: 'test' },
});

function open(path: string) {
  const journal = new Journal(path, new SimulatedClock());
  return { journal, record: new StudyRecord(journal) };
}
const fresh = () => join(mkdtempSync(join(tmpdir(), 'record-')), 'journal.jsonl');

describe('study record', () => {
  it('issues the same work once, whoever asks', () => {
    const { record } = open(fresh());
    const first = record.issue(proposal(0));
    expect(record.issue({ ...proposal(0), phase: 'scale' })).toEqual(first);
    expect(record.issue(proposal(1)).id).toBe('t0002');
  });

  it('issues again what another phase refused untrained, and finds both when it is opened again', () => {
    const path = fresh();
    const { record, journal } = open(path);
    const scaling = { ...proposal(0), phase: 'scale' as const };
    record.issue(proposal(0));
    record.answer('t0001', { status: 'infeasible', reason: 'latency', limit: 1, observed: 2 });
    expect(record.issue(proposal(0)).id).toBe('t0001');
    expect(record.issue(scaling).id).toBe('t0002');
    journal.close();

    const again = open(path).record;
    expect(again.issue(proposal(0)).id).toBe('t0001');
    expect(again.issue(scaling).id).toBe('t0002');
  });

  it('trains no network again that diverged in another phase', () => {
    const { record } = open(fresh());
    const first = record.issue(proposal(0));
    const cost = { trainS: 1, measureS: 0, examples: 100, flops: 1, peakRssBytes: 1 };
    record.answer(first.id, { status: 'infeasible', reason: 'diverged', cost });
    expect(record.issue({ ...proposal(0), phase: 'scale' })).toEqual(first);
  });

  it('trains again what is delivered: weights of earlier phases were not kept', () => {
    const { record } = open(fresh());
    record.issue(proposal(0));
    const final = record.issue({ ...proposal(0), phase: 'train' });
    expect(final.id).toBe('t0002');
    expect(record.issue({ ...proposal(0), phase: 'train' })).toEqual(final);
  });

  it('answers from the journal after being opened again, doing nothing twice', async () => {
    const path = fresh();
    const { record, journal } = open(path);
    const trial = record.issue(proposal(0));
    record.answer(trial.id, { status: 'failed', code: 'child-crashed', retry: true, detail: 'signal 9' });
    await record.decideOnce('go', () => ({ value: true, because: 'time is left' }));
    journal.close();

    const again = open(path).record;
    expect(again.issue(proposal(0)).id).toBe(trial.id);
    expect(again.attempts(trial.id)).toBe(1);
    expect(again.outcome(trial.id)?.status).toBe('failed');
    const decided = await again.decideOnce('go', () => {
      throw new Error('decided twice');
    });
    expect(decided).toBe(true);
  });

  it('refuses a journal whose decision does not follow from its results', () => {
    const path = fresh();
    const { record, journal } = open(path);
    record.decideAgain('base', { trial: 't0001' }, 'best');
    journal.close();
    const again = open(path).record;
    expect(again.decideAgain('base', { trial: 't0001' }, 'another wording is fine')).toEqual({ trial: 't0001' });
    expect(() => again.decideAgain('base', { trial: 't0002' }, 'best')).toThrow(/decision base/);
  });
});
