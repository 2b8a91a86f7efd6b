import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import { loadFolder } from '../../data/folder.ts';
import { loadDataset } from '../../data/load.ts';
import { dataSourceSchema, type FolderSource } from '../../data/source.ts';
import type { DecodedImages } from '../../data/split.ts';
import { temporaryFolder } from './temporary-folder.ts';

type Paint = (x: number, y: number) => readonly [number, number, number];

async function save(path: string, width: number, height: number, paint: Paint): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.set(paint(x, y), 3 * (y * width + x));
  await sharp(data, { raw: { width, height, channels: 3 } }).toFile(path);
}
const red: Paint = () => [250, 10, 20];
const blue: Paint = () => [10, 20, 250];

/** Class folders `blue` and `red`, three images each. */
async function photos(folder: string): Promise<void> {
  for (const index of [0, 1, 2]) {
    await save(join(folder, 'red', `${index}.png`), 20 + index, 12, red);
    await save(join(folder, 'blue', `${index}.${['png', 'webp', 'jpg'][index]}`), 12, 16, blue);
  }
}

function load(path: string, resolution = 12, onNotice?: (text: string) => void): Promise<DecodedImages> {
  const source = dataSourceSchema.parse({ format: 'folder', path, resolution }) as FolderSource;
  return loadFolder(source, { baseDirectory: '/', onNotice });
}
/** First byte of a channel of a 12×12 example. */
function plane(example: number, channel: number): number {
  return (example * 3 + channel) * 144;
}

