import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { dataSourceSchema } from '../../data/source.ts';

const records = { format: 'records', path: 'a.bin', channels: 3, height: 8, width: 8 };
const idx = { format: 'idx', path: { images: 'a', labels: 'b' } };
const csv = { format: 'csv', path: ['a.csv'], range: [0, 16], label: 'first' };
const common = { holdout: 0.1, testShare: 0.15, seed: 0 };

describe('dataSourceSchema', () => {
  it('takes a word, a path or an object, and fills in defaults', () => {
    const rendered = { format: 'rendered', classes: 10, resolution: 64, train: 4000, test: 1000, ...common };
    expect(dataSourceSchema.parse('rendered')).toEqual(rendered);
    expect(dataSourceSchema.parse({ format: 'rendered', train: 50 })).toEqual({ ...rendered, train: 50 });
    expect(dataSourceSchema.parse('./photos')).toMatchObject({ format: 'folder', path: './photos', ...common });
    expect(dataSourceSchema.parse({ ...records, holdout: 500 })).toEqual({ ...common, ...records, holdout: 500 });
  });

  it('gives a form that parses to itself, for resolved configurations', () => {
    for (const source of ['rendered', './photos', records, idx, csv, { format: 'cifar100', path: 'a' }]) {
      const resolved = dataSourceSchema.parse(source);
      expect(dataSourceSchema.parse(resolved)).toEqual(resolved);
    }
  });

  it.each([
    ['an unknown format', { format: 'webdataset', path: 'x' }],
    ['an unknown key', { ...records, shuffle: true }],
    ['a hold-out of all the data', { ...records, holdout: 1.5 }],
    ['an absurd size', { ...records, height: 1e6 }],
    ['too many rendered classes', { format: 'rendered', classes: 99 }],
    ['a word that is no path', 'renderd'],
    ['half of a shape', { format: 'csv', path: 'a.csv', height: 8 }],
    ['an empty range', { format: 'csv', path: 'a.csv', range: [16, 16] }],
    ['a label by name without a header', { format: 'csv', path: 'a.csv', label: 'digit' }],
    ['channels in an unknown order', { format: 'csv', path: 'a.csv', channels: 3 }],
    ['images without labels', { format: 'idx', path: { images: 'a' } }],
    ['labels that CIFAR-100 does not have', { format: 'cifar100', path: 'a', labels: 'middle' }],
    ['a number', 7],
  ])('refuses %s', (_, source) => {
    expect(dataSourceSchema.safeParse(source).success).toBe(false);
  });

  it('can be printed as JSON schema', () => {
    expect(JSON.stringify(z.toJSONSchema(dataSourceSchema, { io: 'input' }))).toContain('"classNames"');
  });
});
