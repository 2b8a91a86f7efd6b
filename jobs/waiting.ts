import { builtInTrainers, measureQueue, trainQueue } from './contract.ts';
import type { Presence } from './presence.ts';

/** A queue as it is at one moment. */
export interface QueueState {
  readonly queue: string;
  readonly waiting: number;
  /** Put off: further attempts, and what was interrupted. */
  readonly delayed: number;
  readonly active: number;
  /** Kept with their reasons and logs. */
  readonly failed: number;
  /** Precisions that waiting measurements ask for, and how many do; empty for trainings. */
  readonly precisions: Readonly<Record<string, number>>;
}

/** Why jobs of a queue are not done yet, a line for each reason: nobody offers what they need, or all who do are busy. */
export function whyQueued(state: QueueState, workers: readonly Presence[]): string[] {
  const lines = state.waiting > 0 ? [`${state.waiting} wait: ${reason(state, workers)}`] : [];
  if (state.delayed > 0) lines.push(`${state.delayed} put off: further attempts, after a pause`);
  return lines;
}

function reason(state: QueueState, workers: readonly Presence[]): string {
  return whyNotTaken(state, workers) ?? busy(state, workers);
}

/** Why nobody can do jobs of a queue, naming the nearest there is; undefined where somebody can. */
export function whyNotTaken(
  state: Pick<QueueState, 'queue' | 'precisions'>,
  workers: readonly Presence[],
): string | undefined {
  if (workers.length === 0) return 'there is no worker; start one with "ridgepoint worker --redis …"';
  const device = workers.flatMap(({ devices }) => devices).find((name) => measureQueue(name) === state.queue);
  return state.queue.startsWith('measure.')
    ? (missingPrecision(state, workers, device) ?? missingDevice(state, workers, device))
    : missingTrainer(state, workers);
}

/** Workers that offer the device, and none of them in a precision that is asked for. */
function missingPrecision(
  { precisions }: Pick<QueueState, 'precisions'>,
  workers: readonly Presence[],
  device: string | undefined,
): string | undefined {
  if (device === undefined) return undefined;
  const offering = workers.filter(({ devices }) => devices.includes(device));
  for (const precision of Object.keys(precisions)) {
    const measures = ({ precisions: own }: Presence): boolean => own?.[device]?.includes(precision) ?? true;
    const [nearest] = offering;
    if (nearest && !offering.some(measures))
      return `nobody offers ${device}/${precision}; nearest: ${nearest.host}, ${nearest.precisions?.[device]?.join(', ')}`;
  }
  return undefined;
}

function missingDevice(
  { queue, precisions }: Pick<QueueState, 'queue' | 'precisions'>,
  workers: readonly Presence[],
  device: string | undefined,
): string | undefined {
  if (device !== undefined) return undefined;
  const wanted = queue.slice('measure.'.length);
  const [precision] = Object.keys(precisions);
  const offers = workers.flatMap((worker) => worker.devices.map((name) => ({ name, worker })));
  const nearest = offers.toSorted((a, b) => shared(b.name, wanted) - shared(a.name, wanted))[0];
  const asked = precision === undefined ? wanted : `${wanted}/${precision}`;
  if (!nearest) return `nobody offers ${asked}; no worker offers any device`;
  const own = nearest.worker.precisions?.[nearest.name];
  return `nobody offers ${asked}; nearest: ${nearest.worker.host}, ${nearest.name}${own ? ` in ${own.join(', ')}` : ''}`;
}

/** Letters that two names begin with alike. */
function shared(a: string, b: string): number {
  let count = 0;
  while (count < Math.min(a.length, b.length) && a[count] === b[count]) count++;
  return count;
}

function missingTrainer({ queue }: Pick<QueueState, 'queue'>, workers: readonly Presence[]): string | undefined {
  const training = workers.filter(({ slots }) => slots > 0);
  const trainers = [...new Set(training.flatMap((worker) => worker.trainers))].toSorted();
  if (trainers.some((name) => trainQueue(name) === queue)) return undefined;
  const wanted = queue === trainQueue(builtInTrainers.onnx) ? 'the built-in trainer' : queue.slice('train.'.length);
  return `nobody trains with ${wanted}; ${trainers.length === 0 ? 'no worker trains' : `workers train with ${trainers.join(', ')}`}`;
}

function busy({ queue, active }: QueueState, workers: readonly Presence[]): string {
  const serving = workers.filter(
    ({ trainers, devices, slots }) =>
      devices.some((name) => measureQueue(name) === queue) ||
      (slots > 0 && trainers.some((name) => trainQueue(name) === queue)),
  );
  const slots = serving.reduce((sum, worker) => sum + (queue.startsWith('measure.') ? 1 : worker.slots), 0);
  const who = `${serving.length} ${serving.length === 1 ? 'worker' : 'workers'} with ${slots} ${slots === 1 ? 'slot' : 'slots'}`;
  return active >= slots
    ? `${who} ${serving.length === 1 ? 'is' : 'are'} busy with ${active}`
    : `${who} ${serving.length === 1 ? 'does' : 'do'} ${active} now and ${serving.length === 1 ? 'takes' : 'take'} more`;
}
