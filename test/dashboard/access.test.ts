import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../core/errors.ts';
import { Gate, isLoopback, tokenFor } from '../../dashboard/access.ts';

const secret = 'correct horse battery staple';

describe('the token', () => {
  it('is not needed on this machine alone', () => {
    for (const host of ['127.0.0.1', '127.8.0.1', 'localhost', '::1']) {
      expect(isLoopback(host)).toBe(true);
      expect(tokenFor({ host, wanted: false }, {})).toBeUndefined();
    }
  });

  it('is demanded for every other address', () => {
    for (const host of ['0.0.0.0', '::', '192.168.1.5', '127.evil.example', 'dash.example'])
      expect(() => tokenFor({ host, wanted: false }, {})).toThrow(/--host .*: expected a token/);
  });

  it('is generated anew each time, long enough that nobody guesses it', () => {
    const [one, other] = [0, 1].map(() => tokenFor({ host: '0.0.0.0', wanted: true }, {}));
    expect(one).toMatchObject({ generated: true });
    expect(Buffer.from(one?.secret ?? '', 'base64url').length).toBe(32);
    expect(one?.secret).not.toBe(other?.secret);
  });

  it('is that of the environment, its file first, and short ones are refused without being shown', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ridgepoint-token-'));
    const file = join(folder, 'token');
    writeFileSync(file, `${secret}\n`);
    const env = { RIDGEPOINT_DASHBOARD_TOKEN: 'short', RIDGEPOINT_DASHBOARD_TOKEN_FILE: file };
    expect(tokenFor({ host: '0.0.0.0', wanted: false }, env)).toEqual({ secret, generated: false });
    rmSync(folder, { recursive: true });
    expect(() => tokenFor({ host: '0.0.0.0', wanted: false }, env)).toThrow(ConfigError);
    const short = { RIDGEPOINT_DASHBOARD_TOKEN: 'hunter2' };
    expect(() => tokenFor({ host: '127.0.0.1', wanted: false }, short)).toThrow(/at least 16 characters, got 7/);
    expect(() => tokenFor({ host: '127.0.0.1', wanted: false }, short)).not.toThrow(/hunter2/);
  });
});

describe('the gate', () => {
  const local = new Gate({ host: '127.0.0.1', names: [], secret: undefined });
  const open = new Gate({ host: '0.0.0.0', names: ['Dash.example'], secret });

  it.each([
    ['127.0.0.1:8720', true, true],
    ['localhost:9000', true, true],
    ['[::1]:8720', true, true],
    ['192.168.1.5:8720', false, true],
    ['dash.example', false, true],
    ['evil.example:8720', false, false],
    ['127.0.0.1.evil.example', false, false],
    ['localhost.evil.example', false, false],
    ['127.0.0.1:8720@evil.example', false, false],
    ['', false, false],
    [undefined, false, false],
  ])('asked for as %s: on this machine %s, on all addresses %s', (host, here, everywhere) => {
    expect(local.knowsHost({ host })).toBe(here);
    expect(open.knowsHost({ host })).toBe(everywhere);
  });

  it('knows pages of its own, people who follow links, and programs; not pages from elsewhere', () => {
    const host = '127.0.0.1:8720';
    expect(local.knowsOrigin({ host })).toBe(true);
    expect(local.knowsOrigin({ host, origin: 'http://127.0.0.1:8720' })).toBe(true);
    expect(local.knowsOrigin({ host, 'sec-fetch-site': 'same-origin' })).toBe(true);
    const followed = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
    expect(local.knowsOrigin({ host, ...followed })).toBe(true);
    expect(local.knowsOrigin({ host, ...followed, 'sec-fetch-dest': 'iframe' })).toBe(false);
    expect(local.knowsOrigin({ host, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' })).toBe(false);
    expect(local.knowsOrigin({ host, 'sec-fetch-site': 'same-site' })).toBe(false);
    for (const origin of ['http://evil.example', 'http://127.0.0.1:9999', 'null'])
      expect(local.knowsOrigin({ host, origin })).toBe(false);
  });

  it('admits the token in the header and its proof in the cookie, and nothing else', () => {
    expect(open.admits({ authorization: `Bearer ${secret}` }, 'c')).toBe(true);
    expect(open.admits({ cookie: `a=1; c=${open.session}; b=2` }, 'c')).toBe(true);
    expect(open.admits({}, 'c')).toBe(false);
    expect(open.admits({ authorization: `Bearer ${secret}x` }, 'c')).toBe(false);
    expect(open.admits({ authorization: `Basic ${secret}` }, 'c')).toBe(false);
    expect(open.admits({ cookie: `other=${open.session}` }, 'c')).toBe(false);
    expect(open.admits({ cookie: `c=${secret}` }, 'c')).toBe(false);
    expect(open.session).not.toContain(secret);
    expect(local.admits({}, 'c')).toBe(true);
    expect(local.isToken('')).toBe(false);
  });
});
