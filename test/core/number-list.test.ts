import { expect, it } from 'vitest';
import { NumberList } from '../../core/number-list.ts';

it('a list of numbers keeps what was pushed, exactly, and has nothing beyond', () => {
  const list = new NumberList();
  const values = Array.from({ length: 1000 }, (_, index) => 2 ** 40 + index / 4);
  for (const value of values) list.push(value);
  expect(list.length).toBe(1000);
  expect(values.map((_, index) => list.at(index))).toEqual(values);
  expect([list.at(1000), list.at(-1)]).toEqual([undefined, undefined]);
});
