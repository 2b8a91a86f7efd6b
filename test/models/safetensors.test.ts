import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidFileError } from '../../core/errors.ts';
import {
  decodeSafetensors,
  encodeSafetensors,
  readSafetensors,
  type StoredWeights,
  writeSafetensors,
} from '../../models/safetensors.ts';
import { fileFolder } from '../cases/file-folder.ts';

const stored: StoredWeights = {
  weights: new Map([
    ['b', new Float32Array([1.5, -2, 3, 4, 5, 6])],
    ['a', new Float32Array([7])],
  ]),
  shapes: new Map([
    ['b', [2, 3]],
    ['a', []],
  ]),
  metadata: { spec: '{"käse": 1}' },
};

/** A file with the given header text and data. */
function file(header: string, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

describe('safetensors', () => {
  it('gives back what was stored', () => expect(decodeSafetensors(encodeSafetensors(stored), 'file')).toEqual(stored));

  it('reads a file another program wrote', () => {
    const header = '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
    const data = new Uint8Array(Float32Array.of(1, 2).buffer);
    expect(decodeSafetensors(file(header, data), 'file').weights.get('x')).toEqual(Float32Array.of(1, 2));
  });

  it('writes equal bytes for equal weights in any order', () => {
    const reordered = { ...stored, weights: new Map([...stored.weights].toReversed()) };
    expect(encodeSafetensors(reordered)).toEqual(encodeSafetensors(stored));
  });

  it('lays data out as the format says', () => {
    const bytes = Buffer.from(encodeSafetensors(stored));
    const headerLength = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<string, unknown>;
    expect(header['b']).toEqual({ dtype: 'F32', shape: [2, 3], data_offsets: [4, 28] });
    expect(bytes.readFloatLE(8 + headerLength + 4)).toBe(1.5);
    expect(headerLength % 8).toBe(0);
  });

  it('refuses every file that was cut short, naming it', () => {
    const bytes = encodeSafetensors(stored);
    for (let length = 0; length < bytes.length; length++) {
      const decode = () => decodeSafetensors(bytes.subarray(0, length), 'cut.safetensors');
      expect(decode).toThrow(InvalidFileError);
      expect(decode).toThrow(/^cut\.safetensors: expected/);
    }
  });

  it('refuses garbage', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => decodeSafetensors(bytes, 'garbage')).toThrow(InvalidFileError);
      }),
    );
  });

  it.each([
    ['another type', '{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}', /only float32/],
    [
      'offsets that do not fit the shape',
      '{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}',
      /12 bytes for tensor x \[3\]/,
    ],
    ['data past the end', '{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}', /at least 12 bytes of data/],
    ['offsets that run backwards', '{"x":{"dtype":"F32","shape":[0],"data_offsets":[4,0]}}', /expected 0 bytes/],
    ['a header that is no object', '[1]', /expected a JSON header/],
  ])('refuses %s', (_, header, message) => {
    expect(() => decodeSafetensors(file(header, new Uint8Array(4)), 'file')).toThrow(message);
  });

  it('reads a file in pieces of any size, and refuses one that was cut short', async () => {
    const path = join(fileFolder(), 'weights.safetensors');
    const bytes = encodeSafetensors(stored);
    await writeSafetensors(path, stored);
    for (const pieceBytes of [1, 5, 8, 1000]) expect(await readSafetensors(path, pieceBytes)).toEqual(stored);
    for (const length of [0, 7, 8, 20, bytes.length - 1]) {
      await writeFile(path, bytes.subarray(0, length));
      await expect(readSafetensors(path)).rejects.toThrow(`${path}: expected`);
    }
  });

  it('reads a file of more than 2 GiB', async () => {
    const path = join(fileFolder(), 'large.safetensors');
    const start = 2 ** 31 + 16;
    const header = `{"x":{"dtype":"F32","shape":[2],"data_offsets":[${start},${start + 8}]}}`;
    const handle = await open(path, 'w');
    const { bytesWritten } = await handle.write(file(header));
    // Between them lies a hole, which takes no room.
    await handle.write(new Uint8Array(Float32Array.of(1, 2).buffer), 0, 8, bytesWritten + start);
    await handle.close();
    expect((await readSafetensors(path)).weights).toEqual(new Map([['x', Float32Array.of(1, 2)]]));
  });

  it('writes a file whole or not at all', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-safetensors-'));
    try {
      await writeSafetensors(join(folder, 'weights.safetensors'), stored);
      expect(await readSafetensors(join(folder, 'weights.safetensors'))).toEqual(stored);
      await expect(writeSafetensors(join(folder, 'missing', 'weights.safetensors'), stored)).rejects.toThrow('ENOENT');
      expect(await readdir(folder)).toEqual(['weights.safetensors']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
