import type { Outcome } from '../core/trial.ts';
import type { StudyContext } from './context.ts';
import { leftOutCodes } from './journal/failures.ts';
import type { Trial } from './journal/record.ts';
import type { StudyConfig } from './study-file.ts';

/** Active time of the study until now, this session's current wait included. */
export function elapsedMs({ record, clock }: StudyContext): number {
  const { ms, lastMs } = record.activeTime;
  return ms + (lastMs === undefined ? 0 : Math.max(0, clock.now() - lastMs));
}

/**
 * Whether a phase may start another round under `budget.time`, `budget.deviceHours` and `budget.flops`, whichever ends first; always
 * true without any. The answer is journalled, so that a resumed study takes the rounds the budgets allowed then.
 * @param part names the decision: a phase, and its target where each has its own rounds.
 * @param upTo share of the whole budget that may be used when the round starts.
 */
export async function phaseTimeLeft(
  context: StudyContext,
  part: string,
  upTo: number,
  round: number,
): Promise<boolean> {
  const { config, record } = context;
  const { time, deviceHours, flops } = config.budget;
  if (time === undefined && deviceHours === undefined && flops === undefined) return true;
  return record.decideOnce(`${part}.round${round}`, () => {
    const uses: { readonly used: number; readonly of: number; readonly unit: string }[] = [];
    if (time !== undefined) uses.push({ used: elapsedMs(context) / 1e3, of: (time * upTo) / 1e3, unit: 's' });
    if (deviceHours !== undefined) {
      const share = Math.min(deviceHours * upTo, spendableHours(config.budget) ?? deviceHours);
      uses.push({ used: record.spending.hours, of: share, unit: 'device hours' });
    }
    if (flops !== undefined) uses.push({ used: record.spending.flops, of: flops * upTo, unit: 'FLOPs' });
    const because = uses.map(({ used, of, unit }) => `${amount(used, unit)} of ${amount(of, unit)} ${unit} used`);
    return { value: uses.every(({ used, of }) => used < of), because: because.join(', ') };
  });
}

function amount(value: number, unit: string): string {
  if (unit === 'FLOPs') return value.toExponential(2);
  return unit === 's' ? value.toFixed(0) : hoursText(value);
}

/**
 * {@link phaseTimeLeft} for training what a phase found again with other seeds: as long as half of the next phase's share is left, whose
 * other half nobody takes from it.
 * @param upTo share of the whole budget that is the phase's, and those' before it.
 * @param next the next phase's share.
 */
export function seedTimeLeft(context: StudyContext, part: string, upTo: number, next: number): Promise<boolean> {
  return phaseTimeLeft(context, `${part}.seeds`, upTo + next / 2, 0);
}

/** Device hours as people read them: 0.004, 3.2, 412. */
export function hoursText(hours: number): string {
  return hours >= 100 ? hours.toFixed(0) : String(Number(hours.toPrecision(2)));
}

/** Device hours that trainings may use: the budget without what `split.reserve` keeps for delivery; undefined without a budget. */
function spendableHours({ deviceHours, split }: StudyConfig['budget']): number | undefined {
  return deviceHours === undefined ? undefined : deviceHours * (1 - (split.reserve ?? 0));
}

/**
 * The answer of a trial that is left out because the device hours are used up; undefined while there are some, and for
 * what a delivery cannot do without. What runs when the hours end is finished, so a budget is passed by at most what
 * runs at once.
 * @param isNeeded whether a delivery cannot do without it, as things stand; by default a search's trial while none of them has trained.
 */
export function overBudget({ config, record }: StudyContext, trial: Trial, isNeeded?: boolean): Outcome | undefined {
  const spendable = spendableHours(config.budget);
  const { hours } = record.spending;
  if (
    spendable === undefined ||
    hours < spendable ||
    (isNeeded ?? (trial.phase === 'search' && !record.hasTrained('search')))
  )
    return undefined;
  const detail = `${hoursText(hours)} of ${hoursText(spendable)} device hours are used`;
  return { status: 'failed', code: leftOutCodes.overBudget, retry: false, detail };
}

/** Whether a trial was left out because the device hours were used up. */
export function isOverBudget(outcome: Outcome | undefined): boolean {
  return outcome?.status === 'failed' && outcome.code === leftOutCodes.overBudget;
}

/**
 * Device hours that a budget leaves for the final trainings, but at least half of training's share; undefined without a
 * budget.
 */
export function trainingDeviceHours({ config, record }: StudyContext): number | undefined {
  const { deviceHours, split } = config.budget;
  const spendable = spendableHours(config.budget);
  if (deviceHours === undefined || spendable === undefined) return undefined;
  return Math.max((deviceHours * split.train) / 2, spendable - record.spending.hours);
}

/** Training FLOPs that a budget leaves for the final trainings, but at least half of training's share; undefined without a budget. */
export function trainingFlopsLeft({ config, record }: StudyContext): number | undefined {
  const { flops, split } = config.budget;
  return flops === undefined ? undefined : Math.max((flops * split.train) / 2, flops - record.spending.flops);
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
