import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** An IDX file of unsigned bytes. */
function idx(extents: readonly number[], bytes: ArrayLike<number>, type = 0x08): Buffer {
  const header = Buffer.alloc(4 + 4 * extents.length);
  header.set([0, 0, type, extents.length]);
  for (const [axis, extent] of extents.entries()) header.writeUInt32BE(extent, 4 + 4 * axis);
  return Buffer.concat([header, Uint8Array.from(bytes)]);
}
/** 30 images of 2×3 whose pixels are ten times their index and the place, with labels 0, 1, 2 in turn. */
const count = 30;
const pixels = Uint8Array.from({ length: count * 6 }, (_, at) => Math.floor(at / 6) * 8 + (at % 6));
const images = idx([count, 2, 3], pixels);
const labels = idx(
  [count],
  Array.from({ length: count }, (_, index) => index % 3),
);
const pair = { images: 'images', labels: 'labels' };

async function write(files: Readonly<Record<string, Uint8Array>>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
  return folder;
}
async function load(files: Readonly<Record<string, Uint8Array>>, source: object = {}, maxPixelBytes?: number) {
  const baseDirectory = await write({ images, labels, ...files });
  return loadDataset(dataSourceSchema.parse({ format: 'idx', path: pair, ...source }), {
    baseDirectory,
    ...(maxPixelBytes === undefined ? {} : { maxPixelBytes }),
  });
}

