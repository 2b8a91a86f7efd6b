import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import { Random } from '../../core/random.ts';
import { deliveredFile, results, searchToTheEnd, searchUntil, tinyStudy } from './interruptions.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const asSet = (where: string) => results(where).map(canonicalJson).toSorted();

describe('ridgepoint search, killed again and again', () => {
  it.each([1, 2])('comes to the same end with %i trainings at once', async (parallel) => {
    const study = {
      ...tinyStudy,
      search: { ...tinyStudy.search, trials: 4, round: 2, finalists: 2, seeds: 2 },
      family: { edge: ['1x', '2x'] },
      trainer: { parallel },
    };
    const folderWithStudy = () => {
      const cwd = fileFolder();
      writeFileSync(join(cwd, 'tiny.yaml'), JSON.stringify(study));
      return cwd;
    };
    const whole = folderWithStudy();
    expect((await searchToTheEnd(whole)).code).toBe(0);

    const cwd = folderWithStudy();
    const random = new Random('kill').child(parallel);
    let kills = 0;
    for (; kills < 100; kills++) {
      // At least one event more than its opening, so that every session gets on.
      const { interrupted, code, stderr } = await searchUntil(cwd, 2 + random.integer(12), (child) =>
        child.kill('SIGKILL'),
      );
      if (interrupted) continue;
      expect(code, stderr).toBe(0);
      break;
    }
    expect(kills).toBeGreaterThan(3);
    expect((await searchToTheEnd(cwd)).code).toBe(0);
    expect(asSet(cwd)).toEqual(asSet(whole));
    expect(deliveredFile(cwd)).toEqual(deliveredFile(whole));
  });
});

describe('ridgepoint check', () => {
  it('takes a tiny candidate through every step and leaves nothing behind', async () => {
    const cwd = fileFolder();
    writeFileSync(join(cwd, 'tiny.yaml'), JSON.stringify(tinyStudy));
    const { code, stdout, stderr } = await ridgepoint(['check', 'tiny.yaml', '--json'], cwd);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 1, ok: true });
    expect((await ridgepoint(['status', 'runs/tiny'], cwd)).code).toBe(2);
  });
});
