import { z } from 'zod';
import { ConfigError } from '../core/errors.ts';
import { parseDurationMs } from '../core/units.ts';
import type { Percentile } from '../latency/latency.ts';

/** `p50 < 2ms` */
export const limitSchema = z.string().transform((text, context) => {
  const match = /^\s*p(50|90|99)\s*<=?\s*(\S+)\s*$/.exec(text);
  if (!match) {
    context.addIssue({ code: 'custom', message: `expected a limit such as "p50 < 2ms", got ${JSON.stringify(text)}` });
    return z.NEVER;
  }
  try {
    return { percentile: Number(match[1]) as Percentile, ms: parseDurationMs(match[2] as string) };
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});
export type Limit = z.output<typeof limitSchema>;

/** `2x` (multiple of the base's latency) or `1.5ms` (absolute). */
const sizeSchema = z.string().transform((text, context) => {
  const multiple = /^\s*([\d.]+)\s*x\s*$/.exec(text);
  if (multiple && Number(multiple[1]) > 0) return { name: text.trim(), multiple: Number(multiple[1]) };
  try {
    return { name: text.trim(), ms: parseDurationMs(text) };
  } catch {
    context.addIssue({
      code: 'custom',
      message: `expected a multiple such as 2x or a latency such as 1.5ms, got ${JSON.stringify(text)}`,
    });
    return z.NEVER;
  }
});
/** A latency to deliver a network for: a multiple of the base's, or milliseconds. */
export interface Size {
  readonly name: string;
  readonly multiple?: number | undefined;
  readonly ms?: number | undefined;
  /** Of a family spread over a range: how many share it. The size says where to look; members are chosen together. */
  readonly among?: number | undefined;
}

/** Sizes by name, or so many spread over a range. */
export const familySchema = z.union(
  [
    z.array(sizeSchema).min(1),
    z.strictObject({ members: z.int().min(2).max(50), from: sizeSchema.prefault('1x'), to: sizeSchema }),
  ],
  'expected a list of sizes such as [1x, 2x] or a range such as {members: 5, from: 1x, to: 8x}',
);

/** Sizes of a family: as named, or evenly spread in ln latency over a range, both ends included; 1x, 2x and 4x when absent. */
export function sizesOf(family: z.output<typeof familySchema> | undefined, where: string): readonly Size[] {
  if (family === undefined) return ['1x', '2x', '4x'].map((text) => sizeSchema.parse(text));
  if (Array.isArray(family)) return family;
  const { members, from, to } = family;
  const unit = from.multiple === undefined ? 'ms' : 'multiple';
  const [first, last] = [from[unit], to[unit]];
  if (first === undefined || last === undefined)
    throw new ConfigError(
      `${where}: expected multiples at both ends or latencies at both, got ${from.name} to ${to.name}`,
    );
  if (first >= last) throw new ConfigError(`${where}: expected from below to, got ${from.name} to ${to.name}`);
  return Array.from({ length: members }, (_, index) => ({
    name: `${index + 1}-of-${members}`,
    [unit]: index === members - 1 ? last : first * (last / first) ** (index / (members - 1)),
    among: members,
  }));
}

/**
 * The latency a base may have on a target: the limit bounds the *largest* member, so a base that
 * is to be scaled by 4 has a quarter of it; with absolute sizes, the smallest of them.
 */
export function baseLimitMs(sizes: readonly Size[], limit: Limit | undefined): number | undefined {
  const multiples = sizes.map((size) => size.multiple ?? 1);
  const absolute = sizes.map((size) => size.ms).filter((ms) => ms !== undefined);
  const bounds = [...absolute, ...(limit ? [limit.ms / Math.max(...multiples)] : [])];
  return bounds.length > 0 ? Math.min(...bounds) : undefined;
}
