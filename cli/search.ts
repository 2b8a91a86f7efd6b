import { defineCommand } from 'citty';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { ledgerName } from '../latency/ledger.ts';
import { summaryTable } from '../report/terminal.ts';
import { journalEvents, journalPath } from '../study/journal/journal.ts';
import { describePlan } from '../study/plan.ts';
import type { fleetOver } from '../jobs/fleet.ts';
import type { StudyLog } from '../jobs/log.ts';
import { openRunLog } from '../report/run-log/place.ts';
import type { RunLog } from '../report/run-log/run-log.ts';
import { logTrials } from '../study/train/run-logging.ts';
import { runStudy, type StudyOptions } from '../study/study.ts';
import { readStudyFile } from '../study/resolve-study.ts';
import type { StudyConfig } from '../study/study-file.ts';
import { logArgument } from './arguments.ts';
import { logReporter, openReporter, type Reporter, watchedBy } from './progress.ts';

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
    store: {
      type: 'string',
      description: 'with --redis: folder of files by digest that the workers see too, or s3://bucket/prefix',
    },
    'metrics-port': {
      type: 'string',
      description: 'serve /metrics, /health and /ready while it runs: a port of this host, or host:port',
    },
    log: {
      type: 'string',
      description:
        'how it tells of itself: text, or json for structured lines with study, trial and job; and where else of every trial: tensorboard:<folder>, or mlflow:<address of a tracking server>. Two with a comma between',
      default: 'text',
    },
    json: { type: 'boolean', description: 'one JSON object on stdout at the end, events as NDJSON on stderr' },
  },
  async run({ args }) {
    if (args.store !== undefined && args.redis === undefined)
      throw new ConfigError('--store: expected --redis beside it, got none');
    const config = readStudyFile(args.study, { elsewhere: args.redis !== undefined });
    const json = args.json ?? false;
    if (args['dry-run'])
      return console.log(await describePlan(config, { json, onNotice: openReporter({ json }).notice }));
    const folder = join(args.runs, config.study);
    const { lines, records } = logArgument(args.log);
    if (json && lines === 'json') throw new ConfigError('expected --json or --log json, got both');
    const log = lines === 'json' ? await logOf(config.study) : undefined;
    const metrics = args['metrics-port'] === undefined ? undefined : await metricsAt(args['metrics-port'], folder);
    const cache = join(args.runs, 'store');
    const stores = { store: args.store ?? cache, cache };
    try {
      await runWithProgress(config, {
        folder,
        json,
        again: againCommand(args),
        ...(log && { reporter: logReporter(log) }),
        fleet:
          args.redis === undefined
            ? undefined
            : await fleetAt(args.redis, stores, { ...metrics?.watch, ...(log && { jobs: log.jobs }) }),
        onEvent: metrics?.watch.event,
        ...(records !== undefined && { records: openRunLog(records) }),
      });
    } finally {
      await metrics?.close();
    }
  },
});

/** The command that goes on with what was interrupted. */
function againCommand(args: {
  readonly study: string;
  readonly runs: string;
  readonly redis?: string | undefined;
  readonly store?: string | undefined;
  readonly log?: string | undefined;
}): string {
  const { study, runs, redis, store, log } = args;
  const flags = {
    runs: runs === defaultRuns ? undefined : runs,
    redis,
    store,
    log: log === 'text' ? undefined : log,
  };
  const given = Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [` --${name} ${value}`]));
  return `ridgepoint search ${study}${given.join('')}`;
}

/** Loaded when asked for. */
async function logOf(study: string): Promise<StudyLog> {
  const { studyLog } = await import('../jobs/log.ts');
  return studyLog(study, (line) => void process.stderr.write(line));
}

/** Loaded when asked for: without --redis nothing of the queue is. */
async function fleetAt(
  url: string,
  { store, cache }: { readonly store: string; readonly cache: string },
  watch: Parameters<typeof fleetOver>[2],
): Promise<StudyOptions['fleet']> {
  const [{ redisPlace }, fleet, { openStore }] = await Promise.all([
    import('../jobs/connection.ts'),
    import('../jobs/fleet.ts'),
    import('../jobs/store-place.ts'),
  ]);
  return fleet.fleetOver(redisPlace(url), openStore(store, cache), watch);
}

/** Loaded when asked for. A study whose Redis is gone is not ready; one that needs none always is. */
async function metricsAt(port: string, folder: string) {
  const { metricsPlace, serveMetrics, studyMetrics } = await import('../jobs/metrics.ts');
  const watch = studyMetrics(basename(folder));
  // Earlier sessions count, too.
  if (existsSync(journalPath(folder))) for (const event of journalEvents(journalPath(folder))) watch.event(event);
  let isUp = true;
  const redis = (up: boolean): void => {
    isUp = up;
    watch.redis(up);
  };
  const server = await serveMetrics(watch.registry, metricsPlace(port), () => isUp);
  return { watch: { ...watch, redis }, close: () => server.close() };
}

/** Runs a study with a progress display and prints its result. */
export async function runWithProgress(
  config: StudyConfig,
  options: {
    folder: string;
    json: boolean;
    again: string;
    reporter?: Reporter;
    records?: RunLog | undefined;
  } & Pick<StudyOptions, 'fleet' | 'onEvent'>,
): Promise<void> {
  const { reporter = openReporter(options) } = options;
  const watched = watchedBy(reporter, `run "${options.again}" again to go on from here`);
  const trials = options.records && logTrials(options.records, config, options.folder, watched.onNotice);
  try {
    const summary = await runStudy(config, {
      folder: options.folder,
      // Beside the studies of one folder: what one has measured, the next need not.
      ledger: join(dirname(options.folder), ledgerName),
      ...watched,
      fleet: options.fleet,
      onEvent: (event) => {
        reporter.event(event);
        trials?.event(event);
        options.onEvent?.(event);
      },
    });
    reporter.finish();
    if (options.json) console.log(JSON.stringify({ schema: 1, folder: options.folder, summary }));
    else console.log(summaryTable(summary, options.folder));
  } finally {
    reporter.finish();
    await trials?.settled();
  }
}
