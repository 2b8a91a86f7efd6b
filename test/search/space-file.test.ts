import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { decode, decisions, spaceSize } from '../../search/space.ts';
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
const withStages = (stages: string) => parseSpace(good.replace(/  - &stage.*\n  -.*\n/, stages), 'my.yaml', data);
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

  describe('over kinds of blocks', () => {
    test('a whole stage may be an option, with the keys of its operator', () => {
      const stages = `  - oneOf:
      - {operator: mbconv, kernel: 3, stride: 1, expansion: 2, width: 8, repeats: 1, squeezeExcite: {oneOf: [0, 0.25]}}
      - {operator: basic, kernel: 3, stride: 1, width: 8, repeats: 1}
      - {operator: bottleneck, kernel: 3, stride: 1, width: 16, repeats: 1, groupWidth: {oneOf: [2, 4]}}
    tag: block
`;
      const mixed = withStages(stages);
      expect(spaceSize(mixed)).toBe(2n * 2n * (2n + 1n + 2n));
      const spec = decode(mixed, { resolution: 24, act: 'relu', block: 2, 'stages[0].oneOf[2].groupWidth': 4 });
      expect(spec.stages).toMatchObject([{ operator: 'bottleneck', groupWidth: 4, bottleneckRatio: 0.25 }]);
      expect(decode(mixed, { resolution: 24, act: 'silu', block: 1 }).stages).toMatchObject([{ operator: 'basic' }]);
    });

    test('operators that share the keys of a stage may be a decision of their own', () => {
      const stages = '  - {operator: {oneOf: [basic, bottleneck]}, kernel: 3, stride: 2, width: 16, repeats: 2}\n';
      expect(
        decode(withStages(stages), { resolution: 24, act: 'relu', 'stages[0].operator': 'basic' }).stages,
      ).toHaveLength(1);
    });

    test('operators that do not share them are refused with the place and the keys', () => {
      const stages =
        '  - {operator: {oneOf: [mbconv, basic]}, kernel: 3, stride: 1, expansion: 2, width: 8, repeats: 1}\n';
      expect(() => withStages(stages)).toThrow(ConfigError);
      expect(() => withStages(stages)).toThrow(
        'my.yaml: search space: not a network\nstages[0]: expected keys of a stage of basic, got expansion',
      );
    });

    test('groups that do not divide are refused with the option', () => {
      const stages =
        '  - {operator: bottleneck, kernel: 3, stride: 1, width: 16, repeats: 1, groupWidth: {oneOf: [4, 3]}}\n';
      expect(() => withStages(stages)).toThrow(
        'stages[0].groupWidth.oneOf[1]: expected a divisor of the 4 channels it groups, got 3',
      );
    });
  });
});
