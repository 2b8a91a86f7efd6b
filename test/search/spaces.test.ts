import { describe, expect, test } from 'vitest';
import { Random } from '../../core/random.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { checkSpace, decode, sampleChoices, spaceSize } from '../../search/space.ts';
import { builtInSpace, builtInSpaceNames, type SpaceScale } from '../../search/spaces.ts';

function finalSide(spec: NetworkSpec): number {
  const strides = [spec.stem.stride, ...spec.stages.map(({ stride }) => stride)];
  return strides.reduce((side, stride) => Math.ceil(side / stride), spec.input.resolution);
}

const cases: readonly (readonly [number, SpaceScale])[] = [
  [16, 'tiny'],
  [28, 'tiny'],
  [64, 'tiny'],
  [32, 'small'],
  [100, 'small'],
  [96, 'full'],
  [320, 'full'],
];

describe.each(builtInSpaceNames)('the built-in space %s', (name) => {
  test.each(cases)('for %i px at scale %s gives valid networks that leave room to scale', (nativeResolution, scale) => {
    const space = builtInSpace(name, { channels: 3, classes: 10, nativeResolution, scale });
    expect(() => checkSpace(space, name)).not.toThrow();
    expect(spaceSize(space)).toBeGreaterThan(10_000n);
    for (let seed = 0; seed < 40; seed++) {
      const spec = decode(space, sampleChoices(space, new Random(seed)));
      expect(spec.input.resolution).toBeLessThanOrEqual(0.75 * nativeResolution);
      expect(finalSide(spec)).toBeGreaterThanOrEqual(3);
      for (const { width } of [spec.stem, ...spec.stages, spec.head]) expect(width % 8).toBe(0);
    }
  });
});

function draws(name: string): readonly NetworkSpec[] {
  const space = builtInSpace(name, { channels: 3, classes: 10, nativeResolution: 64 });
  return Array.from({ length: 30 }, (_, seed) => decode(space, sampleChoices(space, new Random(seed))));
}

test('EfficientNet-X offers fused blocks, block-wise activations and space-to-depth; mobile does not fuse', () => {
  const specs = draws('efficientnet-x');
  expect(new Set(specs.flatMap(({ stages }) => stages.map(({ operator }) => operator))).size).toBe(2);
  expect(specs.some(({ stages }) => new Set(stages.map(({ activation }) => activation)).size === 2)).toBe(true);
  expect(specs.some(({ stem }) => stem.kernel === 2 && stem.stride === 2)).toBe(true);
  expect(new Set(draws('mobile').flatMap(({ stages }) => stages.map(({ operator }) => operator)))).toEqual(
    new Set(['mbconv']),
  );
});

test('unknown names and images too small to classify are refused', () => {
  const data = { channels: 3, classes: 10, nativeResolution: 64 };
  expect(() => builtInSpace('resnet', data)).toThrow('expected one of efficientnet-x, mobile or a YAML file');
  expect(() => builtInSpace('mobile', { ...data, nativeResolution: 4 })).toThrow('at least 8 px');
});
