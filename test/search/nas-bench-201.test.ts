import { describe, expect, test } from 'vitest';
import { cellIdentity, cellText, nasBench201, nasBench201Operators } from '../../search/nas-bench-201.ts';
import { decodeVector, spaceSize } from '../../search/space.ts';

const cell = (vector: readonly number[]) => decodeVector(nasBench201, vector);
const index = (operator: (typeof nasBench201Operators)[number]) => nasBench201Operators.indexOf(operator);
const [none, skip, one, three] = [index('none'), index('skip_connect'), index('nor_conv_1x1'), index('nor_conv_3x3')];

describe('NAS-Bench-201', () => {
  test('writes cells as the benchmark does', () => {
    expect(cellText(cell([three, skip, one, none, three, skip]))).toBe(
      '|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|skip_connect~2|',
    );
  });

  test('has 15,625 cells that make 6,466 networks, as published', () => {
    expect(spaceSize(nasBench201)).toBe(15_625n);
    const identities = new Set<string>();
    for (let code = 0; code < 15_625; code++)
      identities.add(cellIdentity(cell([1, 5, 25, 125, 625, 3125].map((place) => Math.floor(code / place) % 5))));
    expect(identities.size).toBe(6466);
  });

  test('cells of one network have one name: whatever goes by a skip, and sums in any order', () => {
    const plain = cellIdentity(cell([skip, one, three, none, none, skip]));
    expect(cellIdentity(cell([skip, three, one, none, none, skip]))).toBe(plain);
    expect(cellIdentity(cell([skip, one, one, none, none, skip]))).not.toBe(plain);
  });
});
