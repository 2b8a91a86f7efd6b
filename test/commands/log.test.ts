import * as fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CappedLog } from '../../commands/log.ts';
import { fileFolder } from '../cases/file-folder.ts';

const path = join(fileFolder(), 'log.txt');

function logged(chunks: readonly Buffer[], cap: number) {
  const log = new CappedLog(path, cap);
  for (const chunk of chunks) log.write(chunk);
  log.close();
  return readFileSync(path, 'latin1');
}

describe('CappedLog', () => {
  it('keeps all of what fits', () => {
    expect(logged([Buffer.from('abc'), Buffer.from('defg')], 8)).toBe('abcdefg');
  });

  it('keeps the first and the last half of what does not, and counts the rest', () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 30 });
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 10 }), (chunks, half) => {
        const buffers = chunks.map((chunk) => Buffer.from(chunk));
        const whole = Buffer.concat(buffers).toString('latin1');
        const omitted = whole.length - 2 * half;
        const expected =
          omitted > 0 ? `${whole.slice(0, half)}\n[${omitted} bytes left out]\n${whole.slice(-half)}` : whole;
        expect(logged(buffers, 2 * half)).toBe(expected);
      }),
      { numRuns: 50 },
    );
  });

  it('quotes the last lines', () => {
    const log = new CappedLog(path, 4);
    log.write(Buffer.from('one\ntwo\n'));
    log.write(Buffer.from('three\n'));
    expect(log.lastLines(2)).toBe('two\nthree');
    log.close();
  });
});
