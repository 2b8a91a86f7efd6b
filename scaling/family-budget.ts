/** A part of a family whose networks are trained on the same number of examples. */
export interface FamilyPart {
  /** What one example costs, in the budget's unit; above zero. */
  readonly cost: number;
  /** What a further example takes off the loss that counts for this part: −dL/dD > 0, falling in D. */
  readonly gain: (examples: number) => number;
}

/** What a family may cost, and the examples that any part of it may see. */
export interface FamilyBudget {
  /** In the unit of the parts' costs. */
  readonly total: number;
  readonly least: number;
  readonly most: number;
}

/** Halvings of an interval: more than doubles can tell apart. */
const halvings = 100;

/**
 * The examples of each part for which Σ loss is least under Σ cost·examples ≤ total and least ≤ examples ≤ most. The losses are convex and
 * separate, so at the optimum a unit of budget gains the same everywhere, gain(D) = λ·cost, but for parts at a bound
 * (Karush–Kuhn–Tucker; water-filling). λ and each D are found by bisection in their logarithms. For L = B ÷ D^β, D ∝ cost^(−1/(1+β)).
 * @returns whole examples in the order of the parts. All have the least where even that is beyond the total.
 */
export function allocateExamples(parts: readonly FamilyPart[], budget: FamilyBudget): readonly number[] {
  const { total, least, most } = budget;
  const spent = (price: number): number =>
    parts.reduce((sum, part) => sum + part.cost * examplesAt(part, price, budget), 0);
  // At the lowest price all have the most, at the highest the least.
  const prices = parts
    .flatMap(({ cost, gain }) => [gain(least) / cost, gain(most) / cost])
    .filter((price) => price > 0);
  const [lowest, highest] = [Math.min(...prices), Math.max(...prices)];
  const price = spent(lowest) <= total ? lowest : bisect(lowest, highest, (middle) => spent(middle) > total);
  return parts.map((part) => Math.floor(examplesAt(part, price, budget)));
}

/** Examples of a part at which a unit of budget gains `price`. */
function examplesAt({ cost, gain }: FamilyPart, price: number, { least, most }: FamilyBudget): number {
  if (gain(least) <= price * cost) return least;
  if (gain(most) >= price * cost) return most;
  return bisect(least, most, (examples) => gain(examples) > price * cost);
}

/** Where a condition that holds at `low` and not at `high` ends; both above zero. */
function bisect(low: number, high: number, holds: (value: number) => boolean): number {
  let [below, above] = [Math.log(low), Math.log(high)];
  for (let k = 0; k < halvings && above - below > 1e-12; k++) {
    const middle = (below + above) / 2;
    if (holds(Math.exp(middle))) below = middle;
    else above = middle;
  }
  return Math.exp(above);
}

/** The same number of examples for every part: as many as the budget allows, within the bounds. @param costs of one example. */
export function evenExamples(costs: readonly number[], { total, least, most }: FamilyBudget): number {
  const cost = costs.reduce((sum, value) => sum + value, 0);
  return Math.round(Math.min(Math.max(total / cost, least), most));
}

/** How far a division leans from the least sum of losses, 0, to the same examples for all, 1. */
const leans = Array.from({ length: 10 }, (_, tenths) => tenths / 10);

/**
 * Of the divisions that minimise Σ cost^lean · loss, the one of least lean, in tenths, that is acceptable; the same examples for all where none
 * is. Where losses differ by a constant alone, as in an additive law without bounds, a lean of 1 *is* the same for all.
 */
export function leanToEven(
  parts: readonly FamilyPart[],
  budget: FamilyBudget,
  isAcceptable: (examples: readonly number[]) => boolean,
): { readonly examples: readonly number[]; readonly lean: number } {
  for (const lean of leans) {
    const weighed = parts.map(({ cost, gain }) => ({ cost, gain: (amount: number) => cost ** lean * gain(amount) }));
    const examples = allocateExamples(weighed, budget);
    if (isAcceptable(examples)) return { examples, lean };
  }
  const even = evenExamples(
    parts.map(({ cost }) => cost),
    budget,
  );
  return { examples: parts.map(() => even), lean: 1 };
}
