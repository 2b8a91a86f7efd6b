import { ConfigError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import type { DatasetOutline, Split, SplitName } from './dataset.ts';

/** What images are, and of which classes, before the hold-out is taken. Labels are below `classNames.length`. */
export interface LabelledImages extends DatasetOutline {
  readonly train: Pick<Split, 'labels'>;
  /** Absent where the data has no test split of its own. */
  readonly test?: Pick<Split, 'labels'>;
}

/** Images as their files hold them, before the hold-out is taken. */
export interface DecodedImages extends LabelledImages {
  readonly train: Split;
  readonly test?: Split;
}

/** How the training data is divided. */
export interface SplitRules {
  /** Share below 1, else a number of examples. */
  readonly holdout: number;
  readonly testShare: number;
  readonly limit?: number;
}

/**
 * Indices of the examples of each split, stratified: every class gives the same share, to within one
 * example; which ones give the more, where shares are alike, is drawn. A class keeps a training example wherever there are as many
 * of these as classes; small classes may be missing in the other splits.
 * @throws {ConfigError} when a class has fewer examples than there are splits.
 */
export function divide(
  labels: Uint16Array,
  classNames: readonly string[],
  rules: SplitRules & { readonly hasTest: boolean },
  random: Random,
): { train: Uint32Array; holdout: Uint32Array; test: Uint32Array } {
  const testCount = rules.hasTest ? 0 : countOf(rules.testShare, labels.length);
  const remaining = labels.length - testCount;
  if (testCount > 0 && remaining < 2)
    throw new ConfigError(
      `data: expected a testShare that leaves some of the ${labels.length} examples, got ${testCount}`,
    );
  // Half of an odd number rounds down: a share of .5 asks for no more than half.
  const half = Math.floor(remaining / 2);
  const asked = countOf(rules.holdout, remaining);
  const holdoutCount = rules.holdout <= 0.5 ? Math.min(asked, half) : asked;
  if (holdoutCount > half)
    throw new ConfigError(
      `data: expected a holdout of at most half the ${remaining} training examples, got ${holdoutCount}`,
    );
  requireExamples(labels, classNames, 1 + Number(testCount > 0) + Number(holdoutCount > 0));
  const everything = Uint32Array.from(labels, (_, index) => index);
  const test = stratifiedSample(everything, labels, { count: testCount, kept: 1 }, random.child('test'));
  const rest = without(everything, test);
  const holdout = stratifiedSample(rest, labels, { count: holdoutCount, kept: 1 }, random.child('holdout'));
  const train = without(rest, holdout);
  const count = Math.min(train.length, rules.limit ?? train.length);
  return { train: stratifiedSample(train, labels, { count, taken: 1 }, random.child('limit')), holdout, test };
}

/** A share below 1 of so many, or else the number itself. */
function countOf(part: number, of: number): number {
  return part < 1 ? Math.round(part * of) : part;
}

function requireExamples(labels: Uint16Array, classNames: readonly string[], least: number): void {
  const counts = new Uint32Array(classNames.length);
  for (const label of labels) counts[label] = (counts[label] as number) + 1;
  const poorest = counts.indexOf(Math.min(...counts));
  const count = counts[poorest] as number;
  if (count >= least) return;
  const expected = least === 1 ? 'an example' : `${least} or more examples (one for each split)`;
  throw new ConfigError(`data: expected ${expected} of every class, got ${count} of ${classNames[poorest]}`);
}

/** How much of the candidates is taken, and what of each class at least is taken or left, where the numbers allow it. */
interface Portion {
  readonly count: number;
  readonly taken?: number;
  readonly kept?: number;
}

/** So many of the candidates in ascending order, every class by the same share. */
function stratifiedSample(candidates: Uint32Array, labels: Uint16Array, portion: Portion, random: Random): Uint32Array {
  if (portion.count === candidates.length) return candidates;
  const byClass = new Map<number, number[]>();
  for (const index of candidates) {
    const label = labels[index] as number;
    const members = byClass.get(label);
    if (members) members.push(index);
    else byClass.set(label, [index]);
  }
  const classes = [...byClass].map(([label, members]) => ({ label, members, size: members.length }));
  const quotas = apportion(classes, portion, random);
  const chosen = classes.flatMap(({ label, members }, at) => {
    const order = random.child(label).permutation(members.length);
    return Array.from(order.subarray(0, quotas[at]), (place) => members[place] as number);
  });
  return Uint32Array.from(chosen).sort();
}

/** Examples of each class: its share rounded down, and the rest by largest remainders, those that are equal in drawn order. */
function apportion(
  classes: readonly { readonly label: number; readonly size: number }[],
  { count, taken = 0, kept = 0 }: Portion,
  random: Random,
): number[] {
  const total = classes.reduce((sum, { size }) => sum + size, 0);
  const quotas = classes.map(({ label, size }) => {
    const share = (size * count) / total;
    const [low, high] = [Math.min(size, taken), Math.max(0, size - kept)];
    const draw = random.child('tie', label).uniform();
    return { share, low, high, draw, count: Math.max(low, Math.min(high, Math.floor(share))) };
  });
  const [least, most] = [
    quotas.reduce((sum, { low }) => sum + low, 0),
    quotas.reduce((sum, { high }) => sum + high, 0),
  ];
  if (count < least || count > most) return apportion(classes, { count }, random);
  let rest = count - quotas.reduce((sum, quota) => sum + quota.count, 0);
  for (; rest !== 0; rest -= Math.sign(rest)) {
    const step = Math.sign(rest);
    const open = quotas.filter((quota) => (step > 0 ? quota.count < quota.high : quota.count > quota.low));
    const next = open.reduce((best, quota) => {
      const ahead = step * (quota.share - quota.count - (best.share - best.count));
      return ahead > 0 || (ahead === 0 && quota.draw < best.draw) ? quota : best;
    });
    next.count += step;
  }
  return quotas.map((quota) => quota.count);
}

/** What a person should know of splits that classes are missing in; undefined where all are in all. */
export function missingClasses(
  splits: Readonly<Record<SplitName, Pick<Split, 'labels'>>>,
  classNames: readonly string[],
): string | undefined {
  const missing = (['train', 'holdout', 'test'] as const).flatMap((name) => {
    const found = new Set(splits[name].labels);
    const names = classNames.filter((_, label) => !found.has(label));
    // A split that was not asked for misses nothing.
    if (found.size === 0 || names.length === 0) return [];
    const some = names.length > 3 ? `${names.slice(0, 3).join(', ')}, …` : names.join(', ');
    return [`no ${name} example of ${names.length} (${some})`];
  });
  if (missing.length === 0) return undefined;
  return `data: expected examples of all ${classNames.length} classes in every split, got ${missing.join('; ')}`;
}

function without(indices: Uint32Array, removed: Uint32Array): Uint32Array {
  const gone = new Set(removed);
  return indices.filter((index) => !gone.has(index));
}

/**
 * Moves examples, in the memory they are in, so that each part's lie together and in its order, and gives views of
 * them. Examples of no part lie behind.
 * @param parts indices; none occurs twice.
 */
export function arrange(
  { pixels, labels, count }: Split,
  parts: Readonly<Record<SplitName, Uint32Array>>,
): Record<SplitName, Split> {
  const values = pixels.length / count;
  const exampleAt = Uint32Array.from({ length: count }, (_, index) => index);
  const placeOf = exampleAt.slice();
  const aside = new Uint8Array(values);
  const swap = (one: number, other: number) => {
    aside.set(pixels.subarray(one * values, (one + 1) * values));
    pixels.copyWithin(one * values, other * values, (other + 1) * values);
    pixels.set(aside, other * values);
    for (const array of [labels, exampleAt])
      [array[one], array[other]] = [array[other] as number, array[one] as number];
    placeOf[exampleAt[one] as number] = one;
    placeOf[exampleAt[other] as number] = other;
  };
  let end = 0;
  const gather = (part: Uint32Array): Split => {
    const start = end;
    for (const example of part) swap(end++, placeOf[example] as number);
    return {
      count: part.length,
      pixels: pixels.subarray(start * values, end * values),
      labels: labels.subarray(start, end),
    };
  };
  return { train: gather(parts.train), holdout: gather(parts.holdout), test: gather(parts.test) };
}

/** Mean and standard deviation of each channel of pixels scaled to [0, 1]; exact, from the histogram of bytes. */
export function channelStatistics(split: Split, channels: number): { mean: number[]; std: number[] } {
  const plane = split.pixels.length / (split.count * channels);
  const histograms = Array.from({ length: channels }, () => new Float64Array(256));
  for (let start = 0, index = 0; start < split.pixels.length; start += plane, index++) {
    const histogram = histograms[index % channels] as Float64Array;
    for (let at = start; at < start + plane; at++) {
      const value = split.pixels[at] as number;
      histogram[value] = (histogram[value] as number) + 1;
    }
  }
  const total = split.count * plane;
  const mean = histograms.map((histogram) => histogram.reduce((sum, n, value) => sum + n * value, 0) / total / 255);
  const std = histograms.map((histogram, channel) => {
    const centre = mean[channel] as number;
    const variance = histogram.reduce((sum, n, value) => sum + n * (value / 255 - centre) ** 2, 0) / total;
    // A constant channel carries nothing: leave it at zero rather than divide by zero.
    return variance > 0 ? Math.sqrt(variance) : 1;
  });
  return { mean, std };
}
