import type { AllocationTuple } from './law.ts';
import { type PowerLaw, powerLawThrough, type PublishedPowerLaw } from './power-law.ts';

/**
 * Approach 1 of Hoffmann et al. (2022) as their Table 3 has it: the line through its nine rows in logarithms. a and b were
 * fitted apart.
 */
export const approach1: PublishedPowerLaw = {
  name: 'approach-1',
  paramsCoefficient: 0.0992,
  paramsExponent: 0.4981,
  dataCoefficient: 1.696,
  dataExponent: 0.5019,
  source: 'Hoffmann et al. (2022), approach 1, a line through Table 3',
  confirmed: 'refit',
  paramsCount: 'total',
};

/** The training curve of one run. */
export interface TrainingCurve {
  readonly params: number;
  /** Data over which its learning-rate schedule was planned; that of the last point when it ran to its end. */
  readonly horizon: number;
  /** Training FLOPs of one datum; 6·N by default. */
  readonly flopsPerDatum?: number;
  /** Ascending in data; losses of single steps are fine, they are smoothed. */
  readonly points: readonly { readonly data: number; readonly loss: number }[];
}

/** How the envelope is found. */
export interface EnvelopeOptions {
  /** `nearest`: the lowest curve at each of many budgets. `hull`: corners of the lower convex hull, for few or sparse curves. */
  readonly method?: 'nearest' | 'hull';
  /** Budgets, spaced evenly in their logarithm, at which `nearest` compares. */
  readonly budgets?: number;
  /**
   * Standard deviation, in ln D, of the Gaussian that smooths a curve; 0 for none. The default, .1, is a tenth of the
   * data seen so far, wherever points were recorded.
   */
  readonly smoothing?: number;
}

/** A point of the envelope. */
export interface EnvelopePoint extends AllocationTuple {
  readonly flops: number;
  readonly loss: number;
  /** Share of its run's schedule that had passed. */
  readonly progress: number;
}

/** How far a point may lie from the end of its schedule. */
const scheduleTolerance = 0.25;
/** Standard deviations beyond which a point no longer counts in smoothing. */
const reach = 4;

/**
 * Approach 1 (Hoffmann et al. 2022, section 3.1): the lower envelope of training curves in compute, and power laws through it.
 *
 * Every size needs runs of several lengths with a schedule each: a point in the middle of a long schedule, its rate
 * still high, is worse than a run that ended there, and a law through such points has the wrong exponent (.67 instead of .5 on public
 * curves). Points that lie more than 25 % before the end of their schedule are counted in a warning.
 * We differ in how a curve is smoothed: the paper's Gaussian mean over steps depends on where they were recorded.
 * @throws {RangeError} when the envelope has fewer than two budgets.
 */
export function fitEnvelope(
  curves: readonly TrainingCurve[],
  options: EnvelopeOptions = {},
): { readonly law: PowerLaw; readonly envelope: readonly EnvelopePoint[]; readonly warnings: readonly string[] } {
  const { method = 'nearest', budgets = 1500, smoothing = 0.1 } = options;
  const smoothed = curves.map((curve) => smooth(curve, smoothing));
  const envelope = withinSizes(method === 'hull' ? hull(smoothed) : nearest(smoothed, budgets));
  const distinct = new Set(envelope.map(({ flops }) => flops)).size;
  if (distinct < 2) throw new RangeError(`expected an envelope of at least 2 budgets, got ${distinct}`);
  const sizes = new Set(envelope.map(({ params }) => params)).size;
  const early = envelope.filter(({ progress }) => progress < 1 - scheduleTolerance).length / envelope.length;
  const warnings = [
    ...(sizes < 3
      ? [`the envelope touches only ${sizes} model ${sizes === 1 ? 'size' : 'sizes'}: its exponents mean little`]
      : []),
    ...(early > 0.1
      ? [
          `${Math.round(early * 100)} % of the envelope lies more than ${scheduleTolerance * 100} % before the end of its run's schedule: the exponents are wrong, train each length with a schedule of its own`,
        ]
      : []),
  ];
  return { law: powerLawThrough(envelope), envelope, warnings };
}

/**
 * Points of the smallest and of the largest size are left out where three sizes or more are in between: the best size may lie beyond
 * them. Ours, not in the paper; without it both ends bend the power law.
 */
function withinSizes(envelope: readonly EnvelopePoint[]): readonly EnvelopePoint[] {
  const sizes = [...new Set(envelope.map(({ params }) => params))].toSorted((a, b) => a - b);
  if (sizes.length < 5) return envelope;
  return envelope.filter(({ params }) => params !== sizes[0] && params !== sizes.at(-1));
}

