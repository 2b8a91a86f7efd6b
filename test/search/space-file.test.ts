import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { decode, decisions } from '../../search/space.ts';
import { loadSpace, parseSpace } from '../../search/space-file.ts';

const data = { channels: 3, classes: 4, nativeResolution: 48 };
const good = `
name: mine
input: {resolution: {oneOf: [24, 32], tag: resolution}}
stem: {kernel: 3, stride: 2, width: 8}
stages:
  - &stage {operator: mbconv, kernel: {oneOf: [3, 5]}, stride: 1, expansion: 2, width: 8, repeats: 1}
  - {<<: *stage, stride: 2, activation: {oneOf: [relu, silu], tag: act}}
head: {width: 16, activation: {oneOf: [relu, silu], tag: act}}
`;
const edited = (from: string, to: string): (() => unknown) => {
  expect(good).toContain(from);
  return () => parseSpace(good.replace(from, to), 'my.yaml', data);
};

describe('a space in YAML', () => {
  test('decisions without a tag are named for their place, decisions with one tag are one', () => {
    const space = parseSpace(good, 'my.yaml', data);
    expect(decisions(space).map(({ tag }) => tag)).toEqual([
      'resolution',
      'stages[0].kernel',
      'stages[1].kernel',
      'act',
    ]);
    const spec = decode(space, { resolution: 24, 'stages[0].kernel': 3, 'stages[1].kernel': 5, act: 'silu' });
    expect(spec.stages.map(({ kernel }) => kernel)).toEqual([3, 5]);
    expect([spec.stages[1]?.activation, spec.head.activation]).toEqual(['silu', 'silu']);
  });

  test.each([
    ['an option of the wrong type', '[3, 5]', '[3, five]', /my\.yaml.*stages\[0\]\.kernel\.oneOf\[1\]/s],
    ['an unknown key', 'width: 16', 'width: 16, depth: 2', /head.*depth/s],
    ['a second key beside oneOf', 'tag: resolution', 'tag: resolution, weights: [1, 2]', /input\.resolution.*weights/s],
    ['no options', 'oneOf: [24, 32]', 'oneOf: []', /input\.resolution/],
    ['options that are not a list', '{oneOf: [3, 5]}', '{oneOf: 3}', /stages\[0\]\.kernel.*expected array/s],
    ['an option twice', '[3, 5]', '[3, 3]', /stages\[0\]\.kernel.*3 twice/],
    ['broken YAML', 'name: mine', 'name: [mine', /expected YAML/],
    ['an unknown alias', '*stage', '*other', /expected YAML/],
    ['something that is not a mapping', good, '- 1', /expected a mapping/],
  ])('%s is refused with the place', (_, from, to, message) => {
    expect(edited(from, to)).toThrow(ConfigError);
    expect(edited(from, to)).toThrow(message);
  });

  test('a missing file is bad input that names the file', async () => {
    await expect(loadSpace('/nowhere/space.yaml', data)).rejects.toThrow('/nowhere/space.yaml');
  });
});
