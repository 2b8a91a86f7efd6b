import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { journalOf } from '../dashboard/journals.ts';
import { ridgepoint, startRidgepoint } from './ridgepoint.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ridgepoint-cli-'));
  journalOf(join(folder, 'runs', 'one'), { trials: 8 });
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The command, once it has said the address that it serves at. */
function started(args: readonly string[]): Promise<ReturnType<typeof startRidgepoint> & { readonly url: string }> {
  return new Promise((resolve, reject) => {
    const program = startRidgepoint(['dashboard', '--port', '0', ...args], folder, (text) => {
      const [url] = /http:\/\/\S+/.exec(text) ?? [];
      if (url) resolve({ ...program, url });
    });
    program.ended.then(({ stderr }) => reject(new Error(stderr)), reject);
  });
}

describe('ridgepoint dashboard', () => {
  it('serves the studies of a folder until it is stopped', async () => {
    const { child, ended, url } = await started([]);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    const response = await fetch(url);
    expect([response.status, (await response.text()).includes('</html>')]).toEqual([200, true]);
    expect((await fetch(`${url}client.js`)).headers.get('content-type')).toContain('javascript');
    child.kill('SIGTERM');
    expect((await ended).code).toBe(0);
  });

  it('tells a token that it made once, and lets nobody in without', async () => {
    const { child, ended, url: told } = await started(['--token', '--host', '0.0.0.0']);
    const url = new URL(told);
    url.hostname = '127.0.0.1';
    expect((await fetch(new URL('/', url))).status).toBe(401);
    expect((await fetch(url, { redirect: 'manual' })).status).toBe(303);
    child.kill('SIGTERM');
    const { stderr } = await ended;
    expect(stderr.split(url.searchParams.get('token') ?? '').length).toBe(2);
  });

  it('refuses what would let others read, and what is not there', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const refusals = [
      [['--host', '0.0.0.0'], 2, /--host 0\.0\.0\.0: expected a token/],
      [['--runs', 'nowhere'], 2, /--runs: expected a folder of studies/],
      [['--port', '70000'], 2, /--port: expected at most 65535, got 70000/],
      [['--redis', 'http://x'], 2, /--redis: expected redis:\/\//],
      [['--port', String(port)], 5, /EADDRINUSE/],
    ] as const;
    const answers = await Promise.all(refusals.map(([args]) => ridgepoint(['dashboard', ...args], folder)));
    for (const [index, [args, code, message]] of refusals.entries()) {
      expect([args, answers[index]?.code]).toEqual([args, code]);
      expect(answers[index]?.stderr).toMatch(message);
    }
    taken.close();
  });
});
