import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EnvironmentError } from '../../core/errors.ts';
import { Runs } from '../../dashboard/runs.ts';
import { Dashboard, type DashboardOptions } from '../../dashboard/server.ts';
import { renderReport } from '../../report/html.ts';
import type { StudySummary } from '../../study/deliver/summary.ts';
import { latency, studySummary } from '../report/fixture.ts';
import { trainingAttempts } from '../../commands/trainer.ts';
import { trainingsFolder } from '../../study/evaluation/command-evaluator.ts';
import { readJournal } from '../../study/journal/journal.ts';
import { takeLease } from '../../study/journal/lease.ts';
import { SentEvents } from './event-source.ts';
import { type GrowingJournal, journalOf } from './journals.ts';

let runs: string;
let journal: GrowingJournal;
let dashboard: Dashboard;
const notices: string[] = [];

async function open(options: Partial<DashboardOptions> = {}): Promise<void> {
  dashboard = await Dashboard.open({
    runs: new Runs(runs),
    host: '127.0.0.1',
    port: 0,
    onNotice: (text) => notices.push(text),
    ...options,
  });
  await dashboard.look();
}

beforeEach(() => {
  runs = mkdtempSync(join(tmpdir(), 'ridgepoint-runs-'));
  journal = journalOf(join(runs, 'one'), { trials: 60 });
  notices.length = 0;
});
afterEach(async () => {
  await dashboard.close();
  rmSync(runs, { recursive: true });
  expect(notices).toEqual([]);
});

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${dashboard.url}${path}`, { headers, redirect: 'manual' });
const textOf = async (path: string): Promise<string> => (await get(path)).text();

const idsIn = async (query: string): Promise<string[]> =>
  [...(await textOf(`/studies/one${query}`)).matchAll(/<tr id="(t\d+)">/g)].map(([, id = '']) => id);
const events = (): string => `${dashboard.url}/studies/one/events`;
const sign = (token: string, next: string): Promise<Response> => {
  const body = new URLSearchParams({ token, next });
  return fetch(`${dashboard.url}/sign-in`, { method: 'POST', body, redirect: 'manual' });
};

/** A trial as the journal has it. */
function followedTrial(id: string) {
  const { events } = readJournal(journal.path);
  return events.find((event) => event.type === 'issued' && event.id === id) as { specDigest: string } | undefined;
}

/** A request whose path and headers are sent as they are; `fetch` would tidy them. */
function raw(path: string, headers: Record<string, string>, method = 'GET'): Promise<{ status: number; body: string }> {
  const { port } = new URL(dashboard.url);
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers, method }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

describe('the pages', () => {
  it('list the studies of a folder with what each is doing', async () => {
    journalOf(join(runs, 'two & <b>'), { trials: 3, name: 'two' });
    const release = takeLease(join(runs, 'one'));
    await open();
    const page = await textOf('/');
    expect(page).toContain('href="/studies/one"');
    expect(page).toContain('href="/studies/two%20%26%20%3Cb%3E"');
    expect(page).not.toContain('<b>"');
    expect(page).toMatch(/one<\/a>.*?running.*?two &amp; &lt;b&gt;<\/a>.*?stopped|two.*?stopped.*?one<\/a>.*?running/s);
    expect((await get('/studies/two%20%26%20%3Cb%3E')).status).toBe(200);
    release();
  });

  it('show a study alone when the folder is one', async () => {
    await open({ runs: new Runs(join(runs, 'one')) });
    expect(await textOf('/studies/one')).toContain('Trials');
    expect(await textOf('/studies/one')).toMatch(/device hours<\/\w+>\s*<\w+[^>]*>[\d.]+/);
  });

  it('show where a study stands, its front and its trials', async () => {
    await open();
    const page = await textOf('/studies/one');
    const issued = 60;
    expect(page).toContain(`${issued}\u00a0trials`);
    expect(page).toMatch(/<svg class="chart"[^>]*aria-label="Hold-out accuracy against latency/);
    expect(page).toMatch(/<dt>failed<\/dt><dd><span class="bad">! 2/);
    expect(page).toContain('★');
  });

  it('count a network that was promoted to another rung once', async () => {
    const issued = readJournal(journal.path).events.find(({ type }) => type === 'issued');
    if (issued?.type !== 'issued') throw new Error('it has trials');
    const promoted = { ...issued, id: 't0061', fidelity: { ...issued.fidelity, examples: 18_000 } };
    const { schema: _schema, seq: _seq, tMs: _tMs, ...payload } = promoted;
    const outcome = { status: 'infeasible' as const, reason: 'diverged' as const };
    appendFileSync(
      journal.path,
      journal.line(payload) + journal.line({ type: 'outcome', id: 't0061', attempt: 1, outcome }),
    );
    await open();
    const page = await textOf('/studies/one');
    expect(page).toContain('t0061');
    expect(/(\d+) of at most 60 candidates/.exec(page)?.[1]).toBe('60');
  });

  it('filter and sort by what the address says', async () => {
    await open();
    expect(await idsIn('?status=failed')).toEqual(['t0028', 't0005']);
    expect(await idsIn('?status=failed&sort=id')).toEqual(['t0005', 't0028']);
    expect(await idsIn('?q=t0042')).toEqual(['t0042']);
    expect((await idsIn('')).length).toBe(50);
    expect((await idsIn('?page=2')).length).toBe(10);
    expect((await idsIn('?page=99')).length).toBe(10);
  });

  it('tell the whole of a trial, and keep to the trials there are', async () => {
    await open();
    const page = await textOf('/studies/one/trials/t0002');
    for (const part of ['Why, and what became of it', 'proposed by evolution', 'Training', 'Latency', 'Part by part'])
      expect(page).toContain(part);
    expect(page).toMatch(/aria-label="\d+ blocks from 40 × 40 pixels to 10 classes"/);
    expect((await get('/studies/one/trials/t9999')).status).toBe(404);
    expect((await get('/studies/nobody')).status).toBe(404);
    expect((await get('/studies/one/trials/%ff')).status).toBe(404);
  });

  it('offer the logs of a training program, as text whatever they hold', async () => {
    await open();
    const { specDigest = '' } = followedTrial('t0002') ?? {};
    const attempts = trainingAttempts(trainingsFolder(join(runs, 'one')), { id: 't0002', specDigest, seed: 0 });
    mkdirSync(join(attempts, '1'), { recursive: true });
    writeFileSync(join(attempts, '1', 'log.txt'), '<script>alert(1)</script>');
    expect(await textOf('/studies/one/trials/t0002')).toContain('/studies/one/trials/t0002/logs/1');
    const log = await get('/studies/one/trials/t0002/logs/1');
    expect(log.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(await log.text()).toBe('<script>alert(1)</script>');
    for (const other of ['2', '%2e%2e%2f1', ''])
      expect((await get(`/studies/one/trials/t0002/logs/${other}`)).status).not.toBe(200);
  });

  it('go on when a journal is damaged where it was read before, and say so', async () => {
    await open();
    const damaged = readFileSync(journal.path, 'utf8').replaceAll('"by":"evolution"', '"by":"evolutiom"');
    writeFileSync(journal.path, damaged);
    const page = await get('/studies/one/trials/t0002');
    expect([page.status, await page.text()]).toEqual([
      200,
      expect.stringMatching(/role="alert".*line \d+: expected the event that was read there before/s),
    ]);
  });

  it('say what is wrong with a damaged journal, and mend when it is mended', async () => {
    const whole = readFileSync(journal.path);
    const lines = whole.toString().split('\n');
    writeFileSync(journal.path, lines.with(5, '{"broken":true}').join('\n'));
    await open();
    expect(await textOf('/studies/one')).toMatch(/damaged.*line 6: expected a journal event/s);
    writeFileSync(journal.path, whole);
    await dashboard.look();
    expect(await textOf('/studies/one')).not.toContain('damaged line');
  });

  it('offer nothing that changes anything', async () => {
    await open();
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
      for (const path of ['/', '/studies/one', '/queues/api/queues/pause'])
        expect((await fetch(`${dashboard.url}${path}`, { method })).status).toBe(405);
    const before = readFileSync(journal.path);
    await textOf('/studies/one');
    expect(readFileSync(journal.path)).toEqual(before);
  });

  it('need nothing from elsewhere, and allow no script but their own', async () => {
    await open();
    for (const path of ['/', '/studies/one', '/studies/one/trials/t0001', '/style.css', '/client.js']) {
      const response = await get(path);
      const policy = response.headers.get('content-security-policy') ?? '';
      expect(policy).toContain("default-src 'none'");
      expect(policy).toMatch(/script-src 'self';/);
      expect(policy).toContain("frame-ancestors 'none'");
      const text = await response.text();
      expect(text.match(/(?:https?:)?\/\/[a-z0-9.-]+\.[a-z]{2,}/gi) ?? []).toEqual([]);
      expect(text).not.toMatch(/<script(?! src="\/client\.js")| on\w+="/);
    }
  });

  it('answer probes with that they are there, and no more', async () => {
    await open({ secret: 'a token that nobody guesses' });
    const response = await raw('/health', { host: '10.1.2.3:80' });
    expect(response.status).toBe(200);
    expect(Object.keys(JSON.parse(response.body) as object)).toEqual(['status', 'version']);
  });

  it('say when the port is taken', async () => {
    await open();
    const port = Number(new URL(dashboard.url).port);
    const again = Dashboard.open({ runs: new Runs(runs), host: '127.0.0.1', port });
    await expect(again).rejects.toThrow(EnvironmentError);
    await expect(again).rejects.toThrow(/EADDRINUSE/);
  });
});

describe('who may see the page', () => {
  const secret = 'a token that nobody guesses';

  it('is not who asks by a name that is not ours, as a rebound name would', async () => {
    await open();
    expect((await raw('/', { host: 'evil.example' })).status).toBe(421);
    expect((await raw('/studies/one/events', { host: 'evil.example:8720' })).body).not.toContain('data:');
    expect((await raw('/', { host: 'localhost:1234' })).status).toBe(200);
  });

  it('is not a page from elsewhere', async () => {
    await open();
    const { host } = new URL(dashboard.url);
    expect((await raw('/', { host, origin: 'http://evil.example' })).status).toBe(403);
    expect((await raw('/events', { host, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' })).status).toBe(403);
  });

  it('is who shows the token, in a header or by signing in', async () => {
    await open({ secret });
    for (const path of ['/studies/one', '/studies/one/events', '/studies/one/files/journal.jsonl', '/events'])
      expect((await get(path)).status).toBe(401);
    expect((await get('/studies/one', { authorization: `Bearer ${secret}` })).status).toBe(200);
    const asked = await get('/studies/one?q=x', { accept: 'text/html' });
    expect([asked.status, asked.headers.get('location')]).toEqual([303, '/sign-in?next=%2Fstudies%2Fone%3Fq%3Dx']);
    const wrong = await sign('wrong', '/');
    expect([wrong.status, wrong.headers.get('set-cookie')]).toEqual([401, null]);
    expect(await wrong.text()).toContain('That is not the token');
    const right = await sign(secret, '/studies/one?q=x');
    expect([right.status, right.headers.get('location')]).toEqual([303, '/studies/one?q=x']);
    const cookie = right.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/HttpOnly; SameSite=Lax; Path=\//);
    expect(cookie).not.toContain(secret);
    expect((await get('/studies/one', { cookie: cookie.split(';')[0] ?? '' })).status).toBe(200);
    for (const next of ['//evil.example', 'https://evil.example', '/\\evil.example', '/\r\nset-cookie: a=b'])
      expect((await sign(secret, next)).headers.get('location')).toBe('/');
    expect((await sign('x'.repeat(5000), '/')).status).toBe(401);
  });

  it('is who opens the address that was told, which forgets the token at once', async () => {
    await open({ secret });
    const first = await get(`/studies/one?token=${encodeURIComponent(secret)}&q=x`);
    expect([first.status, first.headers.get('location')]).toEqual([303, '/studies/one?q=x']);
    const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? '';
    const page = await get('/studies/one?q=x', { cookie });
    expect(page.status).toBe(200);
    expect(await page.text()).not.toContain(secret);
    expect((await get('/?token=wrong')).status).toBe(401);
  });
});

/** What a report may link: every variant of every network, and a shared network in both precisions. */
function reportOfEverything(): StudySummary {
  const summary = studySummary({ targets: 2 });
  const variant = { testAccuracy: 0.6, holdoutAccuracy: 0.6, latency: latency(0.5), limitMet: null, accuracyChange: 0 };
  return {
    ...summary,
    targets: summary.targets.map((target) => ({
      ...target,
      lines: target.lines.map((line) => ({
        ...line,
        members: line.members.map((member) => ({
          ...member,
          variants: (['fp16', 'int8'] as const).map((precision) => ({
            ...variant,
            precision,
            file: `family/${target.name}/${member.size}/model-${precision}.onnx`,
            speedUp: { ratio: 1, verdict: 'alike' } as const,
          })),
        })),
      })),
    })),
    acrossTargets: summary.acrossTargets && {
      ...summary.acrossTargets,
      shared: summary.acrossTargets.shared.map((shared) => ({
        ...shared,
        files: ['shared/2x/model.onnx', 'shared/2x/model-fp16.onnx'],
      })),
    },
  };
}

describe('files', () => {
  beforeEach(() => {
    const folder = join(runs, 'one');
    mkdirSync(join(folder, 'family', 'cpu', '1x'), { recursive: true });
    writeFileSync(join(folder, 'family', 'cpu', '1x', 'model.onnx'), 'onnx');
    writeFileSync(join(folder, 'report.html'), '<style>a{}</style>');
    writeFileSync(join(folder, 'data.bin'), 'pictures');
    writeFileSync(join(runs, 'secret.txt'), 'secret');
    symlinkSync(join(runs, 'secret.txt'), join(folder, 'trials.csv'));
    mkdirSync(join(runs, 'outside'));
    writeFileSync(join(runs, 'outside', 'card.md'), 'secret');
    symlinkSync(join(runs, 'outside'), join(folder, 'family', 'cpu', 'link'));
  });

  it('are those a study delivers', async () => {
    await open();
    expect(await textOf('/studies/one/files/family/cpu/1x/model.onnx')).toBe('onnx');
    const report = await get('/studies/one/files/report.html');
    expect(report.headers.get('content-security-policy')).toMatch(/default-src 'none'.*sandbox/);
    expect(await textOf('/studies/one/files/journal.jsonl')).toBe(readFileSync(journal.path, 'utf8'));
  });

  it('are all that a report links: variants and the family of all targets, too', async () => {
    await open();
    const links = [...renderReport(reportOfEverything()).matchAll(/href="\.\/([^"]+)"/g)].map(([, link = '']) => link);
    expect(links).toEqual(
      expect.arrayContaining([
        'family/gateway/2x/model.onnx',
        'family/gateway/2x/model-int8.onnx',
        'shared/2x/model.onnx',
        'shared/2x/model-fp16.onnx',
      ]),
    );
    for (const path of [...links, 'shared.csv', 'across-targets.json', 'shared/2x/metrics.json']) {
      mkdirSync(dirname(join(runs, 'one', path)), { recursive: true });
      writeFileSync(join(runs, 'one', path), path);
      expect([path, await textOf(`/studies/one/files/${path}`)]).toEqual([path, path]);
    }
    expect(await textOf('/studies/one')).toMatch(/files\/shared\.csv.*files\/across-targets\.json/s);
  });

  it.each([
    '/studies/one/files/data.bin',
    '/studies/one/files/family/cpu/model.onnx',
    '/studies/one/files/shared/model.onnx',
    '/studies/one/files/shared/..%2ffamily/cpu/1x/model.onnx',
    '/studies/one/files/artefacts/shared/1x/model.onnx',
    '/studies/one/files/lease.json',
    '/studies/one/files/trials.csv',
    '/studies/one/files/family/cpu/link/card.md',
    '/studies/one/files/../../secret.txt',
    '/studies/one/files/%2e%2e/%2e%2e/secret.txt',
    '/studies/one/files/family/cpu/..%2f..%2f..%2f..%2fsecret.txt/card.md',
    '/studies/one/files/family/..%5c..%5csecret/1x/card.md',
    '/studies/one/files//etc/passwd',
    '/studies/one/files/%2fetc%2fpasswd',
    '/studies/one/files/report.html%00.csv',
    '/studies/../secret.txt',
    '/studies/%2e%2e/files/secret.txt',
    '/client.js/../../package.json',
  ])('are not %s', async (path) => {
    await open();
    const { host } = new URL(dashboard.url);
    const { status, body } = await raw(path, { host });
    expect([status, body.includes('secret\n') || body === 'secret']).toEqual([404, false]);
  });
});

describe('the stream of a study', () => {
  it('tells what changed while the journal grows', async () => {
    await open();
    const stream = await SentEvents.open(events());
    const first = await stream.next();
    expect(first).toMatchObject({ type: 'change', data: { version: first.id } });
    appendFileSync(journal.path, journal.next());
    await dashboard.look();
    expect(await stream.next()).toMatchObject({ data: { events: journal.events, changed: ['t0061'] } });
    const torn = journal.next();
    appendFileSync(journal.path, torn.slice(0, 100));
    await dashboard.look();
    appendFileSync(journal.path, torn.slice(100));
    await dashboard.look();
    expect(await stream.next()).toMatchObject({ data: { changed: ['t0062'] } });
    stream.close();
  });

  it('goes on after the event that was heard last, and is silent when nothing was missed', async () => {
    await open();
    const stream = await SentEvents.open(events());
    const { id } = await stream.next();
    stream.close();
    for (let index = 0; index < 3; index++) appendFileSync(journal.path, journal.next());
    await dashboard.look();
    const resumed = await SentEvents.open(events(), { 'last-event-id': id });
    const missed = await resumed.next();
    expect(missed.data).toMatchObject({ changed: ['t0061', 't0062', 't0063'] });
    resumed.close();
    const silent = await SentEvents.open(events(), { 'last-event-id': missed.id });
    appendFileSync(journal.path, journal.next());
    await dashboard.look();
    // The first thing it says is of what came after.
    expect((await silent.next()).data).toMatchObject({ changed: ['t0064'] });
    silent.close();
  });

  it('resumes over a restart of the server', async () => {
    await open();
    const stream = await SentEvents.open(events());
    const { id } = await stream.next();
    await dashboard.close();
    appendFileSync(journal.path, journal.next());
    await open();
    const resumed = await SentEvents.open(events(), { 'last-event-id': id });
    expect((await resumed.next()).data).toMatchObject({ changed: ['t0061'] });
    resumed.close();
  });

  it('says when another journal took the place of the one that was followed', async () => {
    await open();
    const stream = await SentEvents.open(`${events()}?since=`);
    const { id } = await stream.next();
    journalOf(join(runs, 'one'), { trials: 2, laterMs: 60_000 });
    await dashboard.look();
    const next = await stream.next();
    expect(next.id).not.toBe(id);
    expect(next.data).toMatchObject({ restarted: true });
    stream.close();
  });

  it('tells when the study is begun and stopped, though nothing was written', async () => {
    await open();
    const stream = await SentEvents.open(events());
    expect((await stream.next()).id).toMatch(/-stopped$/);
    const release = takeLease(join(runs, 'one'));
    await dashboard.look();
    expect((await stream.next()).id).toMatch(/-running$/);
    release();
    stream.close();
  });

  it('of all studies tells of new ones', async () => {
    await open();
    const stream = await SentEvents.open(`${dashboard.url}/events`);
    await stream.next();
    journalOf(join(runs, 'later'), { trials: 1 });
    await dashboard.look();
    expect((await stream.next()).id).toContain('later:');
    stream.close();
  });
});
