import { quantile } from '../../core/quantile.ts';
import { Random } from '../../core/random.ts';

/** A trained network of one line. */
export interface Point {
  readonly latencyMs: number;
  /** Test accuracies, 0–1, one a training seed. */
  readonly accuracies: readonly number[];
}

/** How much faster a network is than a line at the network's accuracy. */
export interface SpeedUp {
  /** The line's latency at that accuracy ÷ the network's; a bound where `beyond` says so. */
  readonly ratio: number;
  /** 95 %, over training seeds; latencies count as known. */
  readonly interval: readonly [number, number];
  /**
   * `above`: the network is more accurate than all of the line, whose most accurate network then stands for it, so that the
   * ratio is a lower bound. `below`: it is less accurate than all of it, and the ratio an upper bound.
   */
  readonly beyond: 'above' | 'below' | null;
}

const draws = 4000;

/**
 * Speed-up of a network over a line at equal accuracy. The line is a polyline in accuracy and ln latency through its Pareto
 * front. The interval is of repeated draws: each network's mean accuracy from a normal whose deviation is pooled over
 * all networks' seeds, ÷ √seeds. Ours.
 */
export function speedUpAtEqualAccuracy(network: Point, line: readonly Point[], random: Random): SpeedUp {
  const deviation = pooledDeviation([network, ...line]);
  const drawn = (point: Point): number =>
    mean(point.accuracies) + (deviation * random.normal()) / Math.sqrt(point.accuracies.length);
  const ratioOf = (accuracyOf: (point: Point) => number): { ratio: number; beyond: SpeedUp['beyond'] } => {
    const front = frontOf(line.map((point) => ({ latencyMs: point.latencyMs, accuracy: accuracyOf(point) })));
    const { latencyMs, beyond } = latencyAt(front, accuracyOf(network));
    return { ratio: latencyMs / network.latencyMs, beyond };
  };
  const ratios = Float64Array.from({ length: draws }, () => ratioOf(drawn).ratio).sort();
  return {
    ...ratioOf((point) => mean(point.accuracies)),
    interval: [quantile(ratios, 0.025), quantile(ratios, 0.975)],
  };
}

interface CurvePoint {
  readonly latencyMs: number;
  readonly accuracy: number;
}

/** Ascending in latency and accuracy: what is slower and no better is left out. */
function frontOf(points: readonly CurvePoint[]): readonly CurvePoint[] {
  const front: CurvePoint[] = [];
  for (const point of points.toSorted((a, b) => a.latencyMs - b.latencyMs || b.accuracy - a.accuracy))
    if (point.accuracy > (front.at(-1)?.accuracy ?? Number.NEGATIVE_INFINITY)) front.push(point);
  return front;
}

function latencyAt(front: readonly CurvePoint[], accuracy: number): { latencyMs: number; beyond: SpeedUp['beyond'] } {
  const [first, last] = [front[0], front.at(-1)];
  if (!first || !last) throw new RangeError('expected a line of at least one network, got none');
  if (accuracy < first.accuracy) return { latencyMs: first.latencyMs, beyond: 'below' };
  if (accuracy > last.accuracy) return { latencyMs: last.latencyMs, beyond: 'above' };
  const right = front.findIndex((point) => point.accuracy >= accuracy);
  const [a, b] = [front[right - 1] ?? first, front[right] ?? last];
  const share = b.accuracy === a.accuracy ? 0 : (accuracy - a.accuracy) / (b.accuracy - a.accuracy);
  return { latencyMs: a.latencyMs * (b.latencyMs / a.latencyMs) ** share, beyond: null };
}

/** Standard deviation between seeds, over all networks together; 0 where every network has one seed. */
export function pooledDeviation(points: readonly Point[]): number {
  const freedom = points.reduce((sum, { accuracies }) => sum + accuracies.length - 1, 0);
  const squares = points.flatMap(({ accuracies }) => accuracies.map((value) => (value - mean(accuracies)) ** 2));
  return freedom === 0 ? 0 : Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / freedom);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