/**
 * The curve by local linear regression of ln L on ln D (Fan 1992): unlike a mean it keeps a slope, also where the points thin out
 * and where the curve begins and ends.
 * @param deviation standard deviation of the Gaussian weights in ln D.
 */
function smooth(curve: TrainingCurve, deviation: number): TrainingCurve {
  if (deviation === 0) return curve;
  const logData = curve.points.map(({ data }) => Math.log(data));
  const logLoss = curve.points.map(({ loss }) => Math.log(loss));
  let first = 0;
  const points = curve.points.map(({ data }, i) => {
    const centre = logData[i] as number;
    while ((logData[first] as number) < centre - reach * deviation) first++;
    let [weight, byX, byXX, byY, byXY] = [0, 0, 0, 0, 0];
    for (let j = first; j < logData.length; j++) {
      const x = ((logData[j] as number) - centre) / deviation;
      if (x > reach) break;
      const w = Math.exp(-0.5 * x * x);
      const y = logLoss[j] as number;
      weight += w;
      byX += w * x;
      byXX += w * x * x;
      byY += w * y;
      byXY += w * x * y;
    }
    const spread = weight * byXX - byX * byX;
    // A point without neighbours stays as it is.
    const level = spread > 1e-9 * weight * weight ? (byY * byXX - byX * byXY) / spread : byY / weight;
    return { data, loss: Math.exp(level) };
  });
  return { ...curve, points };
}

function flopsPerDatum({ params, flopsPerDatum = 6 * params }: TrainingCurve): number {
  return flopsPerDatum;
}

function nearest(curves: readonly TrainingCurve[], budgets: number): readonly EnvelopePoint[] {
  // Below the end of the shortest run every curve is in the middle of its schedule.
  const ends = curves.map((curve) => flopsPerDatum(curve) * (curve.points.at(-1)?.data ?? Number.NaN));
  const [low, high] = [Math.log(Math.min(...ends)), Math.log(Math.max(...ends))];
  return Array.from({ length: budgets }, (_, k) => Math.exp(low + ((high - low) * k) / (budgets - 1)))
    .map((flops) =>
      curves
        .map((curve) => at(curve, flops / flopsPerDatum(curve)))
        .filter((point) => point !== null)
        .reduce<EnvelopePoint | null>((best, point) => (best && best.loss <= point.loss ? best : point), null),
    )
    .filter((point) => point !== null);
}

/** A curve's point after so much data, interpolated in ln data; null outside the curve. */
function at(curve: TrainingCurve, data: number): EnvelopePoint | null {
  const { points, params, horizon } = curve;
  let [low, high] = [0, points.length - 1];
  const [first, last] = [points[0], points[high]];
  if (!first || !last || data < first.data * (1 - 1e-12) || data > last.data * (1 + 1e-12)) return null;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((points[middle]?.data ?? 0) <= data) low = middle;
    else high = middle;
  }
  const [left, right] = [points[low] ?? first, points[high] ?? last];
  const share = right.data > left.data ? Math.log(data / left.data) / Math.log(right.data / left.data) : 0;
  const loss = left.loss + share * (right.loss - left.loss);
  return { params, data, loss, flops: data * flopsPerDatum(curve), progress: data / horizon };
}

/** Corners of the lower convex hull in (ln C, ln L), by Andrew's monotone chain, up to the lowest loss. */
function hull(curves: readonly TrainingCurve[]): readonly EnvelopePoint[] {
  const points = curves
    .flatMap((curve) => curve.points.map(({ data }) => at(curve, data)))
    .filter((point) => point !== null)
    .toSorted((a, b) => a.flops - b.flops || a.loss - b.loss);
  const corners: EnvelopePoint[] = [];
  for (const point of points) {
    while (corners.length >= 2 && !turnsLeft(corners.at(-2), corners.at(-1), point)) corners.pop();
    if (corners.at(-1)?.flops !== point.flops) corners.push(point);
  }
  const lowest = corners.reduce((best, { loss }, i) => (loss < (corners[best]?.loss ?? 0) ? i : best), 0);
  return corners.slice(0, lowest + 1);
}

function turnsLeft(a: EnvelopePoint | undefined, b: EnvelopePoint | undefined, c: EnvelopePoint): boolean {
  if (!a || !b) return true;
  const [x1, y1] = [Math.log(b.flops / a.flops), Math.log(b.loss / a.loss)];
  const [x2, y2] = [Math.log(c.flops / a.flops), Math.log(c.loss / a.loss)];
  return x1 * y2 - x2 * y1 > 0;
}
