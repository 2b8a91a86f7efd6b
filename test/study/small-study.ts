import { appendFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InterruptedError } from '../../core/errors.ts';
import { SimulatedClock } from '../../core/clock.ts';
import { journalPath, readJournal } from '../../study/journal/journal.ts';
import type { JournalEvent } from '../../study/journal/events.ts';
import { runStudy, type StudyOptions } from '../../study/study.ts';
import { resolveStudy } from '../../study/resolve-study.ts';
import type { StudyConfig } from '../../study/study-file.ts';
import type { StudySummary } from '../../study/deliver/summary.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { FakeEvaluator, type FakeEvaluatorOptions } from './fake-evaluator.ts';

/** A study file that goes through every phase in seconds: generated pictures, a simulated device. */
export const smallStudyFile = {
  study: 'small',
  data: { format: 'rendered', classes: 4, train: 200, test: 50, resolution: 16 },
  targets: { edge: { device: 'simulated' } },
  search: { controller: 'evolution', scale: 'tiny', trials: 6, round: 3, examples: 100, finalists: 2, seeds: 2 },
  family: { edge: ['1x', '2x'] },
  scale: { trials: 2, round: 2, examples: 100, finalists: 1 },
  final: { examples: 200, seeds: 1, baselines: [{ rule: 'dWr' }] },
};

/** {@link smallStudyFile} with other top-level keys. */
export function smallStudy(changes: object = {}): StudyConfig {
  return resolveStudy({ ...smallStudyFile, ...changes }, join(tmpdir(), 'small.yaml'));
}

export function newFolder(): string {
  return join(fileFolder(), 'small');
}

/** Runs a study with a {@link FakeEvaluator} on a simulated clock that goes on where the journal's stops. */
export async function runFake(
  config: StudyConfig,
  folder: string,
  options: Omit<FakeEvaluatorOptions, 'data' | 'artefacts' | 'clock'> &
    Pick<StudyOptions, 'signal' | 'onEvent' | 'onNotice' | 'makeMeter'> = {},
): Promise<{ readonly summary: StudySummary; readonly calls: readonly string[] }> {
  const { signal, onEvent, onNotice, makeMeter, ...fake } = options;
  let lastMs = Date.UTC(2026, 0, 1);
  try {
    lastMs = eventsOf(folder).at(-1)?.tMs ?? lastMs;
  } catch {
    // A new study.
  }
  const clock = new SimulatedClock(lastMs);
  let evaluator: FakeEvaluator | undefined;
  const summary = await runStudy(config, {
    folder,
    clock,
    signal,
    onEvent,
    onNotice,
    ...(makeMeter && { makeMeter }),
    makeEvaluator: (data, artefacts) => {
      evaluator = new FakeEvaluator({ ...fake, data, artefacts, clock });
      return evaluator;
    },
  });
  return { summary, calls: evaluator?.calls ?? [] };
}

/** Runs a study with fakes up to the first event that `last` picks, which ends it; its events. */
export async function eventsUntil(
  config: StudyConfig,
  last: (event: JournalEvent) => boolean,
  options: Parameters<typeof runFake>[2] & { readonly folder?: string } = {},
): Promise<readonly JournalEvent[]> {
  const { folder = newFolder(), onEvent, ...rest } = options;
  const controller = new AbortController();
  const stop = (event: JournalEvent) => {
    onEvent?.(event);
    if (last(event)) controller.abort();
  };
  await runFake(config, folder, { ...rest, signal: controller.signal, onEvent: stop }).catch((error: unknown) => {
    if (!(error instanceof InterruptedError)) throw error;
  });
  return eventsOf(folder);
}

export function eventsOf(folder: string): readonly JournalEvent[] {
  return readJournal(journalPath(folder)).events;
}

/** Events as an uninterrupted study would have them: without places, times and openings. */
export function story(events: readonly JournalEvent[]): object[] {
  return events.flatMap(({ seq: _seq, tMs: _tMs, ...event }) => {
    if (event.type === 'study') return [];
    return [event.type === 'measured' ? { ...event, seconds: 0 } : event];
  });
}

/** A copy of a study's folder whose journal ends after `count` events, and in the middle of the next. */
export function killedAfter(folder: string, count: number): string {
  const copy = newFolder();
  cpSync(folder, copy, { recursive: true });
  const lines = readFileSync(journalPath(folder), 'utf8').split('\n');
  writeFileSync(
    journalPath(copy),
    lines
      .slice(0, count)
      .map((line) => `${line}\n`)
      .join(''),
  );
  appendFileSync(journalPath(copy), lines[count]?.slice(0, Math.floor(lines[count].length / 2)) ?? '');
  return copy;
}
