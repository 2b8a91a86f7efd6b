import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  deliveredFile,
  eventsIn,
  jsonLines,
  results,
  searchToTheEnd,
  searchUntil,
  tinyStudy,
} from './interruptions.ts';
import { fileFolder } from '../cases/file-folder.ts';

function folderWithStudy(): string {
  const cwd = fileFolder();
  writeFileSync(join(cwd, 'tiny.yaml'), JSON.stringify(tinyStudy));
  return cwd;
}

describe('ridgepoint search, interrupted and killed', () => {
  it('says how to go on at Ctrl-C, and ends after a kill -9 as if nothing had happened', async () => {
    const whole = folderWithStudy();
    const uninterrupted = await searchToTheEnd(whole);
    expect(uninterrupted.code, uninterrupted.stderr).toBe(0);
    expect(JSON.parse(uninterrupted.stdout)).toMatchObject({ schema: 1, summary: { finished: true } });

    const cwd = folderWithStudy();
    // The sixth event says that the first candidate was measured; it is being trained then.
    const stopped = await searchUntil(cwd, 6, (child) => child.kill('SIGINT'));
    expect(stopped.code).toBe(130);
    expect(stopped.stdout).toBe('');
    const said = jsonLines(stopped.stderr);
    const notice =
      'stopping; run "ridgepoint search tiny.yaml" again to go on from here (press Ctrl-C again to stop at once)';
    expect(said).toContainEqual(expect.objectContaining({ type: 'notice', text: notice }));
    expect(said.at(-1)).toEqual({
      type: 'error',
      exitCode: 130,
      message: 'interrupted; everything finished so far is kept',
    });

    const journalled = eventsIn(cwd).length;
    // It adds its opening, and is killed while the next training or two are under way.
    const killed = await searchUntil(cwd, 5, (child) => child.kill('SIGKILL'));
    expect(killed).toMatchObject({ code: null, interrupted: true });
    expect(eventsIn(cwd).length).toBeGreaterThan(journalled);

    const last = await searchToTheEnd(cwd);
    expect(last.code, last.stderr).toBe(0);
    expect(results(cwd)).toEqual(results(whole));
    expect(deliveredFile(cwd)).toEqual(deliveredFile(whole));
    expect(eventsIn(cwd).filter((event) => event.type === 'study' && event.action === 'opened')).toHaveLength(3);
  });
});