describe('image folder', () => {
  it('gives a class to each subfolder, by name, and squares of the resolution', async () => {
    const folder = await temporaryFolder();
    await photos(folder);
    await writeFile(join(folder, 'red', 'notes.txt'), 'not an image');
    const images = await load(folder);
    expect(images).toMatchObject({ classNames: ['blue', 'red'], height: 12, width: 12, channels: 3, test: undefined });
    expect(Array.from(images.train.labels)).toEqual([0, 0, 0, 1, 1, 1]);
    expect(images.train.pixels.length).toBe(6 * 3 * 144);
    expect(Array.from(images.train.pixels.slice(3 * 3 * 144, 3 * 3 * 144 + 2))).toEqual([250, 250]);
    expect(images.train.pixels[4 * 3 * 144 - 1]).toBe(20);
  });

  it('is divided, each class alike', async () => {
    const folder = await temporaryFolder();
    await photos(join(folder, 'photos'));
    const dataset = await loadDataset(dataSourceSchema.parse({ format: 'folder', path: './photos', resolution: 12 }), {
      baseDirectory: folder,
    });
    expect(dataset).toMatchObject({ name: 'photos', classNames: ['blue', 'red'], height: 12, width: 12 });
    expect(Object.values(dataset.splits).map(({ count }) => count)).toEqual([4, 1, 1]);
  });

  it('reads train and test subfolders', async () => {
    const folder = await temporaryFolder();
    await photos(join(folder, 'train'));
    await save(join(folder, 'test', 'red', 'a.png'), 14, 14, red);
    await save(join(folder, 'test', 'blue', 'a.png'), 14, 14, blue);
    const { train, test } = await load(folder, 10);
    expect([train.count, test?.count, test?.labels[1]]).toEqual([6, 2, 1]);
  });

  it.each(['val', 'valid', 'validation'])('takes %s/ beside train/ as the test split', async (name) => {
    const folder = await temporaryFolder();
    await photos(join(folder, 'train'));
    await save(join(folder, name, 'red', 'a.png'), 14, 14, red);
    await save(join(folder, name, 'blue', 'a.png'), 14, 14, blue);
    const { train, test, classNames } = await load(folder, 10);
    expect([train.count, test?.count, classNames]).toEqual([6, 2, ['blue', 'red']]);
  });

  it('takes test/ before val/, and tells what it does not read', async () => {
    const folder = await temporaryFolder();
    const notices: string[] = [];
    await photos(join(folder, 'train'));
    await photos(join(folder, 'test'));
    await save(join(folder, 'val', 'red', 'a.png'), 14, 14, red);
    const { test } = await load(folder, 10, (text) => notices.push(text));
    expect(test?.count).toBe(6);
    expect(notices).toEqual([
      `${folder}: expected train/ and one folder for the test, took test/; not read: ${join(folder, 'val')}`,
    ]);
  });

  it('tells what it left out beside images', async () => {
    const folder = await temporaryFolder();
    const notices: string[] = [];
    await photos(folder);
    for (const name of ['a.HEIC', 'b.heic', 'labels', '.DS_Store']) await writeFile(join(folder, 'red', name), '');
    await mkdir(join(folder, 'blue', 'more'));
    await load(folder, 12, (text) => notices.push(text));
    expect(notices).toEqual([
      expect.stringMatching(
        /: expected images \(.*\) in .*, left out \.heic \(2\), folders \(1\), no extension \(1\)$/,
      ),
    ]);
  });

  it('keeps the centre of what is not square', async () => {
    const folder = await temporaryFolder();
    await photos(folder);
    await save(join(folder, 'red', '0.png'), 30, 12, (x) => (x >= 9 && x < 21 ? [255, 255, 255] : [0, 0, 0]));
    const { train } = await load(folder);
    expect(train.pixels.subarray(3 * 432, 4 * 432).every((value) => value === 255)).toBe(true);
  });

  it('turns images as their EXIF says, and makes grey ones and transparent ones RGB', async () => {
    const folder = await temporaryFolder();
    await photos(folder);
    const top = Buffer.alloc(12 * 12 * 3);
    top.fill(255, 0, 6 * 12 * 3);
    const raw = { raw: { width: 12, height: 12, channels: 3 } } as const;
    await sharp(top, raw)
      .withMetadata({ orientation: 3 })
      .png()
      .toFile(join(folder, 'red', '0.png'));
    await sharp(top, raw)
      .greyscale()
      .png()
      .toFile(join(folder, 'red', '1.png'));
    const clear = { create: { width: 12, height: 12, channels: 4, background: '#ffffff00' } } as const;
    await sharp(clear)
      .png()
      .toFile(join(folder, 'red', '2.png'));
    const { train } = await load(folder);
    expect([train.pixels[plane(3, 0)], train.pixels[plane(3, 0) + 143]]).toEqual([0, 255]);
    expect([0, 1, 2].map((channel) => train.pixels[plane(4, channel)])).toEqual([255, 255, 255]);
    expect(train.pixels.subarray(plane(5, 0)).every((value) => value === 0)).toBe(true);
  });

  it('names an image that cannot be decoded', async () => {
    const folder = await temporaryFolder();
    await photos(folder);
    await writeFile(join(folder, 'red', 'broken.png'), 'no pixels here');
    await expect(load(folder)).rejects.toThrow(InvalidFileError);
    await expect(load(folder)).rejects.toThrow(/red\/broken\.png: expected an image .* cannot be decoded/);
  });

  it('names the image that is smaller than the resolution asked for', async () => {
    const folder = await temporaryFolder();
    await photos(folder);
    await save(join(folder, 'red', 'small.png'), 9, 40, red);
    await expect(load(folder)).rejects.toThrow(/small\.png: .* at least 12 .* got 9×40/);
  });

  it.each([
    ['a missing folder', async () => undefined, /expected a folder .* none at/],
    ['an empty folder', (folder: string) => mkdir(folder), /at least two subfolders, one a class, got 0/],
    ['one class', (folder: string) => save(join(folder, 'red', 'a.png'), 12, 12, red), /one a class, got 1/],
    [
      'train/ alone',
      (folder: string) => photos(join(folder, 'train')),
      /expected train\/ beside one of test\/, val\/.*, got train\/ alone; .* say .*photos\/train/,
    ],
    [
      'a class of folders',
      async (folder: string) => {
        await photos(folder);
        await mkdir(join(folder, 'green', 'inner'), { recursive: true });
      },
      /green: expected images .* found none but folders \(1\)/,
    ],
    [
      'an empty class',
      async (folder: string) => {
        await photos(folder);
        await mkdir(join(folder, 'green'));
      },
      /green: expected images .* found none/,
    ],
    [
      'a test class that training has not',
      async (folder: string) => {
        await photos(join(folder, 'train'));
        await save(join(folder, 'test', 'green', 'a.png'), 12, 12, red);
        await save(join(folder, 'test', 'blue', 'a.png'), 12, 12, blue);
      },
      /expected the classes blue, red .* got blue, green/,
    ],
  ])('refuses %s', async (_, prepare, message) => {
    const folder = join(await temporaryFolder(), 'photos');
    await prepare(folder);
    await expect(load(folder)).rejects.toThrow(ConfigError);
    await expect(load(folder)).rejects.toThrow(message);
  });
});
