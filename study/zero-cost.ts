import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, systemClock } from '../core/clock.ts';
import { ConfigError, InterruptedError } from '../core/errors.ts';
import { withHostLock } from '../latency/host-lock.ts';
import { openZeroCostChild, zeroCostProxies, type ZeroCostScores } from '../training/zero-cost-proxies.ts';
import type { StudyProgress } from './context.ts';
import type { JournalEvent } from './journal/events.ts';
import { Journal, journalPath, readStudyEvents } from './journal/journal.ts';
import { takeLease } from './journal/lease.ts';
import { type JournalledZeroCost, searchedTrials, zeroCostId } from './search/proxy-audit.ts';
import { StudyRecord } from './journal/record.ts';
import { rebuildResults } from './deliver/results.ts';
import type { StudyConfig } from './study-file.ts';
import type { StudySummary } from './deliver/summary.ts';

export interface ScoreStudyOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
  readonly clock?: Clock;
}

/**
 * Zero-cost proxies of every network that a finished study's search trained, journalled so that its report can hold them
 * against what training made of these networks. What the journal has is not computed again. Holds the study's lease and the host's lock
 * in shared mode, as a training does.
 * @returns the study's results, written anew.
 * @throws {ConfigError} when the folder holds no finished study, or its prepared data is gone.
 * @throws {InterruptedError} when aborted; what was scored until then is kept.
 */
export async function scoreStudy(folder: string, options: ScoreStudyOptions = {}): Promise<StudySummary> {
  const { signal = new AbortController().signal, clock = systemClock } = options;
  expectFinished(readStudyEvents(folder), folder);
  const dataFile = join(folder, 'data.bin');
  if (!existsSync(dataFile))
    throw new ConfigError(
      `${dataFile}: expected the study's prepared data, found none; run the study again, which makes it`,
    );
  const release = takeLease(folder);
  const journal = new Journal(journalPath(folder), clock);
  try {
    const record = new StudyRecord(journal);
    const config = configOf([...journal.events]);
    const waiting = searchedTrials(record, config).filter(
      ({ specDigest }) => record.decision(zeroCostId(specDigest)) === undefined,
    );
    if (waiting.length > 0) {
      // A session of its own: the time since the last one does not count.
      record.append({ type: 'study', id: config.study, action: 'opened' });
      await withHostLock('shared', () => scoreAll(record, { waiting, dataFile, seed: config.seed, ...options }), {
        signal,
      });
      record.append({ type: 'study', id: config.study, action: 'closed' });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new InterruptedError('interrupted; what was scored is kept', { cause: error });
  } finally {
    journal.close();
    release();
  }
  return rebuildResults(folder);
}

interface Work extends ScoreStudyOptions {
  readonly waiting: ReturnType<typeof searchedTrials>;
  readonly dataFile: string;
  readonly seed: number;
}

async function scoreAll(record: StudyRecord, { waiting, dataFile, seed, signal, onProgress }: Work): Promise<void> {
  const child = openZeroCostChild();
  try {
    for (const [index, { id, spec, specDigest }] of waiting.entries()) {
      onProgress?.({ phase: 'proxies', text: `${index + 1}/${waiting.length} scoring ${id} untrained` });
      await record.decideOnce(zeroCostId(specDigest), async () => {
        const { output } = await child.call({ spec, dataFile, seed, threads: 1 }, { ...(signal && { signal }) });
        return { value: { ...journalled(output) }, because: `of ${id}, untrained: mean over starts` };
      });
    }
  } finally {
    await child.close();
  }
}

function journalled({ scores, seconds }: ZeroCostScores): JournalledZeroCost {
  const means = zeroCostProxies.map((name) => {
    const mean = scores[name].reduce((sum, value) => sum + value, 0) / scores[name].length;
    return [name, Number.isFinite(mean) ? mean : null] as const;
  });
  return { ...(Object.fromEntries(means) as Omit<JournalledZeroCost, 'seconds'>), seconds };
}

function configOf(events: readonly JournalEvent[]): StudyConfig {
  const created = events.find((event) => event.type === 'study' && event.action === 'created');
  if (created?.type !== 'study') throw new Error('expected a journal that begins with its study');
  return created.config as StudyConfig;
}

function expectFinished(events: readonly JournalEvent[], folder: string): void {
  if (!events.some((event) => event.type === 'phase' && event.id === 'deliver' && event.action === 'finished'))
    throw new ConfigError(`${folder}: expected a finished study, got one to go on with first`);
}
