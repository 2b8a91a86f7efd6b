/**
 * Two-sided quantile of Student's t: P(|T| ≤ t) = level.
 * By bisection of the closed form for whole degrees of freedom (Abramowitz & Stegun 26.7.3–4).
 */
export function studentT(level: number, degrees: number): number {
  let lo = 0;
  let hi = 1;
  while (coverage(hi, degrees) < level) hi *= 2;
  for (let step = 0; step < 60; step++) {
    const middle = (lo + hi) / 2;
    if (coverage(middle, degrees) < level) lo = middle;
    else hi = middle;
  }
  return hi;
}

/** P(|T| ≤ t). */
function coverage(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const cosine = Math.cos(angle);
  const odd = degrees % 2 === 1;
  let term = odd ? cosine : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = odd ? 2 : 1; k <= degrees - 3; k += 2) {
    term *= (k / (k + 1)) * cosine ** 2;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
}
