import { ConfigError } from '../core/errors.ts';

/** A flag's whole number of at least `min`. @throws {ConfigError} naming the flag. */
export function numberArgument(flag: string, text: string, min = 0): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || text.trim() === '')
    throw new ConfigError(`${flag}: expected a whole number of at least ${min}, got ${JSON.stringify(text)}`);
  return value;
}

/** A flag's positive number. @throws {ConfigError} naming the flag. */
export function positiveArgument(flag: string, text: string): number {
  const value = Number(text);
  if (!(Number.isFinite(value) && value > 0))
    throw new ConfigError(`${flag}: expected a positive number, got ${JSON.stringify(text)}`);
  return value;
}
