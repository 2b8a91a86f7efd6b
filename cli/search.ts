import { defineCommand } from 'citty';
import { dirname, join, resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { ledgerName } from '../latency/ledger.ts';
import { summaryTable } from '../report/terminal.ts';
import { describePlan } from '../study/plan.ts';
import { runStudy, type StudyOptions } from '../study/study.ts';
import { readStudyFile, type StudyConfig } from '../study/study-file.ts';
import { interruptible, openReporter } from './progress.ts';

const defaultRuns = 'runs';

/** `ridgepoint search study.yaml`: the whole job. */
export const command = defineCommand({
  args: {
    study: { type: 'positional', description: 'study file (YAML)', required: true },
    runs: { type: 'string', description: 'folder that holds studies', default: defaultRuns },
    'dry-run': {
      type: 'boolean',
      description: 'print the resolved study, the size of its space and what it would cost; run nothing',
    },
    redis: {
      type: 'string',
      description: 'have workers at this Redis train, and measure on devices this host lacks: redis://host:port',
    },
    store: { type: 'string', description: 'with --redis: folder of files by digest that the workers see too' },
    json: { type: 'boolean', description: 'one JSON object on stdout at the end, events as NDJSON on stderr' },
  },
  async run({ args }) {
    if (args.store !== undefined && args.redis === undefined)
      throw new ConfigError('--store: expected --redis beside it, got none');
    const config = readStudyFile(args.study, { elsewhere: args.redis !== undefined });
    if (args['dry-run']) return console.log(await describePlan(config, { json: args.json ?? false }));
    await runWithProgress(config, {
      folder: join(args.runs, config.study),
      json: args.json ?? false,
      again: againCommand(args),
      fleet: args.redis === undefined ? undefined : await fleetAt(args.redis, args.store ?? join(args.runs, 'store')),
    });
  },
});

/** The command that goes on with what was interrupted. */
function againCommand(args: {
  readonly study: string;
  readonly runs: string;
  readonly redis?: string | undefined;
  readonly store?: string | undefined;
}): string {
  const { study, runs, redis, store } = args;
  const flags = { runs: runs === defaultRuns ? undefined : runs, redis, store };
  const given = Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [` --${name} ${value}`]));
  return `ridgepoint search ${study}${given.join('')}`;
}

/** Loaded when asked for: without --redis nothing of the queue is. */
async function fleetAt(url: string, store: string): Promise<StudyOptions['fleet']> {
  const [{ redisPlace }, { fleetOver }] = await Promise.all([
    import('../jobs/connection.ts'),
    import('../jobs/fleet.ts'),
  ]);
  return fleetOver(redisPlace(url), resolve(store));
}

/** Runs a study with a progress display and prints its result. */
export async function runWithProgress(
  config: StudyConfig,
  options: { folder: string; json: boolean; again: string; fleet?: StudyOptions['fleet'] },
): Promise<void> {
  const reporter = openReporter(options);
  const signal = interruptible(reporter, `run "${options.again}" again to go on from here`);
  try {
    const summary = await runStudy(config, {
      folder: options.folder,
      // Beside the studies of one folder: what one has measured, the next need not.
      ledger: join(dirname(options.folder), ledgerName),
      signal,
      fleet: options.fleet,
      onProgress: reporter.progress,
      onNotice: (text) => {
        reporter.finish();
        reporter.notice(text);
      },
      onEvent: reporter.event,
    });
    reporter.finish();
    if (options.json) console.log(JSON.stringify({ schema: 1, folder: options.folder, summary }));
    else console.log(summaryTable(summary, options.folder));
  } finally {
    reporter.finish();
  }
}
