import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import type { JournalEvent } from '../../study/journal/events.ts';
import { journalPath, readJournal } from '../../study/journal/journal.ts';
import { type Ended, ridgepoint, startRidgepoint } from './ridgepoint.ts';

/** A study with real, very short trainings. Latency is computed, so two runs of it are comparable. */
export const tinyStudy = {
  study: 'tiny',
  data: { format: 'rendered', classes: 2, train: 80, test: 20, resolution: 16 },
  targets: { edge: { device: 'simulated' } },
  search: { scale: 'tiny', trials: 2, round: 1, examples: 64, finalists: 1, seeds: 1 },
  family: { edge: ['1x'] },
  scale: { trials: 1, round: 1, examples: 64, finalists: 1 },
  final: { examples: 96, seeds: 1, baselines: [] },
  trainer: { parallel: 1 },
};

export function eventsIn(cwd: string, study = 'tiny'): readonly JournalEvent[] {
  return readJournal(journalPath(join(cwd, 'runs', study))).events;
}

/** Runs `ridgepoint search tiny.yaml` and once it wrote so many events to its journal, does something to it. */
export function searchUntil(
  cwd: string,
  events: number,
  interrupt: (child: ChildProcess) => void,
): Promise<Ended & { readonly interrupted: boolean }> {
  let interrupted = false;
  const { ended } = startRidgepoint(['search', 'tiny.yaml', '--json'], cwd, (stderr, child) => {
    if (interrupted || (stderr.match(/"seq":/g)?.length ?? 0) < events) return;
    interrupted = true;
    interrupt(child);
  });
  return ended.then((end) => ({ ...end, interrupted }));
}

export function searchToTheEnd(cwd: string): Promise<Ended> {
  return ridgepoint(['search', 'tiny.yaml', '--json'], cwd);
}

/** What contracts.md compares: decisions and outcomes, without times, speeds and memory. */
export function results(cwd: string): object[] {
  return eventsIn(cwd).flatMap((event): object[] => {
    if (event.type === 'decision') return [{ id: event.id, value: event.value }];
    if (event.type !== 'outcome') return [];
    const { outcome } = event;
    return [
      outcome.status === 'ok' ? { id: event.id, metrics: outcome.metrics, checkpoint: outcome.checkpoint } : event,
    ];
  });
}

export function deliveredFile(cwd: string): Buffer {
  return readFileSync(join(cwd, 'runs', 'tiny', 'family', 'edge', '1x', 'model.onnx'));
}

/** What `--json` prints on stderr: an object a line. */
export function jsonLines(stderr: string): unknown[] {
  return stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}
