import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import { ConfigError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import {
  bindSpace,
  checkSpace,
  crossover,
  decisions,
  decode,
  decodeVector,
  describe as describeSpace,
  encode,
  mutate,
  neighbours,
  oneOf,
  resolve,
  sampleChoices,
  type SpaceNode,
  spaceSize,
  walk,
} from '../../search/space.ts';

const nested: SpaceNode = {
  op: oneOf(['skip', { kernel: oneOf([3, 5, 7], 'kernel') }, { kernel: 3, ratio: oneOf([0.5, 1], 'ratio') }], 'op'),
  width: oneOf([8, 16], 'width'),
};
const tied: SpaceNode = [oneOf(['relu', 'silu'], 'act'), oneOf(['relu', 'silu'], 'act'), nested];

/** Random spaces, three levels deep, tags unique by their place. */
const anySpace = fc
  .letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 3 },
      fc.integer({ min: 0, max: 3 }),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.array(tie('node'), { minLength: 1, maxLength: 3 }).map((options) => ({ oneOf: options, tag: '' })),
    ),
  }))
  .node.map((node) => {
    let next = 0;
    const withTags = (value: unknown): SpaceNode => {
      if (Array.isArray(value)) return value.map(withTags);
      if (typeof value !== 'object' || value === null) return value as number;
      const options = (value as { oneOf: unknown[] }).oneOf;
      return oneOf(
        options.map((option, index) => [index, withTags(option)]),
        `t${next++}`,
      );
    };
    return withTags(node);
  });

/** Every canonical choice by exhaustion, the slow reference for size. */
function everyChoice(space: SpaceNode): ReadonlySet<string> {
  const found = new Map<string, ReturnType<typeof sampleChoices>>();
  const frontier = [sampleChoices(space, new Random(0))];
  for (let choices = frontier.pop(); choices !== undefined; choices = frontier.pop()) {
    const key = canonicalJson(choices);
    if (found.has(key) || found.size > 3000) continue;
    found.set(key, choices);
    frontier.push(...neighbours(space, choices));
  }
  return new Set(found.keys());
}

describe('walking', () => {
  test('outer decisions come before inner ones, with their places in the document', () => {
    const visited: string[] = [];
    const data = walk(nested, ({ tag }, path) => {
      visited.push(`${tag} at ${path}`);
      return tag === 'op' ? 1 : 0;
    });
    expect(visited).toEqual(['op at op', 'kernel at op.oneOf[1].kernel', 'width at width']);
    expect(data).toEqual({ op: { kernel: 3 }, width: 8 });
  });

  test('the table of decisions says which are reachable when', () => {
    expect(decisions(nested)).toEqual([
      { tag: 'op', path: 'op', values: [0, 1, 2], isOrdered: false, when: {} },
      { tag: 'kernel', path: 'op.oneOf[1].kernel', values: [3, 5, 7], isOrdered: true, when: { op: 1 } },
      { tag: 'ratio', path: 'op.oneOf[2].ratio', values: [0.5, 1], isOrdered: true, when: { op: 2 } },
      { tag: 'width', path: 'width', values: [8, 16], isOrdered: true, when: {} },
    ]);
    expect(describeSpace(nested)).toContain('kernel  3 | 5 | 7   (when op is option 1)');
  });
});

describe('choices', () => {
  test('they name scalars by value and structured options by number, and only reachable tags', () => {
    expect(resolve(nested, { op: 1, kernel: 5, width: 16 })).toEqual({ op: { kernel: 5 }, width: 16 });
    expect(resolve(nested, { op: 0, width: 16 })).toEqual({ op: 'skip', width: 16 });
  });

  test('those of another space are refused with the tag at fault', () => {
    expect(() => resolve(nested, { op: 1, kernel: 4, width: 8 })).toThrow('kernel: expected one of 3, 5, 7, got 4');
    expect(() => resolve(nested, { op: 1, width: 8 })).toThrow('kernel: expected one of 3, 5, 7, got nothing');
    expect(() => resolve(nested, { op: 0, kernel: 3, width: 8 })).toThrow('got also kernel');
    expect(() => resolve(nested, { op: 0, width: 8, depth: 2 })).toThrow(ConfigError);
  });

  test('a tied tag is one decision in all its places', () => {
    for (let seed = 0; seed < 20; seed++) {
      const [first, second] = resolve(tied, sampleChoices(tied, new Random(seed))) as readonly SpaceNode[];
      expect(first).toBe(second);
    }
    expect(spaceSize(tied)).toBe(2n * (1n + 3n + 2n) * 2n);
  });

  test('sampling takes each option of a decision about equally often', () => {
    const counts = new Map<unknown, number>();
    for (let seed = 0; seed < 3000; seed++) {
      const { op } = sampleChoices(nested, new Random(seed));
      counts.set(op, (counts.get(op) ?? 0) + 1);
    }
    // Standard deviation √(3000 · ⅓ · ⅔) = 25.8: five of them.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(130);
  });

  test('a new decision elsewhere does not move what a seed draws for the others', () => {
    const wider = { extra: oneOf([1, 2, 3], 'extra'), ...(nested as object) } as SpaceNode;
    const { extra: _, ...rest } = sampleChoices(wider, new Random(3));
    expect(rest).toEqual(sampleChoices(nested, new Random(3)));
  });

  test('encode and its inverse agree, unreachable decisions are −1', () => {
    expect(encode(nested, { op: 1, kernel: 7, width: 8 })).toEqual([1, 2, -1, 0]);
    fc.assert(
      fc.property(anySpace, fc.integer(), (space, seed) => {
        const choices = sampleChoices(space, new Random(seed));
        expect(decodeVector(space, encode(space, choices))).toEqual(choices);
      }),
      { numRuns: 100 },
    );
  });

  test('the size is the number of distinct choices', () => {
    fc.assert(
      fc.property(anySpace, (space) => {
        fc.pre(spaceSize(space) <= 2000n);
        expect(BigInt(everyChoice(space).size)).toBe(spaceSize(space));
      }),
      { numRuns: 60 },
    );
  });
});

