import { InvalidFileError } from '../core/errors.ts';
import type { Split } from './dataset.ts';

/** Most classes a data set can have: labels are stored in 16 bits. */
export const mostClasses = 2 ** 16;

/** Names of classes that are known by number only: every number up to the largest label. */
export function numberedClasses(splits: readonly Split[]): string[] {
  let highest = 0;
  for (const { labels } of splits) for (const label of labels) highest = Math.max(highest, label);
  return Array.from({ length: highest + 1 }, (_, label) => String(label));
}

/**
 * A test split may miss a class; one that training misses cannot be learned.
 * @throws {InvalidFileError} when there are fewer than two classes, or one has no training example.
 */
export function requireEveryClass({ labels }: Split, classes: number, where: string): void {
  if (classes < 2) throw new InvalidFileError(`${where}: expected two or more classes, got label 0 alone`);
  const seen = new Set(labels);
  const empty = Array.from({ length: classes }, (_, label) => label).find((label) => !seen.has(label));
  if (empty !== undefined)
    throw new InvalidFileError(
      `${where}: expected examples of every class from 0 to ${classes - 1}, got none of class ${empty}`,
    );
}
