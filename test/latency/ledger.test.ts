import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Latency, latencySchema } from '../../latency/latency.ts';
import { Ledger, type LedgerIdentity } from '../../latency/ledger.ts';
import { protocols } from '../../latency/protocol.ts';

const fixture = latencySchema.parse(
  JSON.parse(readFileSync(new URL('../fixtures/latency.json', import.meta.url), 'utf8')) as unknown,
);
const host = fixture.fingerprint as NonNullable<Latency['fingerprint']>;
const identity: LedgerIdentity = {
  model: `sha256:${'a'.repeat(64)}`,
  accelerator: 'cpu',
  batch: 1,
  threads: 1,
  precision: 'fp32',
  scenario: 'single-stream',
  percentile: 50,
  protocol: protocols.quick,
};
const at = new Date('2026-11-21T10:00:00Z');

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ridgepoint-ledger-'));
  path = join(folder, 'runs', 'ledger.ndjson');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const filled = (...latencies: Partial<Latency>[]): Ledger => {
  const ledger = new Ledger(path);
  for (const latency of latencies) ledger.add(identity, { ...fixture, ...latency }, {}, at);
  return ledger;
};

describe('a ledger', () => {
  it('writes nothing before something is added', () => {
    expect(new Ledger(path).find(identity, host)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
  });

  it('gives the newest stable latency of the same identity on the same host, from any process', () => {
    filled({ p50Ms: 0.41 }, { p50Ms: 0.42 }, { p50Ms: 0.9, stable: false });
    const found = new Ledger(path).find(identity, host);
    expect(found).toMatchObject({ at: at.toISOString(), latency: { p50Ms: 0.42, stable: true } });
    expect(found?.latency).toEqual({ ...fixture, p50Ms: 0.42 });
  });

  it.each<[string, Partial<LedgerIdentity>]>([
    ['model', { model: `sha256:${'b'.repeat(64)}` }],
    ['accelerator', { accelerator: 'webgpu' }],
    ['batch', { batch: 2 }],
    ['threads', { threads: 2 }],
    ['percentile', { percentile: 99 }],
    ['protocol', { protocol: { ...protocols.quick, capMs: 3001 } }],
  ])('keeps latencies of another %s apart', (_, other) => {
    expect(filled({}).find({ ...identity, ...other }, host)).toBeUndefined();
  });

  it.each(['host', 'cpu', 'runtime', 'os', 'node'] as const)('keeps those of another %s apart', (key) => {
    expect(filled({}).find(identity, { ...host, [key]: 'another' })).toBeUndefined();
  });

  it('sees what others add after it was opened', () => {
    const ledger = new Ledger(path);
    expect(ledger.entries).toHaveLength(0);
    filled({}, {});
    expect(ledger.entries).toHaveLength(2);
    filled({});
    expect(ledger.entries).toHaveLength(3);
  });

  it('loses only the line that was torn, damaged or is of another version', () => {
    filled({ p50Ms: 0.41 });
    const [whole] = readFileSync(path, 'utf8').split('\n') as [string];
    appendFileSync(path, whole.slice(0, 200));
    filled({ p50Ms: 0.42 });
    appendFileSync(path, `${whole.replace('0.41', '0.31')}\n${whole.replace('"schema":1', '"schema":2')}\nnot JSON\n`);
    const ledger = filled({ p50Ms: 0.43 });
    expect(ledger.entries.map(({ latency }) => latency.p50Ms)).toEqual([0.41, 0.42, 0.43]);
    expect(ledger.unreadable).toBe(4);
  });

  it('waits for the rest of a line that is being written', () => {
    filled({});
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.slice(0, 300));
    const ledger = new Ledger(path);
    expect([ledger.entries.length, ledger.unreadable]).toEqual([0, 0]);
    writeFileSync(path, text);
    expect(ledger.entries).toHaveLength(1);
  });

  it('keeps a path as it is seen from the ledger, so that a folder of studies can move', () => {
    const ledger = new Ledger(path);
    ledger.add(identity, fixture, { path: join(folder, 'models', 'm.onnx') }, at);
    expect(ledger.entries[0]?.path).toBe(join('..', 'models', 'm.onnx'));
    expect(ledger.modelPath(ledger.entries[0] as (typeof ledger.entries)[number])).toBe(
      join(folder, 'models', 'm.onnx'),
    );
  });

  it('adds nothing that has no fingerprint', () => {
    filled({ fingerprint: null });
    expect(existsSync(path)).toBe(false);
  });

  it('holds every line of several processes that add at once', async () => {
    const child = fileURLToPath(new URL('./ledger-child.ts', import.meta.url));
    const loader = import.meta.resolve('tsx');
    const script = `for i in 1 2 3; do "$0" --import "$1" "$2" "$3" 40 & done; wait`;
    const { status, stderr } = spawnSync('sh', ['-c', script, process.execPath, loader, child, path]);
    expect([status, String(stderr)]).toEqual([0, '']);
    const ledger = new Ledger(path);
    expect([ledger.entries.length, ledger.unreadable]).toEqual([120, 0]);
  });
});

describe("the reference's quiet time", () => {
  it('is the fast end of what this host showed, unstable measurements included', () => {
    const ledger = filled({ referenceMs: 0.5, stable: false }, { referenceMs: 0.4 }, { referenceMs: 0.45 });
    const quietMs = ledger.quietReferenceMs('cpu', 1, host) ?? 0;
    expect(quietMs).toBeGreaterThanOrEqual(0.4);
    expect(quietMs).toBeLessThan(0.42);
  });

  it('is not known from fewer than three, of other threads, or of another host', () => {
    const ledger = filled({ referenceMs: 0.5 }, { referenceMs: 0.4 }, {});
    expect(ledger.quietReferenceMs('cpu', 1, host)).toBeUndefined();
    filled({ referenceMs: 0.4 });
    expect(ledger.quietReferenceMs('cpu', 1, host)).toBeDefined();
    expect(ledger.quietReferenceMs('cpu', 2, host)).toBeUndefined();
    expect(ledger.quietReferenceMs('cpu', 1, { ...host, host: 'another' })).toBeUndefined();
  });

  it('follows a host that became slower for good', () => {
    const ledger = filled(...Array.from({ length: 30 }, (_, index) => ({ referenceMs: index < 5 ? 0.4 : 0.6 })));
    expect(ledger.quietReferenceMs('cpu', 1, host)).toBeCloseTo(0.6, 12);
  });
});
