import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestBytes } from '../../core/digest.ts';
import { EnvironmentError, InterruptedError } from '../../core/errors.ts';
import { type Latency, latencySchema } from '../../latency/latency.ts';
import { Ledger, type LedgerEntry, type LedgerIdentity, type ModelOrigin } from '../../latency/ledger.ts';
import { candidateModel } from '../../latency/model-file.ts';
import { protocols } from '../../latency/protocol.ts';
import { verifiable, verifyEntry } from '../../latency/verify.ts';
import { parseNetworkSpec } from '../../models/spec.ts';

const fixture = latencySchema.parse(
  JSON.parse(readFileSync(new URL('../fixtures/latency.json', import.meta.url), 'utf8')) as unknown,
);
const host = fixture.fingerprint as NonNullable<Latency['fingerprint']>;
const bytes = new Uint8Array([1, 2, 3]);

let folder: string;
let ledger: Ledger;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ridgepoint-verify-'));
  ledger = new Ledger(join(folder, 'ledger.ndjson'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Adds a latency of a model and returns its entry. */
function added(
  origin: ModelOrigin,
  model: Uint8Array = bytes,
  latency: Partial<Latency> = {},
  at = 0,
  batch = 1,
): LedgerEntry {
  const identity: LedgerIdentity = {
    model: digestBytes(model),
    accelerator: 'cpu',
    batch,
    threads: 1,
    precision: 'fp32',
    scenario: 'single-stream',
    percentile: 50,
    protocol: protocols.quick,
  };
  ledger.add(identity, { ...fixture, ...latency }, origin, new Date(at));
  return ledger.entries.at(-1) as LedgerEntry;
}

const latencyOf = (lo: number, hi: number, stable = true): Latency => ({
  ...fixture,
  p50Ms: Math.sqrt(lo * hi),
  intervalMs: { percentile: 50, level: 0.95, lo, hi },
  stable,
});

const path = (): string => join(folder, 'm.onnx');
const never = () => Promise.reject(new Error('expected no measurement'));

describe('measuring an entry again', () => {
  it.each([
    ['agrees', 'overlap', latencyOf(0.42, 0.45)],
    ['agrees', 'are within 5 % of each other', latencyOf(0.43 * 1.04, 0.5)],
    ['disagrees', 'are further apart, slower', latencyOf(0.43 * 1.06, 0.5)],
    ['disagrees', 'are further apart, faster', latencyOf(0.3, 0.401 / 1.06)],
    ['unstable', 'cannot be relied on', latencyOf(1, 2, false)],
  ])('%s when intervals %s', async (verdict, _, now) => {
    writeFileSync(path(), bytes);
    const entry = added({ path: path() }, bytes, latencyOf(0.401, 0.43));
    const asked: LedgerIdentity[] = [];
    const verified = await verifyEntry(ledger, entry, async (model, identity) => {
      expect(Buffer.from(model)).toEqual(Buffer.from(bytes));
      asked.push(identity);
      return now;
    });
    expect(verified).toMatchObject({ verdict, latency: now });
    expect(asked).toEqual([entry.identity]);
  });

  it('is impossible, and says why, where the file is gone, changed, or was never known', async () => {
    expect(await verifyEntry(ledger, added({ path: path() }), never)).toMatchObject({
      verdict: 'impossible',
      because: expect.stringContaining('m.onnx is gone'),
    });
    writeFileSync(path(), 'another');
    expect(await verifyEntry(ledger, added({ path: path() }), never)).toMatchObject({
      because: expect.stringContaining('another model'),
    });
    expect(await verifyEntry(ledger, added({}), never)).toMatchObject({ because: expect.stringContaining('neither') });
  });

  it('is impossible where the model no longer runs, and goes on to the next; an interruption ends it', async () => {
    writeFileSync(path(), bytes);
    const entry = added({ path: path() });
    const gone = await verifyEntry(ledger, entry, () => Promise.reject(new EnvironmentError('no device')));
    expect(gone).toMatchObject({ verdict: 'impossible', because: 'no device' });
    const stopped = verifyEntry(ledger, entry, () => Promise.reject(new InterruptedError('stopped')));
    await expect(stopped).rejects.toBeInstanceOf(InterruptedError);
  });

  it('builds a candidate again from its spec, and only measures the very same bytes', async () => {
    const spec = parseNetworkSpec(
      {
        input: { resolution: 16 },
        classes: 4,
        stem: { kernel: 3, stride: 2, width: 8 },
        stages: [{ operator: 'mbconv', kernel: 3, stride: 1, expansion: 1, width: 8, repeats: 1 }],
        head: { width: 16 },
      },
      'tiny',
    );
    const model = candidateModel(spec, 2);
    const entry = added({ spec }, model, {}, 0, 2);
    expect(await verifyEntry(ledger, entry, async () => fixture)).toMatchObject({ verdict: 'agrees' });
    expect(await verifyEntry(ledger, added({ spec }, bytes), never)).toMatchObject({
      because: expect.stringContaining('another file'),
    });
  });
});

it('takes the newest stable entry of each key on this host, newest first', async () => {
  added({}, new Uint8Array([1]), { p50Ms: 1 }, 1000);
  added({}, new Uint8Array([2]), { p50Ms: 2 }, 2000);
  added({}, new Uint8Array([1]), { p50Ms: 3 }, 3000);
  added({}, new Uint8Array([1]), { p50Ms: 4, stable: false }, 4000);
  added({}, new Uint8Array([3]), { fingerprint: { ...host, host: 'another' } }, 5000);
  const found = await verifiable(ledger.entries, async () => host);
  expect(found.map(({ latency }) => latency.p50Ms)).toEqual([3, 2]);
  expect(await verifiable(ledger.entries, async () => undefined)).toEqual([]);
});
