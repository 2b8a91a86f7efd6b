import * as fc from 'fast-check';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, test } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { readSpecFile } from '../../models/spec-file.ts';
import { parseNetworkSpec, specDigest } from '../../models/spec.ts';
import { arbitrarySpec } from './arbitrary-spec.ts';
import { everyBlock } from './fixture.ts';

const mbconv = { operator: 'mbconv', kernel: 3, stride: 1, expansion: 2, width: 8, repeats: 1 };
const fused = { ...mbconv, operator: 'fused-mbconv' };
const basic = { operator: 'basic', kernel: 3, stride: 1, width: 8, repeats: 1 };
const bottleneck = { ...basic, operator: 'bottleneck', width: 24 };
const network = {
  input: { resolution: 32 },
  classes: 10,
  stem: { kernel: 3, stride: 2, width: 8 },
  stages: [mbconv],
  head: { width: 16 },
};

function withStages(...stages: readonly object[]) {
  return { ...network, stages };
}

describe('the digest of a spec', () => {
  it('is what it was in version 0.1', () => {
    const example = readSpecFile(fileURLToPath(new URL('../../examples/network.yaml', import.meta.url)));
    expect(specDigest(example)).toBe('sha256:e63af73012b1d9c7028ea6db4a36285793321f2c7ee9df2574ba383629ade8f9');
    expect(specDigest(everyBlock)).toBe('sha256:e6dce54fd07b630e26d99b8935e4479db45874f3ed0771c58a720f0680fda962');
  });

  it('is the same whether a key that was added later is left out or says that there is none', () => {
    const explicit = {
      ...withStages(
        { ...mbconv, dilation: 1, learnedSpaceToDepth: false },
        { ...fused, dilation: 1, learnedSpaceToDepth: false, strideAt: 'fused' },
      ),
      stem: { ...network.stem, spaceToDepth: 1 },
      head: { ...network.head, pooling: 'average', hidden: 0 },
      fixedEnds: false,
    };
    expect(specDigest(parseNetworkSpec(explicit, 'explicit'))).toBe(
      specDigest(parseNetworkSpec(withStages(mbconv, fused), 'implicit')),
    );
  });

  it('does not change when a spec is written and read again', () => {
    fc.assert(
      fc.property(arbitrarySpec, (input) => {
        const spec = parseNetworkSpec(input, 'spec');
        const again = parseNetworkSpec(JSON.parse(JSON.stringify(spec)), 'again');
        expect(again).toEqual(spec);
        expect(specDigest(again)).toBe(specDigest(spec));
      }),
    );
  });
});

describe('a spec is refused, with the place and what was expected,', () => {
  test.each([
    [
      'for an operator there is not',
      [{ ...mbconv, operator: 'conv' }],
      /expected one of mbconv, fused-mbconv, basic, bottleneck, got "conv"\s+→ at stages\[0\]/,
    ],
    ['for a stage without an operator', [{ width: 8 }], /expected one of mbconv, .*, got undefined\s+→ at stages\[0\]/],
    ['for a stage that is no mapping', [3], /stages\[0\]/],
    ['for a kernel of 0', [{ ...basic, kernel: 0 }], />=1\s+→ at stages\[0\]\.kernel/],
    [
      "for another operator's keys",
      [mbconv, { ...basic, expansion: 2, skip: true }],
      /expected keys of a stage of basic, got expansion, skip\s+→ at stages\[1\]/,
    ],
    ['for a misspelt key', [{ ...mbconv, dilatation: 2 }], /expected keys of a stage of mbconv, got dilatation/],
    [
      'for groups that do not divide',
      [{ ...bottleneck, bottleneckRatio: 0.5, groupWidth: 8 }],
      /expected a divisor of the 12 channels it groups, got 8\s+→ at stages\[0\]\.groupWidth/,
    ],
    [
      'for a stride and a dilation',
      [{ ...mbconv, stride: 2, dilation: 2 }],
      /expected stride 1 with a dilation above 1.*\s+→ at stages\[0\]\.dilation/,
    ],
    [
      'for a strided projection there is not',
      [{ ...fused, expansion: 1, strideAt: 'project' }],
      /expected an expansion above 1.*\s+→ at stages\[0\]\.strideAt/,
    ],
    [
      'for a squeeze-excite of another form',
      [{ ...mbconv, squeezeExcite: 'yes' }],
      /expected a ratio from 0 to 1, or a mapping of ratio.*\s+→ at stages\[0\]\.squeezeExcite/,
    ],
    [
      'for a space-to-depth that nothing ends',
      [{ ...mbconv, learnedSpaceToDepth: true }, mbconv],
      /a later stage of stride 2 that ends it\s+→ at stages\[0\]\.learnedSpaceToDepth/,
    ],
    [
      'for a space-to-depth that stride 3 ends',
      [
        { ...mbconv, learnedSpaceToDepth: true },
        { ...mbconv, stride: 3 },
      ],
      /a later stage of stride 2 that ends it/,
    ],
    [
      'for a space-to-depth on a stride',
      [
        { ...mbconv, stride: 2, learnedSpaceToDepth: true },
        { ...mbconv, stride: 2 },
      ],
      /expected stride 1 here/,
    ],
    [
      'for a space-to-depth around a ResNet block',
      [
        { ...mbconv, learnedSpaceToDepth: true },
        { ...basic, stride: 2 },
      ],
      /only mbconv and fused-mbconv/,
    ],
    [
      'for a space-to-depth inside another',
      [
        { ...mbconv, learnedSpaceToDepth: true },
        { ...fused, learnedSpaceToDepth: true },
        { ...mbconv, stride: 2 },
      ],
      /expected one before the stage of stride 2 that ends it, got two/,
    ],
  ] as const)('%s', (_, stages, message) => {
    const parse = () => parseNetworkSpec(withStages(...(stages as readonly object[])), 'mine.yaml');
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(message);
    expect(parse).toThrow(/^mine\.yaml: not a network spec/);
  });

  it('for pixel blocks that do not divide the resolution', () => {
    const stem = { ...network.stem, spaceToDepth: 3 };
    expect(() => parseNetworkSpec({ ...network, stem }, 'mine.yaml')).toThrow(
      /expected a divisor of the resolution 32, got 3\s+→ at stem\.spaceToDepth/,
    );
  });

  it('for any key it does not know, wherever that is', () => {
    fc.assert(
      fc.property(arbitrarySpec, fc.nat(), (input, place) => {
        const spoilt = structuredClone(input) as unknown as Record<string, unknown>;
        const mappings = mappingsOf(spoilt);
        const target = mappings[place % mappings.length] as Record<string, unknown>;
        target['unheard-of'] = 1;
        expect(() => parseNetworkSpec(spoilt, 'spoilt')).toThrow(ConfigError);
      }),
    );
  });
});

/** A value and every mapping in it. */
function mappingsOf(value: unknown): readonly object[] {
  if (typeof value !== 'object' || value === null) return [];
  const inner = Object.values(value).flatMap(mappingsOf);
  return Array.isArray(value) ? inner : [value, ...inner];
}
