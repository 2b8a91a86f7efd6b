import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../cli/exit.ts';
import { EnvironmentError, InterruptedError, UnreachableLimitError } from '../../core/errors.ts';
import type { Outcome } from '../../core/trial.ts';
import type { StudyConfig } from '../../study/study-file.ts';
import type { JournalEvent } from '../../study/journal/events.ts';
import { eventsOf, newFolder, runFake, smallStudy } from './small-study.ts';

const search = { scale: 'tiny', controller: 'random', trials: 12, round: 4, examples: 100, finalists: 1, seeds: 1 };
const family = { edge: ['1x'] };

interface Searched {
  readonly events: readonly JournalEvent[];
  readonly answered: readonly { readonly id: string; readonly outcome: Outcome }[];
  /** Trials that were trained while searching. */
  readonly trained: readonly string[];
}

/** Runs a study until its search is over. */
async function searched(
  config: StudyConfig,
  failure?: { readonly call: number; readonly outcome: Outcome },
): Promise<Searched> {
  const folder = newFolder();
  const controller = new AbortController();
  const trained: string[] = [];
  const onEvent = ({ type, id }: JournalEvent) => {
    if (type === 'decision' && id === 'base') controller.abort();
  };
  const answer = (call: number, { id }: { readonly id: string }) => {
    trained.push(id);
    return call === failure?.call ? failure.outcome : undefined;
  };
  await runFake(config, folder, { signal: controller.signal, onEvent, answer }).catch((error: unknown) => {
    if (!(error instanceof InterruptedError)) throw error;
  });
  const events = eventsOf(folder);
  const answered = events.flatMap((event) =>
    event.type === 'outcome' ? [{ id: event.id, outcome: event.outcome }] : [],
  );
  return { events, answered, trained };
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const infeasible = ({ answered }: Searched) =>
  answered.flatMap(({ id, outcome }) => (outcome.status === 'infeasible' ? [{ id, ...outcome }] : []));

describe('a hard limit', () => {
  let free: Searched;

  beforeAll(async () => {
    free = await searched(smallStudy({ search, family }));
  });

  it('on latency keeps candidates from being trained, and only those that are over it', async () => {
    const latencies = free.events.flatMap((event) => (event.type === 'measured' ? [event.latency.p50Ms] : []));
    const limitMs = median(latencies);
    const targets = { edge: { device: 'simulated', allow: 'predicted', limit: `p90 < ${limitMs}ms` } };
    const limited = await searched(smallStudy({ search, family, targets }));
    const over = infeasible(limited);
    expect(over.length).toBeGreaterThan(2);
    for (const { reason, limit, observed } of over) {
      expect(reason).toBe('latency');
      expect(limit).toBeCloseTo(limitMs, 12);
      expect(observed).toBeGreaterThan(limitMs);
    }
    expect(limited.trained.length).toBeGreaterThan(2);
    expect(limited.trained.filter((id) => over.some((other) => other.id === id))).toEqual([]);
    for (const { outcome } of limited.answered)
      if (outcome.status === 'ok') expect(outcome.metrics['latencyMs.edge']).toBeLessThanOrEqual(limitMs);
  });

  it('on memory needs no measuring either', async () => {
    const bytes = free.answered.flatMap(({ outcome }) =>
      outcome.status === 'ok' ? [(outcome.metrics['weightBytes'] ?? 0) + 4 * (outcome.metrics['peakBytes'] ?? 0)] : [],
    );
    const memory = median(bytes);
    const targets = { edge: { device: 'simulated', batch: 4, memory: `${memory}B` } };
    const limited = await searched(smallStudy({ search, family, targets }));
    const over = infeasible(limited);
    expect(over.length).toBeGreaterThan(2);
    const digests = new Map(
      limited.events.flatMap((event) => (event.type === 'issued' ? [[event.id, event.specDigest]] : [])),
    );
    for (const { id, reason, limit, observed } of over) {
      expect({ reason, limit }).toEqual({ reason: 'memory', limit: memory });
      expect(observed).toBeGreaterThan(memory);
      expect(limited.trained).not.toContain(id);
      expect(limited.events.map((event) => event.id)).not.toContain(`edge ${digests.get(id)}`);
    }
    expect(limited.trained.length).toBeGreaterThan(2);
  });

  it('leaves room for the largest size: the base may have a quarter of it when 4x is asked for', async () => {
    const targets = { edge: { device: 'simulated', allow: 'predicted', limit: 'p50 < 0.4ms' } };
    const limited = await searched(smallStudy({ search, family: { edge: ['1x', '4x'] }, targets }));
    for (const { limit } of infeasible(limited)) expect(limit).toBeCloseTo(0.1, 12);
  });

  it('that nothing can meet ends the study with the nearest candidate named, nothing trained', async () => {
    const folder = newFolder();
    const targets = { edge: { device: 'simulated', allow: 'predicted', limit: 'p50 < 1us' } };
    let calls = 0;
    const answer = () => {
      calls++;
      return undefined;
    };
    const error = await runFake(smallStudy({ search, family, targets }), folder, { answer }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UnreachableLimitError);
    expect(exitCodeOf(error)).toBe(4);
    const smallest = Math.min(
      ...eventsOf(folder).flatMap((event) => (event.type === 'measured' ? [event.latency.p50Ms] : [])),
    );
    expect(String(error)).toMatch(/none of 12 candidates.*the nearest, t\d{4}, has latency/);
    expect(String(error)).toContain(`${smallest.toPrecision(3)} against 0.00100`);
    expect(calls).toBe(0);
    expect(existsSync(join(folder, 'family'))).toBe(false);
  });
});

const failure = (retry: boolean) =>
  ({ status: 'failed', code: 'environment', retry, detail: 'the disk is full' }) as const;

async function failing(config: StudyConfig, answer: (call: number) => Outcome | undefined) {
  const folder = newFolder();
  let calls = 0;
  const error = await runFake(config, folder, {
    answer: (call) => {
      calls = call;
      return answer(call);
    },
  }).catch((e: unknown) => e);
  return { error, calls };
}

describe('a failing environment', () => {
  it('stops the study after the first five failures, quoting the cause', async () => {
    const { error, calls } = await failing(smallStudy({ search }), () => failure(false));
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(exitCodeOf(error)).toBe(5);
    expect(String(error)).toContain('5 of 5 evaluations failed');
    expect(String(error)).toContain('environment: the disk is full');
    expect(calls).toBe(5);
  });

  it('is tried three times a candidate where trying again may help', async () => {
    const { error, calls } = await failing(smallStudy({ search }), () => failure(true));
    expect(error).toBeInstanceOf(EnvironmentError);
    // Attempts count: with the second candidate's third one, six have failed.
    expect(String(error)).toContain('6 of 6 evaluations failed');
    expect(calls).toBe(6);
  });

  it('stops the study when too large a share fails later', async () => {
    const config = smallStudy({ search, failures: { stopAfterFirst: 2, maxShare: '40%' } });
    const { error } = await failing(config, (call) => (call > 3 ? failure(false) : undefined));
    expect(String(error)).toContain('3 of 6 evaluations failed');
  });

  it('is named even when fewer candidates fail than would stop the study', async () => {
    const { error } = await failing(smallStudy({ search: { ...search, trials: 3 } }), () => failure(false));
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(String(error)).toContain('the disk is full');
  });

  it('does not stop the study while failures are few', async () => {
    const { events, answered } = await searched(smallStudy({ search, family }), { call: 2, outcome: failure(false) });
    expect(answered.filter(({ outcome }) => outcome.status === 'failed').map(({ id }) => id)).toEqual(['t0002']);
    expect(events.some(({ type, id }) => type === 'decision' && id === 'base')).toBe(true);
  });
});
