/**
 * A network on several devices. Every function below takes its networks with the same devices in the same order.
 */
export interface DeviceMeasures {
  /** Or any other quality, more being better; regrets come in its unit. */
  readonly accuracy: number;
  /** By device: a positive finite time, in a unit that may be another on each. */
  readonly latencies: readonly number[];
}

type Networks = readonly DeviceMeasures[];

/** @throws {RangeError} on unequal numbers of devices, and on what is no accuracy or latency. */
function devicesOf(networks: Networks): readonly number[] {
  const count = networks[0]?.latencies.length ?? 0;
  for (const { accuracy, latencies } of networks)
    if (
      latencies.length !== count ||
      !Number.isFinite(accuracy) ||
      latencies.some((ms) => !(ms > 0 && Number.isFinite(ms)))
    )
      throw new RangeError(
        `expected an accuracy and ${count} positive latencies, got ${accuracy} and [${latencies.join(', ')}]`,
      );
  return Array.from({ length: count }, (_, device) => device);
}

/** A device's best networks in a form that is quick to ask: latencies ascending, each with the best accuracy within it. */
interface Staircase {
  readonly latencies: readonly number[];
  readonly best: readonly number[];
}

function staircaseOf(networks: Networks, device: number): Staircase {
  const sorted = networks
    .map(({ accuracy, latencies }) => ({ accuracy, ms: latencies[device] ?? NaN }))
    .toSorted((a, b) => a.ms - b.ms || b.accuracy - a.accuracy);
  const steps: { ms: number; accuracy: number }[] = [];
  for (const network of sorted) if (network.accuracy > (steps.at(-1)?.accuracy ?? -Infinity)) steps.push(network);
  return { latencies: steps.map(({ ms }) => ms), best: steps.map(({ accuracy }) => accuracy) };
}

