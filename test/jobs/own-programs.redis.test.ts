import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../core/digest.ts';
import { fleetOver } from '../../jobs/fleet.ts';
import { readOffer } from '../../jobs/offer.ts';
import { servicesOf } from '../../jobs/services.ts';
import { openStore } from '../../jobs/store-place.ts';
import type { JournalEvent } from '../../study/journal/events.ts';
import { runStudy } from '../../study/study.ts';
import { resolveStudy } from '../../study/resolve-study.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { temporaryFilesIn } from '../cases/temporary-files.ts';
import { eventsOf, smallStudyFile } from '../study/small-study.ts';
import { FleetFixture, storeIn } from './fleet.ts';
import { ObjectServer } from './object-server.ts';
import { hasRedis } from './redis-server.ts';

temporaryFilesIn(fileFolder());
const program = (name: string): string => fileURLToPath(new URL(`../commands/${name}.mjs`, import.meta.url));
const script = JSON.stringify({ describe: { onThisHost: false }, model: ['by-size'] });
const commands = {
  'learner@1': { command: [process.execPath, program('trainer-program'), '{request}'] },
  'board@1': { command: [process.execPath, program('target-program'), script, '{request}'] },
};
const file = {
  ...smallStudyFile,
  search: { ...smallStudyFile.search, trials: 3, finalists: 1, seeds: 1 },
  targets: { edge: { device: 'board' } },
  family: { edge: ['1x'] },
  final: { ...smallStudyFile.final, baselines: [] },
  trainer: { command: 'learner@1', params: {} },
};

/** What was answered and decided as a set, whoever did it, in whatever order, and however long that took. */
const answers = (events: readonly JournalEvent[]) =>
  events
    .flatMap((event) => {
      if (event.type === 'outcome' && event.outcome.status === 'ok') {
        const { metrics, checkpoint } = event.outcome;
        return [canonicalJson({ id: event.id, metrics, checkpoint })];
      }
      return event.type === 'decision' && event.id === 'base' ? [canonicalJson(event.value)] : [];
    })
    .toSorted();

describe.skipIf(!hasRedis)('programs that a worker declares', () => {
  const fleet = new FleetFixture();

  it('train and measure for a study that knows their names only, its files going through S3', async () => {
    const server = new ObjectServer();
    const env = await server.start();
    fleet.closing(() => server.stop());
    const folder = fileFolder();
    // Two hosts: no folder in common, and the programs on one of them.
    const [there, here] = [join(folder, 'there'), join(folder, 'here')];
    const path = join(folder, 'worker.yaml');
    const offered = { devices: { board: 'command:board@1' }, trainers: ['learner@1'], commands, slots: 2 };
    writeFileSync(path, JSON.stringify(offered));
    const offer = { ...readOffer(path, { devices: [], store: storeIn(there) }), remote: 's3://models/team' };
    fleet.worker(servicesOf(offer, 'worker', env));
    const config = resolveStudy(file, join(folder, 'small.yaml'), { elsewhere: true });
    const notices: string[] = [];
    const summary = await runStudy(config, {
      folder: join(folder, 'fleet'),
      fleet: fleetOver(fleet.place, openStore('s3://models/team', storeIn(here), env)),
      onNotice: (text) => void notices.push(text),
    });
    expect(summary.finished, notices.join('\n')).toBe(true);
    expect(server.objects.size).toBeGreaterThan(2);

    const alone = resolveStudy(
      { ...file, commands, targets: { edge: { device: 'command:board@1' } } },
      join(folder, 'small.yaml'),
    );
    await runStudy(alone, { folder: join(folder, 'alone') });
    expect(answers(eventsOf(join(folder, 'fleet')))).toEqual(answers(eventsOf(join(folder, 'alone'))));
    const measured = eventsOf(join(folder, 'fleet')).filter((event) => event.type === 'measured');
    expect(measured.length).toBeGreaterThan(2);
    for (const { latency, seconds } of measured) {
      expect(latency).toMatchObject({ source: 'command', accelerator: 'command:board@1' });
      // The worker's own time, not the wait in the queue.
      expect(seconds).toBeGreaterThan(0);
    }
    expect(summary.deviceHours.spent).toBeGreaterThan(0);
  }, 240_000);
});
