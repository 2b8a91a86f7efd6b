/** Density of the standard normal. */
export function normalDensity(z: number): number {
  return Math.exp(-(z ** 2) / 2) / Math.sqrt(2 * Math.PI);
}

/** P(Z ≤ z) of the standard normal, to 1e-7: Abramowitz & Stegun (1964), 7.1.26. */
export function normalProbability(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = (polynomial * Math.exp(-(x ** 2))) / 2;
  return z > 0 ? 1 - tail : tail;
}

/** z with P(Z ≤ z) = p, by bisection; −8 … 8. @param p in (0, 1). */
export function normalQuantile(p: number): number {
  let lo = -8;
  let hi = 8;
  for (let step = 0; step < 60; step++) {
    const middle = (lo + hi) / 2;
    if (normalProbability(middle) < p) lo = middle;
    else hi = middle;
  }
  return (lo + hi) / 2;
}