/** The last step that is accepted, of steps of which a first part is. */
function lastStep(count: number, isAccepted: (step: number) => boolean): number {
  let [low, high] = [-1, count];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (isAccepted(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** F(t): the best accuracy within a latency; −∞ below the fastest network. */
function bestWithin({ latencies, best }: Staircase, ms: number): number {
  return best[lastStep(latencies.length, (step) => (latencies[step] ?? Infinity) <= ms)] ?? -Infinity;
}

/** The latency of the fastest network of at least an accuracy; ∞ above the most accurate. */
function fastestReaching({ latencies, best }: Staircase, accuracy: number): number {
  return latencies[lastStep(best.length, (step) => (best[step] ?? Infinity) < accuracy) + 1] ?? Infinity;
}

/**
 * Indices, ascending, of the networks that no other beats on one device: the Pareto front of accuracy against that
 * device's latency. Networks equal in both all stay. As `nonDominated`, in O(n log n).
 */
export function deviceFront(networks: Networks, device: number): readonly number[] {
  devicesOf(networks);
  const stairs = staircaseOf(networks, device);
  return networks.flatMap(({ accuracy, latencies }, index) => {
    const ms = latencies[device] ?? NaN;
    return bestWithin(stairs, ms) === accuracy && fastestReaching(stairs, accuracy) === ms ? [index] : [];
  });
}

/**
 * Accuracy lost on each device, `[network][device]`, in the accuracy's unit: how much more accurate the best network is
 * that is no slower on that device, ρ_d(i) = max{a_j : l_jd ≤ l_id} − a_i ≥ 0. It depends on the *order* of a device's
 * latencies alone, so neither its speed nor any overhead, clock or saturation that keeps the order changes it:
 * devices compare without being scaled to one another.
 */
export function accuracyRegrets(networks: Networks): readonly (readonly number[])[] {
  const stairs = devicesOf(networks).map((device) => staircaseOf(networks, device));
  return networks.map(({ accuracy, latencies }) =>
    stairs.map((steps, device) => bestWithin(steps, latencies[device] ?? NaN) - accuracy),
  );
}

/**
 * Time lost on each device, `[network][device]`, as the natural logarithm of a ratio: how many times longer a network
 * takes than the fastest that is no less accurate, ln l_id − ln min{l_jd : a_j ≥ a_i} ≥ 0. A device's speed drops out;
 * an overhead added to all its latencies does not. A network is on a device's front exactly when this and
 * {@link accuracyRegrets} are 0.
 */
export function latencyRegrets(networks: Networks): readonly (readonly number[])[] {
  const stairs = devicesOf(networks).map((device) => staircaseOf(networks, device));
  return networks.map(({ accuracy, latencies }) =>
    stairs.map((steps, device) => Math.log((latencies[device] ?? NaN) / fastestReaching(steps, accuracy))),
  );
}

/** One device's choice on another; see {@link deviceTransfer}. */
export interface Transfer {
  /** Networks of the first device's front that are on the second's front, too … */
  readonly shared: number;
  /** … as a share of those on either front (Jaccard index), 0–1, the same in both directions. */
  readonly overlap: number;
  /** Mean and largest accuracy regret of the first device's front on the second device, in the accuracy's unit. */
  readonly meanLoss: number;
  readonly worstLoss: number;
  /** Mean of how many times longer that front takes than the second device's own at equal accuracy; geometric, ≥ 1. */
  readonly slowdown: number;
}

/**
 * What it costs to use one device's front on another, `[from][to]`; a device costs itself nothing.
 * @throws {RangeError} without networks.
 */
export function deviceTransfer(networks: Networks): readonly (readonly Transfer[])[] {
  if (networks.length === 0) throw new RangeError('expected networks, got none');
  const fronts = devicesOf(networks).map((device) => deviceFront(networks, device));
  const lost = accuracyRegrets(networks);
  const late = latencyRegrets(networks);
  return fronts.map((front) =>
    fronts.map((other, to) => {
      const own = new Set(other);
      const shared = front.filter((index) => own.has(index)).length;
      const losses = front.map((index) => lost[index]?.[to] ?? NaN);
      return {
        shared,
        overlap: shared / (front.length + other.length - shared),
        meanLoss: mean(losses),
        worstLoss: Math.max(...losses),
        slowdown: Math.exp(mean(front.map((index) => late[index]?.[to] ?? NaN))),
      };
    }),
  );
}

/** The least bad network within given budgets. */
export interface LeastRegretWithin {
  /** Index of the network. */
  readonly network: number;
  /** By device: accuracy lost against the best network within that device's budget; ≥ 0. */
  readonly regrets: readonly number[];
}

/**
 * The network within every device's budget whose largest regret over the devices is smallest, a regret being what
 * that device's own user would lose: F_d(budget_d) − a_i, with F_d(t) the best accuracy within t on d.
 *
 * A network's accuracy is the same on every device, so the largest regret, max_d F_d(budget_d) − a_i, is least where a_i is
 * greatest: *within budgets the minimax-regret network is the most accurate one*. Regret is thus not what chooses but
 * what the choice costs. The criterion is Savage (1951).
 *
 * @param networks latencies may be ∞: on a device that cannot run a network.
 * @param budgets by device, in that device's unit.
 * @returns the first of equals; undefined where no network is within all budgets.
 */
export function leastRegretWithin(networks: Networks, budgets: readonly number[]): LeastRegretWithin | undefined {
  const isWithin = ({ latencies }: DeviceMeasures): boolean =>
    budgets.every((budget, device) => (latencies[device] ?? Infinity) <= budget);
  let best: { readonly network: number; readonly accuracy: number } | undefined;
  for (const [network, one] of networks.entries())
    if (isWithin(one) && one.accuracy > (best?.accuracy ?? -Infinity)) best = { network, accuracy: one.accuracy };
  if (!best) return undefined;
  const { network, accuracy } = best;
  const regrets = budgets.map((budget, device) => bestWithin(staircaseOf(networks, device), budget) - accuracy);
  return { network, regrets };
}

/** The network that is least bad on all devices at one level. */
export interface LeastRegret {
  /** Index of the network. */
  readonly network: number;
  /** The lowest level that it is within: the largest of its latencies, each in units of its device's scale. */
  readonly level: number;
  /** By device: accuracy lost against the best network within that device's budget at this level; ≥ 0. */
  readonly regrets: readonly number[];
}

/**
 * The worst-case-regret front: for each level of latency the network whose largest regret over the devices is smallest.
 *
 * A level s gives every device d the budget s·scale_d; a network is within a level when it is within all its budgets. By
 * the argument of {@link leastRegretWithin} this is the Pareto front of accuracy against max_d l_id ÷ scale_d.
 *
 * @param scales by device: the latency that counts as 1, such as a base network's or the median. They say what is a
 * fair budget on a slow device beside a fast one, and are the caller's to choose.
 * @returns ascending in level and accuracy; of networks equal in both the first.
 */
export function leastRegretFront(networks: Networks, scales: readonly number[]): readonly LeastRegret[] {
  const devices = devicesOf(networks);
  if (networks.length > 0 && (scales.length !== devices.length || scales.some((scale) => !(scale > 0))))
    throw new RangeError(`expected ${devices.length} positive scales, got [${scales.join(', ')}]`);
  const stairs = devices.map((device) => staircaseOf(networks, device));
  const leveled = networks
    .map(({ accuracy, latencies }, network) => ({
      network,
      accuracy,
      level: Math.max(...latencies.map((ms, device) => ms / (scales[device] ?? NaN))),
    }))
    .toSorted((a, b) => a.level - b.level || b.accuracy - a.accuracy);
  const front: LeastRegret[] = [];
  let best = -Infinity;
  for (const { network, accuracy, level } of leveled) {
    if (accuracy <= best) continue;
    best = accuracy;
    const { latencies } = networks[network] as DeviceMeasures;
    // What bounds the level is the network's own latency there, whatever rounding makes of level × scale.
    const budgets = latencies.map((ms, device) => Math.max(ms, level * (scales[device] ?? NaN)));
    const regrets = budgets.map((ms, device) => bestWithin(stairs[device] as Staircase, ms) - accuracy);
    front.push({ network, level, regrets });
  }
  return front;
}

/**
 * Regrets of options that every judge scores, `[option][judge]`: the judge's highest score less the option's; ≥ 0.
 * @param scores `[option][judge]`, more being better; −∞ for what a judge cannot use.
 */
export function scoreRegrets(scores: readonly (readonly number[])[]): readonly (readonly number[])[] {
  const best = (scores[0] ?? []).map((_, judge) => Math.max(...scores.map((row) => row[judge] ?? -Infinity)));
  return scores.map((row) => row.map((score, judge) => (score === best[judge] ? 0 : (best[judge] ?? 0) - score)));
}

/**
 * Options from the least bad for all judges on: by their largest regret, then by the sum of regrets, then in order. With
 * one judge this is the order of its scores. Savage (1951), minimax regret.
 * @returns indices of options.
 */
export function byWorstRegret(scores: readonly (readonly number[])[]): readonly number[] {
  const judged = judgedRegrets(scores);
  return judged.toSorted((a, b) => ascending(a.worst, b.worst) || ascending(a.sum, b.sum)).map(({ option }) => option);
}

/** Options from the best on average on: by the sum of regrets, which is the order of mean scores, then in order. */
export function byMeanRegret(scores: readonly (readonly number[])[]): readonly number[] {
  return judgedRegrets(scores)
    .toSorted((a, b) => ascending(a.sum, b.sum))
    .map(({ option }) => option);
}

function judgedRegrets(scores: readonly (readonly number[])[]) {
  return scoreRegrets(scores).map((regrets, option) => ({
    option,
    worst: Math.max(...regrets),
    sum: regrets.reduce((total, regret) => total + regret, 0),
  }));
}

/** Infinities differ by NaN, so they are compared. */
function ascending(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
