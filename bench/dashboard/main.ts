import { appendFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runs } from '../../dashboard/runs.ts';
import { studyPage } from '../../dashboard/study-page.ts';
import { trialQuery } from '../../dashboard/trial-row.ts';
import { renderPage } from '../../dashboard/layout.ts';
import { readJournal } from '../../study/journal/journal.ts';
import { journalOf } from '../../test/dashboard/journals.ts';

// What following a long journal costs: npx tsx bench/dashboard/main.ts [trials]

const trials = Number(process.argv[2] ?? 100_000);
const runs = mkdtempSync(join(tmpdir(), 'ridgepoint-dashboard-'));
const say = (name: string, value: string): void => console.log(`${name.padEnd(44)} ${value}`);
const timed = async <Value>(work: () => Value | Promise<Value>): Promise<readonly [Value, number]> => {
  const startMs = performance.now();
  const value = await work();
  return [value, performance.now() - startMs];
};
const heapMiB = (): number => {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
};

try {
  const journal = journalOf(join(runs, 'long'), { trials });
  say(
    'journal',
    `${(statSync(journal.path).size / 2 ** 20).toFixed(0)} MiB, ${trials} trials, ${journal.events} events`,
  );
  const before = heapMiB();
  const followed = new Runs(runs);
  const [, firstMs] = await timed(() => followed.look());
  const study = followed.study('long');
  if (!study) throw new Error('expected the study to be found');
  say('first reading', `${(firstMs / 1e3).toFixed(1)} s, ${((1e3 * firstMs) / journal.events).toFixed(0)} µs an event`);
  say('memory kept', `${(heapMiB() - before).toFixed(0)} MiB (run node with --expose-gc for a true figure)`);
  const looks: number[] = [];
  for (let index = 0; index < 20; index++) {
    appendFileSync(journal.path, journal.next());
    looks.push((await timed(() => followed.look()))[1]);
  }
  say('a look after one more trial, median', `${looks.toSorted((a, b) => a - b)[10]?.toFixed(1)} ms`);
  const draw = () =>
    renderPage(studyPage(study, trialQuery(new URLSearchParams()), Date.now()), {
      hasFleet: false,
      hasQueues: false,
      path: '/',
    });
  await timed(draw);
  const [page, drawMs] = await timed(draw);
  say('the page', `${drawMs.toFixed(0)} ms, ${(page.length / 1024).toFixed(0)} KiB`);
  const sorted = trialQuery(new URLSearchParams('sort=-accuracy&q=round 7'));
  say(
    'the page, filtered by text and sorted',
    `${(await timed(() => studyPage(study, sorted, Date.now())))[1].toFixed(0)} ms`,
  );
  say(
    'for comparison, all of the journal again',
    `${((await timed(() => readJournal(journal.path)))[1] / 1e3).toFixed(1)} s`,
  );
} finally {
  rmSync(runs, { recursive: true, force: true });
}
