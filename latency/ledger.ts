import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { canonicalJson, digestJson } from '../core/digest.ts';
import { EnvironmentError } from '../core/errors.ts';
import { networkSpecSchema } from '../models/spec.ts';
import { transformerSpecSchema } from '../models/transformer.ts';
import { type Fingerprint, latencySchema } from './latency.ts';
import { protocolSchema } from './protocol.ts';
import { quantile } from '../core/quantile.ts';

const identitySchema = z.strictObject({
  /** Digest of the ONNX file's bytes. */
  model: z.string().startsWith('sha256:'),
  accelerator: z.string(),
  batch: z.int().positive(),
  threads: z.int().positive(),
  precision: latencySchema.shape.precision,
  scenario: z.literal('single-stream'),
  percentile: z.int(),
  protocol: protocolSchema,
});
/** What was measured, and how: two measurements of the same identity and fingerprint should agree. */
export type LedgerIdentity = z.infer<typeof identitySchema>;

const entrySchema = z.strictObject({
  schema: z.literal(1),
  at: z.iso.datetime(),
  /** Digest of identity and fingerprint. */
  key: z.string(),
  identity: identitySchema,
  /** Where the model was, from the ledger's folder. A hint: its digest decides. */
  path: z.string().optional(),
  /** Of a candidate, which is built again from it. */
  spec: z.union([networkSpecSchema, transformerSpecSchema]).optional(),
  latency: latencySchema,
});
/** One line of a ledger. */
export type LedgerEntry = z.infer<typeof entrySchema>;

/** Where a model is from, so that it can be measured again. */
export type ModelOrigin = Pick<LedgerEntry, 'path' | 'spec'>;

/** Key of a measurement on a host. */
export function ledgerKey(identity: LedgerIdentity, fingerprint: Fingerprint): string {
  return digestJson({ identity, fingerprint });
}

/** Name of the ledger of a folder of studies. */
export const ledgerName = 'ledger.ndjson';

/** Entries of this host that the reference's quiet time is taken from, whatever their verdict: a host may change for good. */
const quietMemory = 24;
/** Fewer say nothing. */
const leastQuiet = 3;

/**
 * Latencies that were measured, shared by everything that measures on one file system: lines are only ever added,
 * each by one write at the file's end, so several processes may write at once. A line that is torn (a full disk, a
 * crash), damaged or of another version is passed over: what it held is measured again.
 */
export class Ledger {
  readonly path: string;
  readonly #entries: LedgerEntry[] = [];
  #readBytes = 0;
  #unreadable = 0;

  /** Nothing is written, nor any folder made, before the first {@link Ledger.add}. */
  constructor(path: string) {
    this.path = resolve(path);
  }

  /** In the order of writing, those of other processes included. */
  get entries(): readonly LedgerEntry[] {
    this.#read();
    return this.#entries;
  }

  /** Lines so far that were passed over. */
  get unreadable(): number {
    this.#read();
    return this.#unreadable;
  }

  /** The newest stable latency of this identity on this host. */
  find(identity: LedgerIdentity, fingerprint: Fingerprint): LedgerEntry | undefined {
    const key = ledgerKey(identity, fingerprint);
    return this.entries.findLast((entry) => entry.key === key && entry.latency.stable);
  }

  /**
   * Time of the reference kernel on this host when it is quiet, in milliseconds: the fast end of recent measurements.
   * Undefined while fewer than three are known.
   */
  quietReferenceMs(accelerator: string, threads: number, fingerprint: Fingerprint): number | undefined {
    const here = canonicalJson(fingerprint);
    const known = this.entries
      .filter(
        ({ latency, identity }) =>
          identity.accelerator === accelerator &&
          identity.threads === threads &&
          canonicalJson(latency.fingerprint) === here,
      )
      .flatMap(({ latency }) => latency.referenceMs ?? [])
      .slice(-quietMemory);
    return known.length < leastQuiet ? undefined : quantile(Float64Array.from(known).sort(), 0.1);
  }

  /**
   * Adds a latency; one without a fingerprint is of nowhere, and is not added.
   * @param origin its path is taken from the ledger's folder. @throws {EnvironmentError} when it cannot be written.
   */
  add(identity: LedgerIdentity, latency: LedgerEntry['latency'], origin: ModelOrigin, at: Date): void {
    if (!latency.fingerprint) return;
    const folder = dirname(this.path);
    const entry: LedgerEntry = {
      schema: 1,
      at: at.toISOString(),
      key: ledgerKey(identity, latency.fingerprint),
      identity,
      ...(origin.path === undefined ? {} : { path: relative(folder, resolve(origin.path)) }),
      ...(origin.spec === undefined ? {} : { spec: origin.spec }),
      latency,
    };
    try {
      mkdirSync(folder, { recursive: true });
      const descriptor = openSync(this.path, 'a+');
      try {
        const line = Buffer.from(`${JSON.stringify({ ...entry, crc: checksum(entry) })}\n`);
        // What a crash tore must not take this line with it.
        const bytes = endsTorn(descriptor) ? Buffer.concat([Buffer.from('\n'), line]) : line;
        const written = writeSync(descriptor, bytes);
        if (written < bytes.length) throw new Error(`${written} of ${bytes.length} bytes were written`);
      } finally {
        closeSync(descriptor);
      }
    } catch (cause) {
      throw new EnvironmentError(`${this.path}: expected to append a latency, but ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  /** Where an entry's model was. */
  modelPath({ path }: LedgerEntry): string | undefined {
    return path === undefined ? undefined : resolve(dirname(this.path), path);
  }

  /** Whole lines that were added since. */
  #read(): void {
    if (!existsSync(this.path)) return;
    const descriptor = openSync(this.path, 'r');
    try {
      const added = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - this.#readBytes));
      const bytes = added.subarray(0, readSync(descriptor, added, 0, added.length, this.#readBytes));
      const end = bytes.lastIndexOf(10) + 1;
      this.#readBytes += end;
      for (const line of bytes.toString('utf8', 0, end).split('\n')) {
        if (line === '') continue;
        const entry = parseLine(line);
        if (entry) this.#entries.push(entry);
        else this.#unreadable++;
      }
    } finally {
      closeSync(descriptor);
    }
  }
}

function endsTorn(descriptor: number): boolean {
  const { size } = fstatSync(descriptor);
  if (size === 0) return false;
  const last = Buffer.alloc(1);
  readSync(descriptor, last, 0, 1, size - 1);
  return last[0] !== 10;
}

function parseLine(line: string): LedgerEntry | undefined {
  try {
    const { crc, ...entry } = JSON.parse(line) as { crc?: unknown };
    return crc === checksum(entry) ? entrySchema.safeParse(entry).data : undefined;
  } catch {
    return undefined;
  }
}

/** Over canonical JSON without the checksum itself. */
function checksum(entry: object): string {
  return crc32(canonicalJson(entry)).toString(16).padStart(8, '0');
}
