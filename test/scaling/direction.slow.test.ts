import { describe, expect, test } from 'vitest';
import { gmacsOf, searchDirection, start } from '../../bench/scaling/direction-search.ts';
import { specDigest } from '../../models/spec.ts';
import { devices, expectMoved } from './directions.ts';

describe.each([0.05, 0.8])('where leaving the start costs κ = %d', (kappa) => {
  test('multiply-adds alone do not move the scaling', () => {
    const found = searchDirection({ costOf: gmacsOf, share: 1, kappa });
    expect(found && specDigest(found.network.spec)).toBe(specDigest(start.spec));
  });

  test.each(devices)('the latency of %s moves it to more width and less resolution', (_, costOf, share) => {
    expectMoved(searchDirection({ costOf, share, kappa }));
  });
});
