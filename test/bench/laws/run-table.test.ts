import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { RunTable } from '../../../bench/laws/run-table.ts';
import { InvalidFileError } from '../../../core/errors.ts';
import { fileFolder } from '../../cases/file-folder.ts';

const folder = fileFolder();

describe('a table of runs', () => {
  it('is begun with its columns, and goes on where it was left', () => {
    const path = join(folder, 'runs.csv');
    new RunTable(path, ['params', 'loss']).add({ loss: 2.5, params: 1000 });
    const again = new RunTable(path, ['params', 'loss']);
    expect(again.rows().map(({ cells }) => cells)).toEqual([{ params: '1000', loss: '2.5' }]);
    again.add({ params: 2000, loss: 2 });
    expect(readFileSync(path, 'utf8')).toBe('params,loss\n1000,2.5\n2000,2\n');
  });

  it.each([['params,loss,seed\n1,2,3\n'], ['loss,params\n2,1\n'], ['params\n']])(
    'of other columns is refused and stays as it is: %j',
    (text) => {
      const path = join(folder, 'other.csv');
      writeFileSync(path, text);
      const open = () => new RunTable(path, ['params', 'loss']);
      expect(open).toThrow(InvalidFileError);
      expect(open).toThrow(`${path}: expected the columns params,loss, got ${text.split('\n')[0]}`);
      expect(readFileSync(path, 'utf8')).toBe(text);
    },
  );

  it('of another benchmark ends the isoFLOP sweep before it trains', async () => {
    const path = join(folder, 'teacher.csv');
    writeFileSync(path, 'dimension,excess\n');
    const script = fileURLToPath(new URL('../../../bench/laws/iso-flop.ts', import.meta.url));
    const run = promisify(execFile)(process.execPath, ['--import', import.meta.resolve('tsx'), script, '--out', path]);
    await expect(run).rejects.toThrow(/expected the columns layers,width,.*, got dimension,excess/);
  });
});
