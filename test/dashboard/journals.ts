import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { canonicalJson, digestJson } from '../../core/digest.ts';
import { Random } from '../../core/random.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import type { EventPayload } from '../../study/journal/events.ts';
import { journalPath } from '../../study/journal/journal.ts';
import { resolveStudy } from '../../study/resolve-study.ts';
import { latency } from '../report/fixture.ts';

const createdMs = Date.UTC(2026, 10, 3, 14, 5);

/** A made-up journal that grows when it is told to. */
export interface GrowingJournal {
  readonly path: string;
  /** Events in the file. */
  readonly events: number;
  /** Whole lines of one more trial: issued, measured and trained. Not written. */
  next(): string;
  /** Lines of one more event. Not written. */
  line(payload: EventPayload): string;
}

export interface JournalOptions {
  /** Searched and trained. */
  readonly trials: number;
  readonly name?: string;
  /** When the study was created, in milliseconds after the usual time. */
  readonly laterMs?: number;
}

/** Writes the journal of a search that is under way: every trial measured and trained, some failed or too slow. */
export function journalOf(folder: string, { trials, name = 'made-up', laterMs = 0 }: JournalOptions): GrowingJournal {
  const path = journalPath(folder);
  const config = resolveStudy(
    {
      study: name,
      data: 'rendered',
      targets: { cpu: { device: 'cpu' } },
      search: { scale: 'tiny', trials: Math.max(20, trials), round: 4 },
      family: { cpu: ['1x', '2x'] },
    },
    'made up',
  );
  const random = new Random('journal').child(name);
  const spec = parseNetworkSpec(
    {
      input: { channels: 3, resolution: 40 },
      classes: 10,
      stem: { kernel: 3, stride: 2, width: 16 },
      stages: [
        { operator: 'mbconv', kernel: 3, stride: 2, expansion: 4, width: 24, repeats: 2 },
        { operator: 'fused-mbconv', kernel: 5, stride: 2, expansion: 2, width: 40, repeats: 1 },
      ],
      head: { width: 96 },
    },
    'made up',
  );
  let seq = 0;
  let tMs = createdMs + laterMs;
  let issued = 0;
  const line = (payload: EventPayload): string => {
    const event = { schema: 1, seq: seq++, tMs: (tMs += 250), ...payload };
    return `${JSON.stringify({ ...event, crc: crc32(canonicalJson(event)).toString(16).padStart(8, '0') })}\n`;
  };
  const next = (): string => {
    const id = `t${String(++issued).padStart(4, '0')}`;
    const specDigest = digestJson({ issued });
    const p50Ms = 0.02 + 0.2 * random.uniform();
    const accuracy = Math.min(0.99, 0.3 + 0.4 * random.uniform() + p50Ms);
    const issue = line({
      type: 'issued',
      id,
      phase: 'search',
      choices: { 'stage1.kernel': 3, 'stage1.width': 8 * Math.ceil(random.uniform() * 6) },
      spec,
      specDigest,
      fidelity: { examples: 6000, seed: config.seed },
      origin: { by: 'evolution', because: `round ${Math.ceil(issued / 4)} of the search` },
    });
    const { samplesMs: _samplesMs, ...brief } = latency(p50Ms);
    const measured = line({ type: 'measured', id: `cpu ${specDigest}`, target: 'cpu', latency: brief, seconds: 0.5 });
    return `${issue}${measured}${line({ type: 'outcome', id, attempt: 1, outcome: outcomeOf(issued, accuracy) })}`;
  };
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, line({ type: 'study', id: name, action: 'created', config, environment: { node: 'v20' } }));
  let pending = line({ type: 'study', id: name, action: 'opened' });
  pending += line({ type: 'phase', id: 'search', action: 'started' });
  for (let index = 0; index < trials; index++) {
    pending += next();
    if (pending.length < 1 << 22) continue;
    appendFileSync(path, pending);
    pending = '';
  }
  appendFileSync(path, pending);
  return {
    path,
    next,
    line,
    get events() {
      return seq;
    },
  };
}

function outcomeOf(index: number, accuracy: number): Extract<EventPayload, { type: 'outcome' }>['outcome'] {
  if (index % 11 === 7) return { status: 'infeasible', reason: 'latency', detail: 'on cpu', limit: 0.1, observed: 0.2 };
  if (index % 23 === 5) return { status: 'failed', code: 'environment', retry: false, detail: 'the disk was full' };
  return {
    status: 'ok',
    metrics: { accuracy, crossEntropy: 1 - accuracy, params: 44_600, macs: 2_070_000 },
    cost: { trainS: 2.5, measureS: 0, examples: 6000, flops: 1e9, peakRssBytes: 3e8, imagesPerS: 2400 },
    curve: [1, 2, 3, 4].map((step) => ({ examples: 1500 * step, loss: 2.3 / step, accuracy: accuracy * (step / 4) })),
  };
}
