import { expect, it } from 'vitest';
import { KeySet } from '../../core/key-set.ts';

it('a set of keys holds what was added and nothing else, through many growths', () => {
  const set = new KeySet();
  for (let index = 0; index < 20_000; index++) set.add(`network ${index}`);
  for (let index = 0; index < 20_000; index += 7) set.add(`network ${index}`);
  expect(set.size).toBe(20_000);
  const found = Array.from({ length: 40_000 }, (_, index) => set.has(`network ${index}`));
  expect(found).toEqual(Array.from({ length: 40_000 }, (_, index) => index < 20_000));
});
