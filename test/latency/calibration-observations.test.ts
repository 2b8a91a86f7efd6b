import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { openObservations } from '../../latency/calibration-observations.ts';
import { fingerprint } from '../../latency/fingerprint.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { draws, observed } from './synthetic-device.ts';

const folder = fileFolder();
const common = { threads: 1, seed: '0', fingerprint: fingerprint('cpu') };
const header = { schema: 2 as const, precision: 'fp32' as const, space: 'built-in', ...common };
const [first, second] = draws(2, 'file').map((network, index) => observed(network, new Random(index)));

describe('a file of observations', () => {
  it('gives back what was written, also after a line that was cut off', async () => {
    const path = join(folder, 'cut.ndjson');
    const file = await openObservations(path, header);
    if (first) await file.append(first);
    expect((await openObservations(path, header)).observations).toEqual([first]);
    appendFileSync(path, JSON.stringify(second).slice(0, 100));
    const resumed = await openObservations(path, header);
    expect(resumed.observations).toEqual([first]);
    if (second) await resumed.append(second);
    expect((await openObservations(path, header)).observations).toEqual([first, second]);
  });

  it('is refused when it is of another host, runtime, precision, number of threads, seed or space, by name', async () => {
    const path = join(folder, 'other.ndjson');
    await openObservations(path, header);
    await expect(openObservations(path, { ...header, threads: 2 })).rejects.toThrow(/of this threads \(2\), got 1/);
    await expect(openObservations(path, { ...header, seed: '7' })).rejects.toThrow(/of this seed \(7\), got 0/);
    await expect(openObservations(path, { ...header, precision: 'fp16' })).rejects.toThrow(
      /of this precision \(fp16\), got fp32/,
    );
    await expect(openObservations(path, { ...header, space: 'sha256:1' })).rejects.toThrow(
      /of this space \(sha256:1\), got built-in/,
    );
    const elsewhere = { ...header, fingerprint: { ...header.fingerprint, cpu: 'another' } };
    await expect(openObservations(path, elsewhere)).rejects.toThrow(/of this cpu \(another\)/);
  });

  it('is in fp32 where an earlier version wrote it without a precision on the CPU, and refused where a command may have been asked for another', async () => {
    const path = join(folder, 'earlier.ndjson');
    const write = (fingerprint: object) =>
      writeFileSync(path, `${JSON.stringify({ schema: 1, ...common, fingerprint })}\n${JSON.stringify(first)}\n`);
    write(common.fingerprint);
    expect((await openObservations(path, header)).observations).toEqual([first]);
    await expect(openObservations(path, { ...header, precision: 'fp16' })).rejects.toThrow(
      /precision \(fp16\), got fp32/,
    );
    write({ ...common.fingerprint, provider: 'command:board' });
    await expect(openObservations(path, header)).rejects.toThrow(/line 1: expected the precision .*, got none/);
  });

  it('names the folder that is not there', async () => {
    await expect(openObservations(join(folder, 'none', 'a.ndjson'), header)).rejects.toThrow(
      /none\/a\.ndjson: expected a file that can be written, got ENOENT/,
    );
  });

  it('names the line and the key that are wrong', async () => {
    const path = join(folder, 'wrong.ndjson');
    writeFileSync(path, `${JSON.stringify(header)}\n${JSON.stringify({ ...first, batch: 0 })}\n`);
    await expect(openObservations(path, header)).rejects.toThrow(/wrong\.ndjson, line 2: [^]*batch/);
    writeFileSync(path, `${readFileSync(path, 'utf8').split('\n')[0]}\nnothing\n`);
    await expect(openObservations(path, header)).rejects.toThrow(/line 2: expected JSON/);
  });
});
