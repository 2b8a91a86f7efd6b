import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { hasRedis, RedisServer } from '../jobs/redis-server.ts';
import { deliveredFile, eventsIn, jsonLines, results, tinyStudy } from './interruptions.ts';
import { ridgepoint, startRidgepoint } from './ridgepoint.ts';

// Measured on a device that the controller's host lacks: the worker offers the computed one under another name.
const study = { ...tinyStudy, targets: { edge: { device: 'edge-board' } } };

function folderWith(file: object): string {
  const cwd = fileFolder();
  writeFileSync(join(cwd, 'tiny.yaml'), JSON.stringify(file));
  writeFileSync(join(cwd, 'worker.yaml'), JSON.stringify({ devices: { 'edge-board': 'simulated' }, slots: 2 }));
  return cwd;
}

// Which profile computes is known to whoever names it: to the worker here, to the study alone.
const asSet = (folder: string) =>
  results(folder)
    .map(canonicalJson)
    .filter((text) => !text.includes('"profile simulated"'))
    .toSorted();

describe.skipIf(!hasRedis)('ridgepoint search --redis and ridgepoint worker', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis.remove());

  it('give together what one machine gives alone', async () => {
    const alone = folderWith(tinyStudy);
    const cwd = folderWith(study);
    const worker = startRidgepoint(['worker', '--redis', redis.url, '--config', 'worker.yaml', '--json'], cwd);
    const [here, there] = await Promise.all([
      ridgepoint(['search', 'tiny.yaml', '--json'], alone),
      ridgepoint(['search', 'tiny.yaml', '--redis', redis.url, '--json'], cwd),
    ]);
    expect(here.code, here.stderr).toBe(0);
    expect(there.code, there.stderr).toBe(0);
    expect(asSet(cwd)).toEqual(asSet(alone));
    expect(deliveredFile(cwd)).toEqual(deliveredFile(alone));
    worker.child.kill('SIGTERM');
    const ended = await worker.ended;
    expect(ended.code, ended.stderr).toBe(0);
    expect(JSON.parse(ended.stdout)).toMatchObject({ schema: 1, stopped: true });
    expect(jsonLines(ended.stderr)[0]).toMatchObject({
      type: 'notice',
      text: expect.stringMatching(/serves train\.built-in × 2, measure\.edge-board × 1$/),
    });
  });

  it('search over rungs, and go on with the same decisions after the study was killed', async () => {
    const cwd = folderWith({
      ...tinyStudy,
      search: { ...tinyStudy.search, controller: 'random', trials: 5, round: 3, examples: [32, 64] },
    });
    const worker = startRidgepoint(['worker', '--redis', redis.url, '--slots', '2', '--json'], cwd);
    const search = ['search', 'tiny.yaml', '--redis', redis.url, '--json'];
    // Once something was promoted, its trainings under way, nothing is said any more.
    const killed = await startRidgepoint(search, cwd, (stderr, child) => {
      if (stderr.includes('successive halving')) child.kill('SIGKILL');
    }).ended;
    expect(killed.code, killed.stderr).toBe(null);
    const before = eventsIn(cwd);
    const { code, stderr } = await ridgepoint(search, cwd);
    expect(code, stderr).toBe(0);
    const events = eventsIn(cwd);
    expect(events.slice(0, before.length)).toEqual(before);
    const answered = new Set(events.flatMap((event) => (event.type === 'outcome' ? [event.id] : [])));
    const issued = events.flatMap((event) => (event.type === 'issued' && event.phase === 'search' ? [event] : []));
    // None that the killed one issued was left behind by other decisions.
    for (const { id } of issued) expect(answered).toContain(id);
    const at = (examples: number) => issued.filter(({ fidelity }) => fidelity.examples === examples);
    expect(at(32)).toHaveLength(5);
    expect(at(64).length).toBeGreaterThanOrEqual(2);
    worker.child.kill('SIGTERM');
    expect((await worker.ended).code).toBe(0);
  });

  it('say what waits for whom, and end at once when interrupted', async () => {
    const cwd = folderWith(study);
    const { ended } = startRidgepoint(['search', 'tiny.yaml', '--redis', redis.url, '--json'], cwd, (stderr, child) => {
      if (stderr.includes('1 wait: there is no worker')) child.kill('SIGINT');
    });
    const { code, stderr } = await ended;
    expect(code, stderr).toBe(130);
  });

  it('refuse what leads nowhere', async () => {
    const cwd = folderWith(study);
    const refused = async (...args: string[]) => {
      const { code, stderr } = await ridgepoint(args, cwd);
      expect(code, stderr).toBe(2);
      return stderr;
    };
    expect(await refused('worker', '--redis', 'redis://:secret@localhost')).toMatch(/expected no password in the URL/);
    expect(await refused('worker', '--redis', redis.url, '--on', 'quantum')).toMatch(/devices\.quantum: expected cpu/);
    expect(await refused('search', 'tiny.yaml', '--store', 'x')).toMatch(/--store: expected --redis beside it/);
  });
});
