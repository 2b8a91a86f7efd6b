import { existsSync, mkdtempSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { digestBytes, shortDigest } from '../../../core/digest.ts';
import { StudyBusyError, takeLease } from '../../../study/journal/lease.ts';

const fresh = () => mkdtempSync(join(tmpdir(), 'lease-'));

describe('lease of a study folder', () => {
  it('is held by one at a time and given back', () => {
    const folder = fresh();
    const release = takeLease(folder);
    expect(() => takeLease(folder)).toThrow(StudyBusyError);
    release();
    takeLease(folder)();
    expect(existsSync(join(folder, 'lease.json'))).toBe(false);
  });

  it('is given back once, and never another’s of the same name', () => {
    const folder = fresh();
    const release = takeLease(folder);
    renameSync(folder, `${folder}.moved`);
    const releaseOther = takeLease(folder);
    release();
    expect(existsSync(join(folder, 'lease.json'))).toBe(true);
    releaseOther();
    const releaseThird = takeLease(folder);
    releaseOther();
    expect(() => takeLease(folder)).toThrow(StudyBusyError);
    releaseThird();
  });

  it('is taken over from a process of this host that died', () => {
    const folder = fresh();
    const { pid } = spawnSync(process.execPath, ['--version']);
    writeFileSync(join(folder, 'lease.json'), JSON.stringify({ host: hostname(), pid }));
    takeLease(folder)();
  });

  it('is taken over by one of two who find the same dead holder', () => {
    const folder = fresh();
    const path = join(folder, 'lease.json');
    writeFileSync(path, JSON.stringify({ host: hostname(), pid: 4_194_305, token: 'dead' }));
    let release: (() => void) | undefined;
    // The second is done with all of it after the first has found the holder dead, and before it does anything about that.
    const lives = (): boolean => {
      release ??= takeLease(folder, () => false);
      return false;
    };
    expect(() => takeLease(folder, lives)).toThrow(StudyBusyError);
    expect(() => takeLease(folder)).toThrow(StudyBusyError);
    expect(readdirSync(folder)).toEqual(['lease.json']);
    release?.();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is taken over where whoever began to take it over died, and not while that one lives', () => {
    const folder = fresh();
    const found = JSON.stringify({ host: hostname(), pid: 4_194_305, token: 'dead' });
    writeFileSync(join(folder, 'lease.json'), found);
    const successor = `lease.json.${shortDigest(digestBytes(found))}.1`;
    writeFileSync(join(folder, successor), JSON.stringify({ host: hostname(), pid: process.pid, token: 'taking' }));
    expect(() => takeLease(folder)).toThrow(`process ${process.pid} on`);
    expect(readdirSync(folder)).toEqual(['lease.json', successor]);
    const release = takeLease(folder, () => false);
    expect(readdirSync(folder)).toEqual(['lease.json']);
    release();
  });

  it('is taken over where a host lost its power and left nothing in the file', () => {
    const folder = fresh();
    writeFileSync(join(folder, 'lease.json'), '');
    const release = takeLease(folder);
    expect(() => takeLease(folder)).toThrow(StudyBusyError);
    release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is not taken over from another host', () => {
    const folder = fresh();
    writeFileSync(join(folder, 'lease.json'), JSON.stringify({ host: 'elsewhere', pid: 1 }));
    expect(() => takeLease(folder)).toThrow(/process 1 on elsewhere/);
  });
});
