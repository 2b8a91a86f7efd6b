import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  hasLearnedSpaceToDepth,
  type NetworkSpec,
  parseNetworkSpec,
  specDigest,
  type Stage,
} from '../../models/spec.ts';
import { buildNetwork } from '../../models/build.ts';
import { growthBetween } from '../../models/growth.ts';
import { applyMultipliers, partOf, realisedKey } from '../../scaling/apply.ts';
import { identity } from '../../scaling/multipliers.ts';
import { arbitrarySpec } from '../models/arbitrary-spec.ts';
import { smallBase } from './base.ts';

const base = smallBase();
const limits = { maxResolution: 100 };

describe('applying multipliers', () => {
  test('the identity gives the same network', () => {
    const { spec, realised } = applyMultipliers(base, identity, limits);
    expect(specDigest(spec)).toBe(specDigest(base));
    expect(realised).toEqual(identity);
  });

  test('stem, stages and head widen, stages deepen, the input grows, the rest stays', () => {
    const { spec, realised } = applyMultipliers(base, { depth: 1.5, width: 2, resolution: 1.26 }, limits);
    expect(spec.stem.width).toBe(32);
    expect(spec.head.width).toBe(256);
    expect(spec.stages.map(({ width, repeats, kernel }) => [width, repeats, kernel])).toEqual([
      [32, 2, 3],
      [48, 3, 3],
      [80, 5, 3],
    ]);
    expect(spec.input.resolution).toBe(40);
    expect(realised).toEqual({ depth: 10 / 6, width: 2, resolution: 1.25 });
  });

  test('resolution stops at the native side and the realised multiplier says so', () => {
    const { spec, realised } = applyMultipliers(base, { depth: 1, width: 1, resolution: 4 }, { maxResolution: 48 });
    expect(spec.input.resolution).toBe(48);
    expect(realised.resolution).toBe(1.5);
  });

  test('a base without a head stays without one', () => {
    const headless = { ...base, head: { ...base.head, width: 0 } };
    expect(applyMultipliers(headless, { depth: 1, width: 2, resolution: 1 }, limits).spec.head.width).toBe(0);
  });

  test('with fixed ends the stem and the head keep their widths and the outer stages their depth', () => {
    const lite = { ...base, fixedEnds: true };
    const { spec } = applyMultipliers(lite, { depth: 2, width: 2, resolution: 1 }, limits);
    expect([spec.stem.width, spec.head.width]).toEqual([16, 128]);
    expect(spec.stages.map(({ width, repeats }) => [width, repeats])).toEqual([
      [32, 1],
      [48, 4],
      [80, 3],
    ]);
    expect(spec.fixedEnds).toBe(true);
  });

  test('a hidden layer widens with the head', () => {
    const { spec } = applyMultipliers(
      { ...base, head: { ...base.head, hidden: 64 } },
      { depth: 1, width: 1.5, resolution: 1 },
      limits,
    );
    expect(spec.head).toMatchObject({ width: 192, hidden: 96 });
  });

  test('a grouped stage widens by whole groups', () => {
    const stage = { operator: 'bottleneck', kernel: 3, stride: 1, width: 72, repeats: 1, groupWidth: 24 };
    const regNet = parseNetworkSpec({ ...base, stages: [{ ...stage, bottleneckRatio: 1 }] }, 'RegNet');
    const resNeXt = parseNetworkSpec({ ...base, stages: [{ ...stage, width: 96, bottleneckRatio: 0.5 }] }, 'ResNeXt');
    const widths = (network: typeof base) =>
      [0.5, 1.1, 1.2, 1.3, 2].map(
        (width) => applyMultipliers(network, { depth: 1, width, resolution: 1 }, limits).spec.stages[0]?.width,
      );
    expect(widths(regNet)).toEqual([48, 72, 96, 96, 144]);
    // At 1.2 the nearest multiple of 48 would be more than 10 % short.
    expect(widths(resNeXt)).toEqual([48, 96, 144, 144, 192]);
  });

  test('a resolution stays a multiple of the pixel blocks of the stem', () => {
    const blocks = parseNetworkSpec(
      { ...base, input: { resolution: 36 }, stem: { ...base.stem, spaceToDepth: 3 } },
      'b',
    );
    const side = (resolution: number, options: Parameters<typeof applyMultipliers>[2]) =>
      applyMultipliers(blocks, { depth: 1, width: 1, resolution }, options).spec.input.resolution;
    expect(side(1.1, limits)).toBe(39);
    expect(side(1.1, { ...limits, resolutionMultiple: 4 })).toBe(36);
    expect(side(4, limits)).toBe(99);
  });

  test('any valid base scales to a valid network, whatever its blocks', () => {
    const factor = fc.double({ min: 0.5, max: 3, noNaN: true });
    fc.assert(
      fc.property(arbitrarySpec, factor, factor, factor, (input, depth, width, growth) => {
        const resolution = Math.max(1, growth); // A spec has at least 4 pixels.
        const any = parseNetworkSpec(input, 'arbitrary');
        const { spec } = applyMultipliers(any, { depth, width, resolution }, limits);
        expect(spec.stages.map(({ operator }) => operator)).toEqual(any.stages.map(({ operator }) => operator));
        expect(spec.input.resolution).toBeLessThanOrEqual(100);
      }),
    );
  });

  test('equal realised multipliers mean equal networks, and the other way round', () => {
    const factor = fc.double({ min: 0.75, max: 2, noNaN: true });
    const triple = fc.record({ depth: factor, width: factor, resolution: factor });
    fc.assert(
      fc.property(triple, triple, (first, second) => {
        const [a, b] = [first, { ...second, depth: first.depth }].map((m) => applyMultipliers(base, m, limits));
        if (!a || !b) return;
        const sameNetwork = specDigest(a.spec) === specDigest(b.spec);
        expect(realisedKey(a.realised) === realisedKey(b.realised)).toBe(sameNetwork);
      }),
    );
  });
});

