import { describe, expect, it } from 'vitest';
import type { Allocation } from '../../../study/train/allocate-phase.ts';
import type { JournalEvent } from '../../../study/journal/events.ts';
import { FakeMeter } from '../fake-meter.ts';
import { powerLaw, scalingStudy, trainedTo } from '../scaled-study.ts';
import { eventsUntil } from '../small-study.ts';

function isAllocation({ type, id }: JournalEvent): boolean {
  return type === 'decision' && id === 'allocation';
}

/** Examples of a final training under a budget, where each training of a second cost otherwise than that. */
async function allocated(changes: object, budget: object = { time: '600s' }): Promise<number> {
  const config = scalingStudy({
    budget,
    data: { format: 'rendered', classes: 4, train: 1000, test: 50, resolution: 48 },
  });
  const outcome = trainedTo(0.5);
  if (outcome.status !== 'ok') throw new Error('it is one');
  const events = await eventsUntil(config, isAllocation, {
    makeMeter: () => new FakeMeter(powerLaw(1, { depth: 0.9, width: 1.2, resolution: 1.7 })),
    answer: () => ({ ...outcome, cost: { ...outcome.cost, ...changes } }),
  });
  const decision = events.find(isAllocation);
  const examples = decision?.type === 'decision' ? Object.values((decision.value as Allocation).examples) : [];
  expect(new Set(examples).size).toBe(1);
  return examples[0] ?? Number.NaN;
}

describe('what a time budget leaves', () => {
  it('counts what trainings waited while others measured', async () => {
    const [free, waiting] = [await allocated({ waitS: 0 }), await allocated({ waitS: 1 })];
    expect(free).toBeGreaterThan(1000);
    expect(waiting / free).toBeCloseTo(0.5, 2);
  });

  it('is what it is where trainings cost no device hours', async () => {
    const free = await allocated({});
    expect(await allocated({ deviceHours: 0 })).toBe(free);
    expect(await allocated({ deviceHours: 0 }, { time: '600s', deviceHours: 1 })).toBe(free);
    // The fewest that a search trains for, or what the study file says: nothing bounds it.
    expect(await allocated({ deviceHours: 0 }, { deviceHours: 1 })).toBe(scalingStudy({}).final.examples);
  });
});
