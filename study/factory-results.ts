import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { renderFactoryReport } from '../report/factory-report.ts';
import { familyCsv } from '../report/tables.ts';
import { ResultFiles } from './deliver/result-files.ts';
import { factoryFamily, factoryJournal, type FactorySummary, summariseFactory } from './factory-summary.ts';
import type { JournalEvent } from './journal/events.ts';
import { readJournal } from './journal/journal.ts';

/** Whether a folder holds the scaling of a factory, rather than a study. */
export function isFactoryFolder(folder: string): boolean {
  return existsSync(join(folder, factoryJournal));
}

/** Everything the folder of a finished scaling shows, again, from its journal. @throws {ConfigError} when it is not finished. */
export function rebuildFactoryResults(folder: string): FactorySummary {
  return writeFactoryResults(folder, readJournal(join(folder, factoryJournal)).events);
}

/** Writes the family as JSON and as a table, the report, and last the manifest. Delivered files are in place. */
export function writeFactoryResults(folder: string, events: readonly JournalEvent[]): FactorySummary {
  const summary = summariseFactory(events, folder);
  const { name, families } = summary;
  const files = new ResultFiles(folder);
  files.write('family.json', `${JSON.stringify(factoryFamily(summary), null, 2)}\n`);
  files.write('family.csv', familyCsv(summary));
  for (const { members } of families) for (const { file, digest } of members) files.add(file, digest);
  files.write('report.html', renderFactoryReport(summary));
  files.add(factoryJournal);
  files.writeManifest({ ...summary, study: name, finished: true });
  return summary;
}
