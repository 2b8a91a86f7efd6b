import { expect, it } from 'vitest';
import {
  amount,
  byteSize,
  duration,
  grouped,
  milliseconds,
  milliseconds0,
  percent,
  signed,
  significant,
} from '../../report/format.ts';

it('keeps three significant digits and never an exponent', () => {
  expect([0.4213, 1.7, 12.34, 1234.5, 0.000_012_34, 0.9996, 0, -2.5].map((value) => significant(value))).toEqual([
    '0.421',
    '1.70',
    '12.3',
    '1235',
    '0.0000123',
    '1.00',
    '0',
    '−2.50',
  ]);
});

it('signs differences, but not what rounds to zero', () => {
  expect([2.14, -0.31, 0.04, -0.04].map((value) => signed(value))).toEqual(['+2.1', '−0.3', '0.0', '0.0']);
});

it('names amounts by their thousands, carrying when rounding does', () => {
  expect([12, 999.7, 1234, 5.3e6, 999_900, 2.4e12].map((value) => amount(value))).toEqual([
    '12',
    '1.00\u00a0k',
    '1.23\u00a0k',
    '5.30\u00a0M',
    '1.00\u00a0M',
    '2.40\u00a0T',
  ]);
});

it('writes durations by their two largest units', () => {
  expect([4.24, 59.6, 151, 3599.7, 7500].map((seconds) => duration(seconds))).toEqual([
    '4.2\u00a0s',
    '1\u00a0min 00\u00a0s',
    '2\u00a0min 31\u00a0s',
    '1\u00a0h 00\u00a0min',
    '2\u00a0h 05\u00a0min',
  ]);
});

it('puts a no-break space before units', () => {
  expect([milliseconds(0.4213), milliseconds0(2), percent(0.712), byteSize(330_000), grouped(1_234_567)]).toEqual([
    '0.421\u00a0ms',
    '2\u00a0ms',
    '71.2\u00a0%',
    '322\u00a0KiB',
    '1\u202f234\u202f567',
  ]);
});
