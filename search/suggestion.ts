import { canonicalJson } from '../core/digest.ts';
import type { Choices } from '../core/trial.ts';

/** Draws before a repeat is let through: small spaces run out of new points. */
const maxRedraws = 64;

/** Identity of choices, whatever the order of their tags. */
export function choicesKey(choices: Choices): string {
  return canonicalJson(choices);
}

/** The first of at most 64 draws that was not seen before, or the last draw when all were. */
export function drawNew(seen: ReadonlySet<string>, draw: (attempt: number) => Choices): Choices {
  let choices = draw(0);
  for (let attempt = 1; attempt < maxRedraws && seen.has(choicesKey(choices)); attempt++) choices = draw(attempt);
  return choices;
}
