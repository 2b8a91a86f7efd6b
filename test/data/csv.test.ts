import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import type { Dataset } from '../../data/dataset.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** 24 images of 2×2: 0, 16, the index modulo 16 and 8; classes take turns. */
const rows = Array.from({ length: 24 }, (_, index) => [0, 16, index % 16, 8, index % 3]);
const text = rows.map((row) => row.join(',')).join('\n');
const digits = { range: [0, 16] };

async function load(
  content: string | Uint8Array,
  source: object = digits,
  options: { maxPixelBytes?: number; others?: Record<string, string> } = {},
): Promise<Dataset> {
  const baseDirectory = await temporaryFolder();
  await writeFile(join(baseDirectory, 'a.csv'), content);
  for (const [name, other] of Object.entries(options.others ?? {})) await writeFile(join(baseDirectory, name), other);
  const { maxPixelBytes } = options;
  return loadDataset(dataSourceSchema.parse({ format: 'csv', path: 'a.csv', ...source }), {
    baseDirectory,
    ...(maxPixelBytes === undefined ? {} : { maxPixelBytes }),
  });
}
/** Every example as its pixels and label, in the order of the text. */
function examplesOf({ splits, channels, height, width }: Dataset): string[] {
  const values = channels * height * width;
  return Object.values(splits)
    .flatMap(({ count, pixels, labels }) =>
      Array.from({ length: count }, (_, row) =>
        [...pixels.subarray(row * values, (row + 1) * values), labels[row]].join(),
      ),
    )
    .toSorted();
}
const byte = (value: number) => Math.round((value * 255) / 16);
const expected = rows
  .map(([a = 0, b = 0, c = 0, d = 0, label]) => [...[a, b, c, d].map(byte), label].join())
  .toSorted();

