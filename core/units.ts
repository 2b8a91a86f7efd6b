import { z } from 'zod';
import { ConfigError } from './errors.ts';

const durationMs: Readonly<Record<string, number>> = {
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  min: 60e3,
  m: 60e3,
  h: 3600e3,
  d: 86_400e3,
};
const sizeBytes: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

function parse(text: string, units: Readonly<Record<string, number>>, what: string, example: string): number {
  const match = /^\s*([+-]?[\d.]+(?:e[+-]?\d+)?)\s*([a-zA-Zµ]+)\s*$/.exec(text);
  const scale = match && units[match[2] as string];
  const value = match ? Number(match[1]) * (scale ?? Number.NaN) : Number.NaN;
  if (!Number.isFinite(value) || value < 0)
    throw new ConfigError(
      `expected ${what} such as ${example} (units: ${Object.keys(units).join(', ')}), got ${JSON.stringify(text)}`,
    );
  return value;
}

/** Milliseconds in a text like `1.5ms`, `150s`, `24h`. @throws {ConfigError} without a known unit. */
export function parseDurationMs(text: string): number {
  return parse(text, durationMs, 'a duration', '1.5ms, 150s or 24h');
}

/** Bytes in a text like `80GB` or `512MiB`. @throws {ConfigError} without a known unit. */
export function parseBytes(text: string): number {
  return parse(text, sizeBytes, 'a size', '80GB or 512MiB');
}

function viaParser(parser: (text: string) => number) {
  return z.string().transform((text, context) => {
    try {
      return parser(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });
}

/** Schema of a duration with its unit; the parsed value is in milliseconds. */
export const durationSchema = viaParser(parseDurationMs);
/** Schema of a size with its unit; the parsed value is in bytes. */
export const bytesSchema = viaParser(parseBytes);
/** Schema of a count of at least 1 that may be written as text (some YAML parsers read `2e4` as text). */
export const countSchema = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^[+-]?[\d.]+(?:e[+-]?\d+)?$/i, 'expected a number')
      .transform(Number),
  ])
  .pipe(z.int().positive());
