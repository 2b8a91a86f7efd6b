import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import { decisions } from '../../search/space.ts';
import { readTable, tableSchema } from '../../search/table.ts';
import { fileFolder } from '../cases/file-folder.ts';

const folder = fileFolder();
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return name;
};

const skips = '|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|';

const file = write('grid.csv', 'depth,op,top1,ms,s\n2,conv,50,1.5,10\n10,conv,60,3,20\n2,pool,,1,5\n');

const config = tableSchema.parse({
  file,
  key: ['depth', 'op'],
  metrics: { accuracy: { column: 'top1', scale: 0.01 }, 'latencyMs.gpu': 'ms' },
  cost: 's',
});

const read = (text: string, over: object = {}) =>
  readTable({ ...config, file: write('bad.csv', text), ...over }, 'table', folder);
expect(() => read('depth,op,top1,s\n')).toThrow(/expected a column of .*bad\.csv.*got ms/);

describe('a table of results', () => {
  test('offers the values of its key columns, numbers in order', () => {
    const { space } = readTable(config, 'table', folder);
    expect(decisions(space).map(({ tag, values, isOrdered }) => ({ tag, values, isOrdered }))).toEqual([
      { tag: 'depth', values: [2, 10], isOrdered: true },
      { tag: 'op', values: ['conv', 'pool'], isOrdered: false },
    ]);
  });

  test('answers choices with their row, in the metrics’ units, and with nothing where it has none', () => {
    const { rowOf } = readTable(config, 'table', folder);
    expect(rowOf({ depth: 10, op: 'conv' })).toEqual({ metrics: { accuracy: 0.6, 'latencyMs.gpu': 3 }, costS: 20 });
    expect(rowOf({ depth: 2, op: 'pool' })?.metrics).toEqual({ 'latencyMs.gpu': 1 });
    expect(rowOf({ depth: 10, op: 'pool' })).toBeUndefined();
  });

  test('finds cells of NAS-Bench-201 by their text', () => {
    const cells = write('cells.csv', `arch,acc\n${skips},0.9\n`);
    const { rowOf, identity } = readTable(
      tableSchema.parse({ file: cells, key: 'arch', metrics: { accuracy: 'acc' } }),
      'nas-bench-201',
      folder,
    );
    const choices = {
      edge01: 'skip_connect',
      edge02: 'none',
      edge12: 'none',
      edge03: 'none',
      edge13: 'skip_connect',
      edge23: 'none',
    };
    expect(rowOf(choices)).toEqual({ metrics: { accuracy: 0.9 }, costS: 0 });
    expect(identity(choices)).toBe(identity({ ...choices, edge01: 'none', edge13: 'none', edge03: 'skip_connect' }));
  });

  test('a metric may be a number divided by a column', () => {
    const metrics = { accuracy: 'top1', 'latencyMs.gpu': { column: 'ms', scale: 1000, inverse: true } };
    expect(read('depth,op,top1,ms\n2,a,1,250\n', { metrics, cost: undefined }).rows[0]?.metrics).toEqual({
      accuracy: 1,
      'latencyMs.gpu': 4,
    });
    expect(() => read('depth,op,top1,ms\n2,a,1,0\n', { metrics, cost: undefined })).toThrow(/row 1: ms: .* got 0/);
  });

  test('a metric that cannot be is refused by its cell', () => {
    const refused = (cells: string, message: string, over: object = {}) => {
      expect(() => read(`depth,op,top1,ms,s\n2,a,${cells}\n`, over)).toThrow(InvalidFileError);
      expect(() => read(`depth,op,top1,ms,s\n2,a,${cells}\n`, over)).toThrow(message);
    };
    const percent = { metrics: { accuracy: 'top1', 'latencyMs.gpu': 'ms' } };
    refused('93.5,1,2', 'row 1: top1: expected an accuracy from 0 to 1 (per cent take scale: 0.01), got 93.5', percent);
    refused('101,1,2', 'row 1: top1: expected an accuracy from 0 to 1 (per cent take scale: 0.01), got 1.01');
    refused('-1,1,2', 'row 1: top1: expected an accuracy from 0 to 1 (per cent take scale: 0.01), got -0.01');
    for (const ms of ['0', '-1'])
      refused(
        `50,${ms},2`,
        `row 1: ms: expected a latency above 0 ms (an empty cell where it is not known), got ${ms}`,
      );
    refused('50,1,-2', 'row 1: s: expected a cost of 0 s or more, got -2');
    expect(read('depth,op,top1,ms,s\n2,a,100,1,0\n3,a,0,1,0\n').rows).toHaveLength(2);
  });

  test('rows of one key are refused, or averaged where each has a value', () => {
    const text = 'depth,op,top1,ms,s\n2,a,50,1,2\n2,a,60,,4\n3,a,70,5,6\n';
    expect(() => read(text)).toThrow(/row 2: expected every key once.*repeated: mean/);
    const { rows } = read(text, { repeated: 'mean' });
    expect(rows).toHaveLength(2);
    expect(rows[0]?.costS).toBe(3);
    expect(rows[0]?.metrics['accuracy']).toBeCloseTo(0.55, 12);
    expect(rows[0]?.metrics['latencyMs.gpu']).toBe(1);
  });

  test('where the search is over the rows alone, its members are the points of the rows', () => {
    expect(readTable(config, 'table', folder).members).toBeUndefined();
    const { members } = readTable({ ...config, absent: 'nearest' }, 'table', folder);
    expect(members?.list).toEqual([
      { depth: 2, op: 'conv' },
      { depth: 10, op: 'conv' },
      { depth: 2, op: 'pool' },
    ]);
    expect(() => readTable({ ...config, key: 'depth', absent: 'nearest' }, 'nas-bench-201', folder)).toThrow(
      /absent: expected infeasible with nas-bench-201/,
    );
  });

  test('says which column, row or file is wrong', () => {
    expect(() => read('depth,op,top1,ms,s\n2,conv,50,fast,1\n')).toThrow(/row 1: ms: expected a number, got "fast"/);
    expect(() => read('depth,op,top1,ms,s\n2,a,1,1,1\n2.0,a,2,2,2\n')).toThrow(InvalidFileError);
    expect(() => readTable({ ...config, file: 'absent.csv' }, 'table', folder)).toThrow(ConfigError);
    expect(() => readTable({ ...config, file }, 'nas-bench-201', folder)).toThrow(/expected the one column/);
  });
});