describe('CSV of pixels', () => {
  it('is read as square grey images, its range spread over bytes', async () => {
    const dataset = await load(text);
    expect(dataset).toMatchObject({ name: 'a', channels: 1, height: 2, width: 2, classNames: ['0', '1', '2'] });
    expect(examplesOf(dataset)).toEqual(expected);
    expect([byte(16), byte(8), byte(1)]).toEqual([255, 128, 16]);
  });

  it.each<[string, string | Uint8Array, object]>([
    ['gzip', gzipSync(text), {}],
    ['a last line end, blank lines and Windows line ends', `\r\n${text.replaceAll('\n', '\r\n\r\n')}\r\n`, {}],
    ['a byte order mark', `\uFEFF${text}`, {}],
    ['fractions, exponents, spaces and quotes', text.replaceAll('16', ' 1.6e1').replaceAll(',8,', ',"8.0", '), {}],
    ['a header', `a,b,c,d,e\n${text}`, { header: true }],
    ['the label first', rows.map(([a, b, c, d, label]) => [label, a, b, c, d].join()).join('\n'), { label: 'first' }],
    [
      'the label in a column by name',
      `p,"digit",q,r,s\n${rows.map(([a, b, c, d, label]) => [a, label, b, c, d].join()).join('\n')}`,
      { header: true, label: 'digit' },
    ],
    ['semicolons', text.replaceAll(',', ';'), { separator: ';' }],
    ['tabs', text.replaceAll(',', '\t'), { separator: '\t' }],
  ])('is read with %s', async (_, content, source) => {
    expect(examplesOf(await load(content, { ...digits, ...source }))).toEqual(expected);
  });

  it('takes several files and a test split', async () => {
    const others = {
      'b.csv': text,
      'c.csv': rows
        .slice(0, 5)
        .map((row) => row.join())
        .join('\n'),
    };
    const { splits } = await load(text, { ...digits, path: ['a.csv', 'b.csv'], test: 'c.csv' }, { others });
    expect([splits.train.count + splits.holdout.count, splits.test.count]).toEqual([48, 5]);
    expect([...splits.test.labels]).toEqual([0, 1, 2, 0, 1]);
  });

  it('takes shapes that are no grey squares', async () => {
    expect(await load(text, { ...digits, height: 1, width: 4 })).toMatchObject({ height: 1, width: 4 });
    const colour = { ...digits, channels: 2, height: 1, width: 2 };
    const read = async (layout: string) => {
      const { splits } = await load(text, { ...colour, layout });
      return [...splits.train.pixels.subarray(0, 4)];
    };
    const [first, last] = [await read('channels-first'), await read('channels-last')];
    expect(first[1]).toBe(255);
    expect(last).toEqual([first[0], first[2], first[1], first[3]]);
    await expect(load(text, { ...digits, height: 2, width: 3 })).rejects.toThrow(/expected 1 × 2 × 3, got 4 values/);
    await expect(load('1,2,3,0\n1,2,3,1')).rejects.toThrow(/expected square grey images, got 3 values/);
  });

  it('reads any numbers that JavaScript can write', () => {
    const number = fc.oneof(fc.nat(2 ** 53 - 1), fc.double({ min: 0, max: 2 ** 53, noNaN: true }));
    return fc.assert(
      fc.asyncProperty(fc.array(number, { minLength: 8, maxLength: 8 }), async (values) => {
        const most = Math.max(...values, 1);
        const table = `${values.slice(0, 4).join()},0\n${values.slice(4).join()},1`;
        const { splits } = await load(table, { range: [0, most], holdout: 1e-9, testShare: 1e-9 });
        const bytes = values.map((value) => Math.round((value * 255) / most));
        splits.train.pixels.forEach((got, at) => expect(Math.abs(got - (bytes[at] as number))).toBeLessThanOrEqual(1));
      }),
      { numRuns: 25 },
    );
  });

  const wide = `${'1,'.repeat(4097)}1`;
  it.each<[string, string | Uint8Array, RegExp]>([
    ['an empty file', '', /a\.csv: expected rows of pixel values, got an empty file/],
    ['blank lines alone', '\n\n \r\n', /expected rows of pixel values, got an empty file/],
    ['rows of one cell', '1\n2\n', /line 1: expected several cells separated by ",", got one/],
    [
      'a word',
      text.replace('\n0,16,2', '\n0,sixteen,2'),
      /a\.csv: line 3, column 2: expected a number, got "sixteen"$/,
    ],
    [
      'a word in the first row',
      `a,b,c,d,e\n${text}`,
      /line 1, column 1: expected a number, got "a"; if .* header: true/,
    ],
    ['a hexadecimal number', text.replace('16', '0x10'), /line 1, column 2: expected a number, got "0x10"/],
    ['an empty cell', text.replace('16', ''), /line 1, column 2: expected a number, got ""/],
    ['a missing value', text.replace('16', 'NaN'), /line 1, column 2: expected a number, got "NaN"/],
    ['an endless cell', text.replace('16', 'x'.repeat(500)), /column 2: expected a number, got "x{64}"/],
    [
      'a value above the range',
      text.replace('\n0,16', '\n0,17'),
      /line 2, column 2: expected a value from 0 to 16, got 17/,
    ],
    [
      'a value below the range',
      text.replace('\n0,16', '\n-1,16'),
      /line 2, column 1: expected a value from 0 to 16, got -1/,
    ],
    ['an infinite value', text.replace('16', '1e999'), /column 2: expected a value from 0 to 16, got Infinity/],
    ['a short row', `${text}\n1,2,3,0`, /line 25: expected 5 cells as in the first row, got 4/],
    ['a long row', `${text}\n\n1,2,3,4,5,0`, /line 26: expected 5 cells as in the first row, got 6/],
    ['a file cut within a row', text.slice(0, -4), /line 24: expected 5 cells as in the first row, got 3/],
    ['a damaged gzip file', gzipSync(text).subarray(0, -9), /a\.csv: expected a whole gzip file/],
    [
      'a fractional label',
      text.replace(/0\n/, '0.5\n'),
      /line 1, column 5: expected a class number from 0 to 65535, got 0\.5/,
    ],
    ['a negative label', text.replace(/0\n/, '-1\n'), /line 1, column 5: expected a class number .* got -1/],
    ['an absurd label', text.replace(/0\n/, '70000\n'), /line 1, column 5: .* got 70000/],
    [
      'an empty class',
      text.replaceAll(/1\n/g, '3\n'),
      /expected examples of every class from 0 to 3, got none of class 1/,
    ],
    ['one class only', rows.map((row) => [...row.slice(0, 4), 0].join()).join('\n'), /two or more classes/],
    ['images of no shape', `${wide}\n${wide}`, /expected square grey images, got 4097 values an image/],
  ])('is refused for %s', async (_, content, message) => {
    await expect(load(content)).rejects.toThrow(message);
  });

  it('tells a bad file from a bad study file', async () => {
    await expect(load(text.replace('16', 'x'))).rejects.toThrow(InvalidFileError);
    const wrong = load(`a,b,c,d,e,f,g,h,i,j\n${text}`, { header: true, label: 'digit' });
    await expect(wrong).rejects.toThrow(ConfigError);
    await expect(wrong).rejects.toThrow(/expected a column "digit" for data\.label, got a, b, c, …, i, j/);
    await expect(load('a,b,c,d,e', { header: true })).rejects.toThrow(
      /expected rows of pixel values, got a header alone/,
    );
    await expect(load(text, { ...digits, classNames: ['x', 'y'] })).rejects.toThrow(/number from 0 to 1, got 2/);
  });

  it('is refused when values use none of the range', async () => {
    const shares = rows.map(([a = 0, b = 0, c = 0, d = 0, label]) => [a / 16, b / 16, c / 16, d / 16, label].join());
    await expect(load(shares.join('\n'), {})).rejects.toThrow(/use the range from 0 to 255, got none .* data\.range/);
    expect(examplesOf(await load(shares.join('\n'), { range: [0, 1] }))).toEqual(expected);
  });

  it('is refused when files differ in their columns', async () => {
    const loading = load(text, { ...digits, path: ['a.csv', 'b.csv'] }, { others: { 'b.csv': '1,2,0\n' } });
    await expect(loading).rejects.toThrow(/b\.csv: expected 5 columns as in .*a\.csv, got 3/);
  });

  it('is refused when it would not fit, before memory is taken', async () => {
    await expect(load(text, digits, { maxPixelBytes: 95 })).rejects.toThrow(/at least 24 images of 1 × 2 × 2/);
    expect((await load(text, digits, { maxPixelBytes: 96 })).splits.train.count).toBeGreaterThan(0);
  });
});