const share = fc.double({ min: 0.05, max: 1, noNaN: true });

describe('a part of a network', () => {
  test('is what scaling makes of its shares', () => {
    const part = partOf(base, { depth: 0.5, width: 0.5 });
    expect(part).toEqual(applyMultipliers(base, { depth: 0.5, width: 0.5, resolution: 1 }, limits).spec);
    expect(part.stages.map(({ width, repeats }) => [width, repeats])).toEqual([
      [8, 1],
      [16, 1],
      [24, 2],
    ]);
    expect(partOf(base, { depth: 1, width: 1 })).toBe(base);
  });

  test('has no residual connection that the whole has not', () => {
    const [first, second, third] = base.stages as [Stage, Stage, Stage];
    // At half the width 24 and 32 are 16 both.
    const stages = [first, { ...second, width: 24 }, { ...third, stride: 1, width: 32 }];
    const part = partOf({ ...base, stages }, { depth: 1, width: 0.5 });
    expect(part.stages.map(({ width }) => width)).toEqual([8, 16, 24]);
  });

  test('grows into every larger part, of any network without a learned space-to-depth', () => {
    fc.assert(
      fc.property(arbitrarySpec, fc.tuple(share, share), (input, shares) => {
        const spec = parseNetworkSpec(input, 'arbitrary');
        // The block that ends a region has a quarter of the channels that come in, and may by chance have as many.
        fc.pre(!spec.stages.some(hasLearnedSpaceToDepth));
        const [small, large] = shares.toSorted((a, b) => a - b).map((width) => partOf(spec, { depth: 1, width }));
        growthBetween(buildNetwork(small as NetworkSpec, 1), buildNetwork(large as NetworkSpec, 1));
        growthBetween(buildNetwork(large as NetworkSpec, 1), buildNetwork(spec, 1));
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});
