import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { bytesSchema, countSchema, durationSchema, parseDurationMs } from '../../core/units.ts';

describe('durations', () => {
  it.each([
    ['1.5ms', 1.5],
    ['200us', 0.2],
    ['200µs', 0.2],
    ['150s', 150_000],
    ['2 min', 120_000],
    ['24h', 86_400_000],
    ['1e3s', 1e6],
    [' 7d ', 7 * 86_400_000],
    ['0s', 0],
  ])('reads %s', (text, ms) => {
    expect(parseDurationMs(text)).toBeCloseTo(ms, 9);
  });

  it.each(['5', '', 'ms', '1.2.3s', '-1s', '3 fortnights', '1 s s', 'Infinitys', 'constructor', '1constructor'])(
    'refuses %j, naming it and the units',
    (text) => {
      expect(() => parseDurationMs(text)).toThrow(ConfigError);
      expect(() => parseDurationMs(text)).toThrow(`(units: us, µs, ms, s, min, m, h, d), got ${JSON.stringify(text)}`);
    },
  );

  it('reports through a schema', () => {
    expect(durationSchema.parse('1h')).toBe(3_600_000);
    expect(durationSchema.safeParse('1 parsec').error?.issues[0]?.message).toContain('expected a duration such as');
    expect(durationSchema.safeParse(5).success).toBe(false);
  });
});

describe('sizes and counts', () => {
  it('tells decimal from binary units', () => {
    expect(['1kB', '1KiB', '80GB', '512MiB', '17B'].map((text) => bytesSchema.parse(text))).toEqual([
      1000,
      1024,
      80e9,
      512 * 2 ** 20,
      17,
    ]);
    expect(bytesSchema.safeParse('80G').error?.issues[0]?.message).toContain('got "80G"');
  });

  it('reads counts that a YAML parser took for text', () => {
    expect([20_000, '2e4', '+20000'].map((value) => countSchema.parse(value))).toEqual([20_000, 20_000, 20_000]);
    for (const wrong of [0, -1, 1.5, '0', '1.5', 'many', '', null])
      expect(countSchema.safeParse(wrong).success).toBe(false);
  });
});