describe('IDX files', () => {
  it('are read as grey images with their labels', async () => {
    const { splits, ...dataset } = await load({});
    expect(dataset).toMatchObject({ channels: 1, height: 2, width: 3, classNames: ['0', '1', '2'] });
    expect(splits.train.count + splits.holdout.count + splits.test.count).toBe(count);
    for (const split of Object.values(splits))
      for (let row = 0; row < split.count; row++) {
        const index = (split.pixels[row * 6] as number) / 8;
        expect(split.labels[row]).toBe(index % 3);
        expect([...split.pixels.subarray(row * 6, row * 6 + 6)]).toEqual(
          [0, 1, 2, 3, 4, 5].map((at) => 8 * index + at),
        );
      }
  });

  it('are found in a folder by MNIST’s names, packed or not', async () => {
    const folder = await temporaryFolder();
    const mnist = join(folder, 'mnist');
    await mkdir(mnist);
    await writeFile(join(mnist, 'train-images-idx3-ubyte.gz'), gzipSync(images));
    await writeFile(join(mnist, 'train-labels.idx1-ubyte'), labels);
    // Lies there twice: the unpacked one counts.
    await writeFile(join(mnist, 'train-labels.idx1-ubyte.gz'), 'never read');
    await writeFile(join(mnist, 't10k-images-idx3-ubyte'), idx([3, 2, 3], pixels.subarray(0, 18)));
    await writeFile(join(mnist, 't10k-labels-idx1-ubyte.gz'), gzipSync(idx([3], [2, 2, 1])));
    const read = (path: string) => {
      return loadDataset(dataSourceSchema.parse({ format: 'idx', path }), { baseDirectory: folder });
    };
    const { splits, name } = await read('mnist');
    expect(name).toBe('mnist');
    expect([splits.train.count + splits.holdout.count, splits.test.count]).toEqual([count, 3]);
    expect([...splits.test.labels]).toEqual([2, 2, 1]);
    await writeFile(join(mnist, 'letters-train-labels-idx1-ubyte'), labels);
    await expect(read('mnist')).rejects.toThrow(/one file of train labels .* got letters-train.*, train-labels/);
    await expect(read('.')).rejects.toThrow(/expected train-images-idx3-ubyte .* found no such pair/);
    await expect(read('mnist/train-labels.idx1-ubyte')).rejects.toThrow(/expected the folder .* path: \{images/);
  });

  it('take plain vectors as square images, or as the shape that is given', async () => {
    const flat = { images: idx([count, 12], new Uint8Array(count * 12)) };
    const square = { images: idx([count, 16], new Uint8Array(count * 16)) };
    expect(await load(square)).toMatchObject({ channels: 1, height: 4, width: 4 });
    expect(await load(flat, { height: 3, width: 4 })).toMatchObject({ channels: 1, height: 3, width: 4 });
    const channels = { channels: 3, layout: 'channels-first' };
    expect(await load(flat, channels)).toMatchObject({ channels: 3, height: 2, width: 2 });
    await expect(load(flat)).rejects.toThrow(/images: expected square grey images, got 12 values an image/);
    await expect(load(flat, { height: 5, width: 4 })).rejects.toThrow(/expected 1 × 5 × 4, got 12 values/);
    await expect(load(flat, { channels: 3 })).rejects.toThrow(/expected data\.layout .* for images of 12 values/);
  });

  it('take four dimensions with the channels where the study file says', async () => {
    // Two channels: the second is the first plus 100.
    const places = Array.from({ length: count * 6 }, (_, at) => at % 6);
    const last = idx(
      [count, 2, 3, 2],
      places.flatMap((place) => [place, 100 + place]),
    );
    const first = idx(
      [count, 2, 2, 3],
      Array.from({ length: count * 12 }, (_, at) => (at % 12 < 6 ? at % 12 : 94 + (at % 12))),
    );
    const expected = [0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105];
    for (const [layout, file] of [
      ['channels-last', last],
      ['channels-first', first],
    ] as const) {
      const dataset = await load({ images: file }, { layout });
      expect(dataset).toMatchObject({ channels: 2, height: 2, width: 3 });
      expect([...dataset.splits.train.pixels.subarray(12, 24)]).toEqual(expected);
    }
    await expect(load({ images: last })).rejects.toThrow(/expected data\.layout .* for images of 2 × 3 × 2 values/);
    const swapped = load({ images: idx([count, 1, 1, 65], new Uint8Array(count * 65)) }, { layout: 'channels-last' });
    await expect(swapped).rejects.toThrow(/expected 1 to 64 channels, got 65/);
  });

  const huge = 2 ** 31;
  it.each<[string, Record<string, Uint8Array>, RegExp]>([
    ['an empty file', { images: Buffer.alloc(0) }, /images: byte 0: expected an IDX header .* got a file of 0 bytes/],
    [
      'another kind of file',
      { images: Buffer.from('PNG file') },
      /images: byte 0: expected two zero bytes.* got 0x504e/,
    ],
    [
      'values that are no bytes',
      { images: idx([count, 2, 3], pixels, 0x0d) },
      /byte 2: .* 0x08 \(unsigned byte\), got 0x0d \(float32\)/,
    ],
    ['values of no known type', { labels: idx([count], [], 0x77) }, /labels: byte 2: .* got 0x77 \(unknown\)/],
    [
      'images that are no images',
      { images: idx([count], []) },
      /images: byte 3: expected images of 2, 3, 4 dimensions, got 1/,
    ],
    [
      'labels that are a table',
      { labels: idx([count, 1], []) },
      /labels: byte 3: expected labels of 1 dimensions, got 2/,
    ],
    ['a header cut short', { images: images.subarray(0, 10) }, /byte 4: expected 3 extents of 4 bytes, got 6 bytes/],
    ['no images', { images: idx([0, 2, 3], []) }, /byte 4: expected at least one of its images, got a count of 0/],
    [
      'images cut short',
      { images: images.subarray(0, -1) },
      /images: expected 196 bytes \(16 of header \+ 30 × 1 × 2 × 3 pixels\), got 195/,
    ],
    ['packed images cut short', { images: gzipSync(images.subarray(0, -1)) }, /images: expected 196 bytes .* got 195/],
    ['a damaged gzip file', { images: gzipSync(images).subarray(0, -9) }, /images: expected a whole gzip file/],
    [
      'bytes that the header does not name',
      { images: Buffer.concat([images, images]) },
      /expected 196 bytes .* got at least 392/,
    ],
    [
      'labels cut short',
      { labels: labels.subarray(0, -2) },
      /labels: expected 38 bytes \(8 of header \+ 30 labels\), got 36/,
    ],
    [
      'fewer labels than images',
      { labels: idx([29], new Uint8Array(29)) },
      /labels: expected a label for each of the 30 images of .*images, got 29/,
    ],
    [
      'an absurd height',
      { images: idx([count, huge, 3], []) },
      /images: header: expected 1 to 4096 pixels of height, got 2147483648/,
    ],
    [
      'an absurd width',
      { images: idx([count, 3, 0], []) },
      /images: header: expected 1 to 4096 pixels of width, got 0/,
    ],
    ['an empty class', { labels: idx([count], new Uint8Array(count).fill(2, 3)) }, /labels: .* got none of class 1/],
    ['one class only', { labels: idx([count], new Uint8Array(count)) }, /two or more classes/],
  ])('are refused for %s', async (_, files, message) => {
    const loading = load(files);
    await expect(loading).rejects.toThrow(InvalidFileError);
    await expect(loading).rejects.toThrow(message);
  });

  it('are refused for a label without a name, with its place', async () => {
    const named = load({}, { classNames: ['a', 'b'] });
    await expect(named).rejects.toThrow(/labels: label 2: expected a label below 2, got 2/);
  });

  it('are refused for a shape other than the study file’s', async () => {
    await expect(load({}, { height: 2, width: 4 })).rejects.toThrow(/expected data\.width to be the header's 3, got 4/);
  });

  it('are refused for a test split of other images', async () => {
    const files = { other: idx([1, 3, 2], new Uint8Array(6)), few: idx([1], [0]) };
    const loading = load(files, { test: { images: 'other', labels: 'few' } });
    await expect(loading).rejects.toThrow(/other: expected images of 1 × 2 × 3 as in .*images, got 1 × 3 × 2/);
  });

  it('are refused when they would not fit, by the header alone', async () => {
    const many = load({ images: idx([huge, 4096, 4096], []), labels: idx([huge], []) });
    await expect(many).rejects.toThrow(ConfigError);
    await expect(many).rejects.toThrow(
      /of pixels, got at least 2147483648 images of 1 × 4096 × 4096, which are 3600\d* GB/,
    );
    await expect(load({}, {}, 179)).rejects.toThrow(/expected at most 1\.79e-7 GB of pixels, got at least 30 images/);
    expect((await load({}, {}, 180)).splits.train.count).toBeGreaterThan(0);
  });
});
