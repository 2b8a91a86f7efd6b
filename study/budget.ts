import type { StudyContext } from './context.ts';
import type { JournalEvent } from './events.ts';

/**
 * Milliseconds of work a journal records: from each opening of the study to the last event before
 * the next one, so that the night between two sessions is not counted.
 */
export function activeMs(events: readonly JournalEvent[]): number {
  let total = 0;
  let last: number | undefined;
  for (const event of events) {
    if (event.type === 'study' && event.action === 'opened') last = event.tMs;
    if (last !== undefined) total += Math.max(0, event.tMs - last);
    last = event.tMs;
  }
  return total;
}

/** Active time of the study until now, this session's current wait included. */
export function elapsedMs({ record, clock }: StudyContext): number {
  const last = record.events.at(-1);
  return activeMs(record.events) + (last ? Math.max(0, clock.now() - last.tMs) : 0);
}

/**
 * Whether a phase may start another round under `budget.time`; always true without one. The answer
 * is journalled, so that a resumed study takes the rounds the clock allowed then.
 * @param part names the decision: a phase, and its target where each has its own rounds.
 * @param upTo share of the whole time that may be used when the round starts.
 */
export async function phaseTimeLeft(
  context: StudyContext,
  part: string,
  upTo: number,
  round: number,
): Promise<boolean> {
  const { time } = context.config.budget;
  if (time === undefined) return true;
  return context.record.decideOnce(`${part}.round${round}`, () => {
    const usedMs = elapsedMs(context);
    const goOn = usedMs < time * upTo;
    return { value: goOn, because: `${(usedMs / 1e3).toFixed(0)} s of ${((time * upTo) / 1e3).toFixed(0)} s used` };
  });
}

/** What exporting, scoring and thoroughly measuring one network takes, about; up to 30 s on a noisy machine. */
export const deliveryMsPerNetwork = 8_000;

/**
 * Milliseconds a budget leaves for training, delivery of `networks` set aside, but at least half of
 * training's share; undefined without a budget.
 */
export function trainingTimeMs(context: StudyContext, networks: number): number | undefined {
  const { time, split } = context.config.budget;
  if (time === undefined) return undefined;
  return Math.max((time * split.train) / 2, time - elapsedMs(context) - networks * deliveryMsPerNetwork);
}