describe('variation', () => {
  test('mutation changes one decision and keeps every other that is still reachable', () => {
    fc.assert(
      fc.property(anySpace, fc.integer(), (space, seed) => {
        const parent = sampleChoices(space, new Random(seed));
        const child = mutate(space, parent, new Random(seed).child('mutate'));
        expect(() => resolve(space, child)).not.toThrow();
        const kept = Object.keys(child).filter((tag) => tag in parent);
        expect(kept.filter((tag) => child[tag] !== parent[tag])).toHaveLength(spaceSize(space) > 1n ? 1 : 0);
      }),
      { numRuns: 100 },
    );
  });

  test('neighbours are valid, distinct and none the start', () => {
    const start = { op: 1, kernel: 5, width: 16 };
    const keys = neighbours(nested, start).map((choices) => {
      expect(() => resolve(nested, choices)).not.toThrow();
      return canonicalJson(choices);
    });
    expect(new Set(keys).size).toBe(2 + 2 + 1);
    expect(keys).not.toContain(canonicalJson(start));
  });

  test('crossover takes each decision from a parent that made it', () => {
    fc.assert(
      fc.property(anySpace, fc.integer(), (space, seed) => {
        const [a, b] = [0, 1].map((parent) => sampleChoices(space, new Random(seed).child(parent)));
        if (!a || !b) return;
        const child = crossover(space, a, b, new Random(seed));
        expect(() => resolve(space, child)).not.toThrow();
        for (const [tag, value] of Object.entries(child))
          if (tag in a || tag in b) expect([a[tag], b[tag]]).toContain(value);
      }),
      { numRuns: 100 },
    );
  });
});

describe('network spaces', () => {
  const network: SpaceNode = {
    input: { resolution: oneOf([16, 32, 64], 'resolution') },
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'mbconv', kernel: oneOf([3, 5], 'k'), stride: 1, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 16 },
  };
  const data = { channels: 1, classes: 5, nativeResolution: 40 };

  test('the data fills in channels and classes and takes away resolutions above its own', () => {
    const bound = bindSpace(network, data, 'test');
    expect(decode(bound, { resolution: 32, k: 5 })).toMatchObject({
      input: { channels: 1, resolution: 32 },
      classes: 5,
      stages: [{ kernel: 5, squeezeExcite: 0, activation: 'relu' }],
    });
    expect(() => decode(bound, { resolution: 64, k: 5 })).toThrow('resolution: expected one of 16, 32, got 64');
  });

  test('a resolution whose oneOf is no list is refused by its place', () => {
    const bad = { ...network, input: { resolution: { oneOf: 24, tag: 'r' } } };
    expect(() => bindSpace(bad, data, 'space.yaml')).toThrow(
      'space.yaml: input.resolution: not a oneOf\n✖ Invalid input: expected array, received number',
    );
  });

  test('a space with only larger resolutions is refused with both numbers', () => {
    expect(() => bindSpace(network, { ...data, nativeResolution: 12 }, 'space.yaml')).toThrow(
      "space.yaml: input.resolution: expected one of at most 12 px, the data's own, got only 16, 32, 64",
    );
  });

  test('a space for another number of classes is refused', () => {
    const fixed = { ...(network as object), classes: 7 } as SpaceNode;
    expect(() => bindSpace(fixed, data, 'space.yaml')).toThrow('classes: expected 5, as in the data, got 7');
  });

  test('options that make no network are found without being drawn', () => {
    const bad = { ...(network as object), head: { width: oneOf([16, -1], 'head') } } as SpaceNode;
    expect(() => checkSpace(bindSpace(bad, data, 'space.yaml'), 'space.yaml')).toThrow(/head\.width\.oneOf\[1\]/);
  });

  test('one tag with two different lists of options is refused', () => {
    const clash = { ...(network as object), head: { width: oneOf([16, 24], 'k') } } as SpaceNode;
    expect(() => checkSpace(bindSpace(clash, data, 'x'), 'x')).toThrow('tag k is also at stages[0].kernel');
  });
});
