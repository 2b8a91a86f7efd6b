import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import type { NetworkSpec } from '../../../models/spec.ts';
import { specDigest } from '../../../models/spec.ts';
import { identity } from '../../../scaling/multipliers.ts';
import type { StudyContext } from '../../../study/context.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import { Journal, journalPath, readJournal } from '../../../study/journal/journal.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { familyLine, type Scaling, type SizedScalings } from '../../../study/scale/scalings.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import { trainFamily } from '../../../study/train/train-phase.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { tableSpec as larger } from '../../jobs/chaos/table-evaluator.ts';

const smaller: NetworkSpec = {
  ...larger,
  input: { ...larger.input, resolution: Math.ceil(larger.input.resolution / 2) },
};

const examples = { [specDigest(larger)]: 1, [specDigest(smaller)]: 1 };

const scaling = (spec: NetworkSpec): Scaling => ({
  multipliers: identity,
  spec,
  digest: specDigest(spec),
  latencyMs: 1,
});

function sizeOf(target: string, finalists: readonly NetworkSpec[]): SizedScalings {
  return {
    target,
    line: familyLine,
    size: { name: '2x', multiple: 2 },
    targetMs: 2,
    finalists: finalists.map(scaling),
  };
}

/** A study whose device hours are used by its first training. */
function spent(): StudyContext {
  const folder = join(fileFolder(), 'study');
  mkdirSync(folder);
  const targets = { cpu: { device: 'simulated' }, gpu: { device: 'simulated' } };
  const cost = { trainS: 3600, measureS: 0, examples: 1, flops: 1, peakRssBytes: 0 };
  return {
    folder,
    config: resolveStudy({ study: 'x', targets, budget: { deviceHours: 0.5 }, final: { seeds: 1 } }, 'x.yaml'),
    record: new StudyRecord(new Journal(journalPath(folder)), () => {}),
    evaluator: {
      slots: 1,
      evaluate: () => Promise.resolve({ status: 'ok', metrics: { accuracy: 0.5 }, cost, checkpoint: 'sha256:weights' }),
    },
    artefacts: { has: () => true },
    data: { counts: { holdout: 100 } },
    clock: new SimulatedClock(0),
    signal: new AbortController().signal,
    onProgress: () => {},
    onNotice: () => {},
  } as unknown as StudyContext;
}

describe('final trainings after the device hours are used', () => {
  it('give every size of every target one network, also where it stands in a size that has one already', async () => {
    expect(countSpec(smaller).macs).toBeLessThan(countSpec(larger).macs);
    const members = await trainFamily(spent(), [sizeOf('cpu', [larger, smaller]), sizeOf('gpu', [larger])], examples);
    expect(members.map(({ target, delivered }) => [target, delivered.specDigest])).toEqual([
      ['cpu', expect.any(String)],
      ['gpu', specDigest(larger)],
    ]);
  });

  it('leave out what no size needs', async () => {
    const context = spent();
    await trainFamily(context, [sizeOf('cpu', [larger, smaller])], examples);
    expect(context.record.trials.map(({ id }) => context.record.outcome(id))).toMatchObject([
      { status: 'ok' },
      { status: 'failed', code: 'over-budget' },
    ]);
  });
});

it('a seed that diverged counts as 0 in choosing, which the journal says, and there is no accuracy by other seeds', async () => {
  const context = spent();
  const { config } = context;
  const cost = { trainS: 1, measureS: 0, examples: 1, flops: 1, peakRssBytes: 0 };
  const ok = { status: 'ok', metrics: { accuracy: 0.8 }, cost, checkpoint: 'sha256:weights' };
  const diverging = {
    ...context,
    config: { ...config, budget: { ...config.budget, deviceHours: undefined }, final: { ...config.final, seeds: 2 } },
    evaluator: {
      slots: 1,
      evaluate: (_: unknown, { fidelity }: { readonly fidelity: { readonly seed: number } }) =>
        Promise.resolve(fidelity.seed === config.seed ? ok : { status: 'infeasible', reason: 'diverged', cost }),
    },
  } as unknown as StudyContext;
  const [member] = await trainFamily(diverging, [sizeOf('cpu', [larger])], examples);
  expect(member?.runs).toHaveLength(1);
  expect(context.record.decision(`member cpu ${familyLine} 2x`)).toMatchObject({ diverged: 1, freshAccuracy: null });
  expect(readJournal(journalPath(context.folder)).events.find(({ id }) => id.startsWith('member '))).toMatchObject({
    because: 'best mean hold-out accuracy, 40.0 % over 2 seeds, 1 of them diverged and counted as 0, of 1 finalist',
  });
});

it('a size whose every training was cancelled ends the study, saying who did it and what to do', async () => {
  const context = spent();
  const record = context.record;
  const cancelled = {
    ...context,
    evaluator: {
      slots: 1,
      evaluate: () =>
        Promise.resolve({ status: 'failed', code: 'cancelled', retry: false, detail: 'cancelled by ada@office' }),
    },
  } as unknown as StudyContext;
  await expect(trainFamily(cancelled, [sizeOf('cpu', [larger])], examples)).rejects.toThrow(
    /2x on cpu: every training of it was cancelled \(t0001: cancelled by ada@office\).*"retry t0001"/,
  );
  expect(record.mayRetry('t0001')).toBe(true);
});
