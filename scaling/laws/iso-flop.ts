import { extent } from '../../core/extent.ts';
import { polynomialFit } from '../../core/least-squares.ts';
import type { AllocationTuple } from './law.ts';
import { type PowerLaw, powerLawThrough, type PublishedPowerLaw } from './power-law.ts';

/**
 * Approach 2 of Hoffmann et al. (2022) as their Table 3 has it: the line through its nine rows in logarithms. a and b were
 * fitted apart.
 */
export const approach2: PublishedPowerLaw = {
  name: 'approach-2',
  paramsCoefficient: 0.1449,
  paramsExponent: 0.4899,
  dataCoefficient: 1.153,
  dataExponent: 0.51,
  source: 'Hoffmann et al. (2022), approach 2, a line through Table 3',
  confirmed: 'refit',
  paramsCount: 'total',
};

/** One training of an isoFLOP profile. */
export interface IsoFlopRun extends AllocationTuple {
  readonly flops: number;
  /** Final loss in nats. */
  readonly loss: number;
}

/** The lowest point of one budget's profile. */
export interface IsoFlopOptimum extends AllocationTuple {
  readonly flops: number;
  /** Loss at the minimum of the parabola in ln N. */
  readonly loss: number;
  readonly runs: number;
}

/** Budgets this close (as a ratio) are one budget. */
const sameBudget = 1.1;

/**
 * Approach 2 (Hoffmann et al. 2022, section 3.2): a parabola of the loss in ln N, and one in ln D, for each budget; their
 * minima are the optima, and power laws go through those. On a noise-free surface the exponents are exact, the coefficients are off
 * by a factor that the width of the grid decides.
 * @returns the power law, its optima, and what was left out and why.
 * @throws {RangeError} when fewer than two budgets have a minimum.
 */
export function fitIsoFlop(runs: readonly IsoFlopRun[]): {
  readonly law: PowerLaw;
  readonly optima: readonly IsoFlopOptimum[];
  readonly warnings: readonly string[];
} {
  const optima: IsoFlopOptimum[] = [];
  const warnings: string[] = [];
  const [few, open, outside]: [string[], string[], string[]] = [[], [], []];
  for (const group of budgets(runs)) {
    const flops = geometricMean(group.map((run) => run.flops));
    const name = flops.toPrecision(3);
    if (new Set(group.map(({ params }) => params)).size < 3) {
      few.push(name);
      continue;
    }
    const bySize = vertex(
      group.map(({ params }) => Math.log(params)),
      group.map(({ loss }) => loss),
    );
    const byData = vertex(
      group.map(({ data }) => Math.log(data)),
      group.map(({ loss }) => loss),
    );
    if (!bySize || !byData) {
      open.push(name);
      continue;
    }
    const params = Math.exp(bySize.at);
    const [least, most] = extent(group.map((run) => run.params));
    if (params < least || params > most) outside.push(name);
    else optima.push({ flops, params, data: Math.exp(byData.at), loss: bySize.value, runs: group.length });
  }
  for (const [budgets, why] of [
    [few, 'fewer than 3 model sizes'],
    [open, 'no minimum'],
    [outside, 'its minimum outside the sizes trained'],
  ] as const)
    if (budgets.length > 0)
      warnings.push(
        `${budgets.length} budget${budgets.length > 1 ? 's' : ''} left out, ${why}: ${budgets.slice(0, 5).join(', ')}${budgets.length > 5 ? ' …' : ''} FLOPs`,
      );
  if (optima.length < 2)
    throw new RangeError(
      `expected at least 2 budgets with a minimum among the sizes trained, got ${optima.length}${warnings.map((text) => `\n  ${text}`).join('')}`,
    );
  return { law: powerLawThrough(optima), optima, warnings };
}

/** Runs in groups of equal budget, ascending. */
function budgets(runs: readonly IsoFlopRun[]): readonly (readonly IsoFlopRun[])[] {
  const groups: IsoFlopRun[][] = [];
  for (const run of runs.toSorted((a, b) => a.flops - b.flops)) {
    const group = groups.at(-1);
    if (group?.[0] && run.flops <= group[0].flops * sameBudget) group.push(run);
    else groups.push([run]);
  }
  return groups;
}

/** Number of budgets that have at least four sizes: whether approach 2 is worth trying. */
export function isoFlopBudgets(runs: readonly IsoFlopRun[]): number {
  return budgets(runs).filter((group) => new Set(group.map(({ params }) => params)).size >= 4).length;
}

function vertex(x: readonly number[], y: readonly number[]): { readonly at: number; readonly value: number } | null {
  if (new Set(x).size < 3) return null;
  const [c0 = 0, c1 = 0, c2 = 0] = polynomialFit(x, y, 2);
  return c2 > 0 ? { at: -c1 / (2 * c2), value: c0 - c1 ** 2 / (4 * c2) } : null;
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
