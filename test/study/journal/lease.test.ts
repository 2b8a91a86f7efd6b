import { existsSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
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

  it('is not taken over from another host', () => {
    const folder = fresh();
    writeFileSync(join(folder, 'lease.json'), JSON.stringify({ host: 'elsewhere', pid: 1 }));
    expect(() => takeLease(folder)).toThrow(/process 1 on elsewhere/);
  });
});
