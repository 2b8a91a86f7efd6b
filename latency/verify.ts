import { readFile } from 'node:fs/promises';
import { canonicalJson, digestBytes } from '../core/digest.ts';
import { InterruptedError, RidgepointError } from '../core/errors.ts';
import type { Fingerprint, Latency } from './latency.ts';
import { type Ledger, type LedgerEntry, type LedgerIdentity } from './ledger.ts';
import { candidateModel } from './model-file.ts';

/** Intervals that are further apart than this share are of two different latencies. */
const agreement = 0.05;

/** An entry measured again, or why it could not be. */
export type Verified = { readonly entry: LedgerEntry } & (
  | { readonly verdict: 'agrees' | 'disagrees' | 'unstable'; readonly latency: Latency }
  | { readonly verdict: 'impossible'; readonly because: string }
);

/** Measures a model as an entry's was. */
export type MeasureAgain = (model: Uint8Array, identity: LedgerIdentity) => Promise<Latency>;

/**
 * The entries worth verifying on this host: the newest stable one of each key, newest first.
 * @param fingerprintOf of an accelerator, here and now, as the process that measures knows it; undefined where it does not
 * start. It is asked once for each.
 */
export async function verifiable(
  entries: readonly LedgerEntry[],
  fingerprintOf: (accelerator: string) => Promise<Fingerprint | undefined>,
): Promise<LedgerEntry[]> {
  const stable = entries.filter(({ latency }) => latency.stable);
  const here = new Map<string, string | undefined>();
  for (const accelerator of new Set(stable.map(({ identity }) => identity.accelerator))) {
    const fingerprint = await fingerprintOf(accelerator);
    here.set(accelerator, fingerprint && canonicalJson(fingerprint));
  }
  const newest = new Map<string, LedgerEntry>();
  for (const entry of stable)
    if (canonicalJson(entry.latency.fingerprint) === here.get(entry.identity.accelerator)) newest.set(entry.key, entry);
  return [...newest.values()].toSorted((a, b) => (a.at < b.at ? 1 : -1));
}

/**
 * Measures an entry's model again. What cannot be had with the same bytes, or no longer runs here, is said to be.
 * @throws {InterruptedError} when aborted.
 */
export async function verifyEntry(ledger: Ledger, entry: LedgerEntry, measure: MeasureAgain): Promise<Verified> {
  const found = await modelOf(ledger, entry);
  if (typeof found === 'string') return { entry, verdict: 'impossible', because: found };
  const latency = await measure(found, entry.identity).catch((error: unknown) => {
    if (!(error instanceof RidgepointError) || error instanceof InterruptedError) throw error;
    return error.message;
  });
  if (typeof latency === 'string') return { entry, verdict: 'impossible', because: latency };
  return { entry, latency, verdict: verdict(entry.latency, latency) };
}

function verdict(before: Latency, now: Latency): 'agrees' | 'disagrees' | 'unstable' {
  if (!now.stable) return 'unstable';
  return latenciesAgree(before, now) ? 'agrees' : 'disagrees';
}

/** Whether two latencies may be of one thing: their intervals are of one percentile and overlap, but for a twentieth. */
export function latenciesAgree(before: Latency, now: Latency): boolean {
  const [a, b] = [before.intervalMs, now.intervalMs];
  if (a.percentile !== b.percentile || before.per !== now.per) return false;
  return b.lo <= a.hi * (1 + agreement) && a.lo <= b.hi * (1 + agreement);
}

/** The model's bytes, or why they cannot be had. */
async function modelOf(ledger: Ledger, entry: LedgerEntry): Promise<Uint8Array | string> {
  const { identity, spec } = entry;
  const path = ledger.modelPath(entry);
  if (path !== undefined) {
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes && digestBytes(bytes) === identity.model) return bytes;
    return bytes ? `${path} holds another model by now` : `${path} is gone`;
  }
  if (!spec) return 'neither the path nor the spec of its model was kept';
  const bytes = candidateModel(spec, identity.batch);
  return digestBytes(bytes) === identity.model ? bytes : 'its spec makes another file in this version';
}
