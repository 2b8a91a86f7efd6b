import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, digestBytes, digestJson, shortDigest } from '../../core/digest.ts';

describe('digest', () => {
  it('does not depend on the order of keys, but on that of items', () => {
    expect(digestJson({ b: [1, 2], a: { d: null, c: true } })).toBe(digestJson({ a: { c: true, d: null }, b: [1, 2] }));
    expect(digestJson([1, 2])).not.toBe(digestJson([2, 1]));
    expect(digestJson({ a: undefined, b: 1 })).toBe(digestJson({ b: 1 }));
  });

  it('is SHA-256 of the text', () => {
    // NIST FIPS 180-2, appendix B.1.
    expect(digestBytes('abc')).toBe('sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(digestJson({ b: 1, a: 'x' })).toBe(digestBytes('{"a":"x","b":1}'));
    expect(shortDigest(digestBytes('abc'))).toBe('ba7816bf8f01');
  });

  it('survives a journey through JSON text', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
        expect(digestJson(JSON.parse(JSON.stringify(value)))).toBe(digestJson(value));
      }),
    );
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, undefined, () => 1, Symbol('x'), 1n, [undefined]])(
    'refuses %s, which JSON cannot carry',
    (value) => {
      expect(() => canonicalJson(value)).toThrow(TypeError);
    },
  );
});
