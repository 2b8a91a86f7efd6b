import { describe, expect, it } from 'vitest';
import type { Allocation } from '../../study/allocate-phase.ts';
import type { JournalEvent } from '../../study/events.ts';
import { FakeMeter } from './fake-meter.ts';
import { powerLaw, scalingStudy, trainedTo } from './scaled-study.ts';
import { eventsUntil } from './small-study.ts';

function isAllocation({ type, id }: JournalEvent): boolean {
  return type === 'decision' && id === 'allocation';
}

/** Examples of a final training under a time budget, where each training of a second waited so long before it. */
async function allocated(waitS: number): Promise<number> {
  const config = scalingStudy({
    budget: { time: '600s' },
    data: { format: 'rendered', classes: 4, train: 1000, test: 50, resolution: 48 },
  });
  const outcome = trainedTo(0.5);
  if (outcome.status !== 'ok') throw new Error('it is one');
  const events = await eventsUntil(config, isAllocation, {
    makeMeter: () => new FakeMeter(powerLaw(1, { depth: 0.9, width: 1.2, resolution: 1.7 })),
    answer: () => ({ ...outcome, cost: { ...outcome.cost, waitS } }),
  });
  const decision = events.find(isAllocation);
  const examples = decision?.type === 'decision' ? Object.values((decision.value as Allocation).examples) : [];
  expect(new Set(examples).size).toBe(1);
  return examples[0] ?? Number.NaN;
}

describe('what a time budget leaves', () => {
  it('counts what trainings waited while others measured', async () => {
    const [free, waiting] = [await allocated(0), await allocated(1)];
    expect(free).toBeGreaterThan(1000);
    expect(waiting / free).toBeCloseTo(0.5, 2);
  });
});
