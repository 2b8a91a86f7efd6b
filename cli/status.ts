import { defineCommand } from 'citty';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import type { Overview } from '../jobs/overview.ts';
import { journalPath, readStudyEvents } from '../study/journal/journal.ts';
import { leaseHolder } from '../study/journal/lease.ts';
import { type Status, statusOf, whyStill } from '../study/status.ts';

/** `ridgepoint status [runs/x] [--why] [--redis URL]`: where studies stand, running or not, and what waits for whom. */
export const command = defineCommand({
  args: {
    folder: {
      type: 'positional',
      description: "a study's folder, e.g. runs/quickstart; all of --runs when left out",
      required: false,
    },
    runs: { type: 'string', description: 'folder that holds studies', default: 'runs' },
    why: { type: 'boolean', description: 'also why it does not go on' },
    redis: { type: 'string', description: 'also the workers and queues at this Redis: redis://host:port' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const folders = args.folder === undefined ? studiesIn(args.runs) : [args.folder];
    if (folders.length === 0 && args.redis === undefined)
      throw new ConfigError(`${args.runs}: expected a folder that holds studies, found none`);
    const studies = folders.map((folder) => describe(folder));
    const fleet = args.redis === undefined ? undefined : await fleetAt(args.redis);
    if (args.json) {
      const [only] = studies;
      const isOne = args.folder !== undefined && fleet === undefined;
      return console.log(JSON.stringify({ schema: 1, ...(isOne ? only : { studies, ...(fleet && { fleet }) }) }));
    }
    for (const { folder, text, why } of studies) {
      console.log(args.folder === undefined ? `${folder}: ${text}` : text);
      if (args.why) for (const line of why) console.log(`  ${line}`);
    }
    if (fleet) console.log(fleetText(fleet, args.why ?? false));
  },
});

function studiesIn(runs: string): string[] {
  if (!existsSync(runs)) return [];
  return readdirSync(runs)
    .toSorted()
    .map((name) => join(runs, name))
    .filter((folder) => existsSync(journalPath(folder)));
}

function describe(folder: string): Status & { readonly folder: string; readonly why: readonly string[] } {
  const events = readStudyEvents(folder);
  return { folder, ...statusOf(events, Date.now()), why: whyStill(events, leaseHolder(folder)) };
}

async function fleetAt(url: string): Promise<Overview> {
  const [{ connectNow, redisPlace }, { overviewOf }] = await Promise.all([
    import('../jobs/connection.ts'),
    import('../jobs/overview.ts'),
  ]);
  const place = redisPlace(url);
  const redis = await connectNow(place);
  try {
    return await overviewOf(redis, place);
  } finally {
    redis.disconnect();
  }
}

function fleetText({ workers, queues, studies }: Overview, isWhy: boolean): string {
  const offers = workers.map(({ host, pid, version, trainers, slots, devices, jobs }) => {
    const trains = slots > 0 && trainers.length > 0 ? [`${trainers.join(', ')} × ${slots}`] : [];
    return `worker ${host} ${pid} (${version}): ${[...trains, ...devices].join(', ')}; ${jobs.length} at work`;
  });
  const states = queues.flatMap(({ queue, waiting, delayed, active, failed, why }) => [
    `queue ${queue}: ${waiting} wait, ${active} at work, ${delayed} put off, ${failed} failed`,
    ...(isWhy ? why.map((line) => `  ${line}`) : []),
  ]);
  const keys = studies.map(
    ({ key, waiting, active, failed }) => `study ${key}: ${waiting} wait, ${active} at work, ${failed} failed`,
  );
  return [...(offers.length > 0 ? offers : ['no worker']), ...states, ...keys].join('\n');
}
