import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { openObservations } from '../../latency/calibration-observations.ts';
import { fingerprint } from '../../latency/fingerprint.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { draws, observed } from './synthetic-device.ts';

const folder = fileFolder();
const header = { schema: 1 as const, threads: 1, seed: '0', fingerprint: fingerprint('cpu') };
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

  it('is refused when it is of another host, runtime, number of threads or seed, by name', async () => {
    const path = join(folder, 'other.ndjson');
    await openObservations(path, header);
    await expect(openObservations(path, { ...header, threads: 2 })).rejects.toThrow(/of this threads \(2\), got 1/);
    await expect(openObservations(path, { ...header, seed: '7' })).rejects.toThrow(/of this seed \(7\), got 0/);
    const elsewhere = { ...header, fingerprint: { ...header.fingerprint, cpu: 'another' } };
    await expect(openObservations(path, elsewhere)).rejects.toThrow(/of this cpu \(another\)/);
  });

  it('names the line and the key that are wrong', async () => {
    const path = join(folder, 'wrong.ndjson');
    writeFileSync(path, `${JSON.stringify(header)}\n${JSON.stringify({ ...first, batch: 0 })}\n`);
    await expect(openObservations(path, header)).rejects.toThrow(/wrong\.ndjson, line 2: [^]*batch/);
    writeFileSync(path, `${readFileSync(path, 'utf8').split('\n')[0]}\nnothing\n`);
    await expect(openObservations(path, header)).rejects.toThrow(/line 2: expected JSON/);
  });
});
