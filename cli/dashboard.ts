import { defineCommand } from 'citty';
import { ConfigError } from '../core/errors.ts';
import { tokenFor } from '../dashboard/access.ts';
import { Runs } from '../dashboard/runs.ts';
import { Dashboard } from '../dashboard/server.ts';
import { listArgument, numberArgument } from './arguments.ts';
import { interruptible, openReporter } from './progress.ts';

const defaultPort = 8720;
/** How often journals are looked at, and the fleet, in milliseconds. */
const lookMs = 1000;
const fleetMs = 5000;
const beatMs = 15_000;

/** `ridgepoint dashboard`: studies, and with `--redis` the fleet, as a page that follows them. */
export const command = defineCommand({
  args: {
    runs: { type: 'string', description: 'folder that holds studies, or one study', default: 'runs' },
    redis: { type: 'string', description: 'show the workers and queues there, too: redis://host:port' },
    host: {
      type: 'string',
      description: 'address to serve at; another than this machine needs a token',
      default: '127.0.0.1',
    },
    port: { type: 'string', description: 'port to serve at; 0 takes a free one', default: String(defaultPort) },
    name: {
      type: 'string',
      description: 'a name the page may be asked for by, of a proxy say; may be given several times',
    },
    token: {
      type: 'boolean',
      description: 'ask visitors for a token: RIDGEPOINT_DASHBOARD_TOKEN(_FILE), else a new one, which is told once',
    },
    json: { type: 'boolean', description: 'what it tells as NDJSON on stderr' },
  },
  async run({ args, rawArgs }) {
    const port = numberArgument('--port', args.port);
    if (port > 65_535) throw new ConfigError(`--port: expected at most 65535, got ${port}`);
    const token = tokenFor({ host: args.host, wanted: args.token ?? false });
    const reporter = openReporter({ json: args.json ?? false });
    const { notice } = reporter;
    const runs = new Runs(args.runs);
    const fleet = args.redis === undefined ? undefined : await observerAt(args.redis, notice);
    const dashboard = await Dashboard.open({
      runs,
      host: args.host,
      port,
      names: args.name === undefined ? [] : listArgument(rawArgs, 'name', ''),
      secret: token?.secret,
      fleet,
      onNotice: notice,
    }).catch(async (error) => {
      await fleet?.close();
      throw error;
    });
    reporter.event({ type: 'serving', url: dashboard.url });
    notice(
      `${args.runs} at ${dashboard.url}/${token?.generated ? `?token=${token.secret}` : ''} (Ctrl-C ends it; nothing is changed by it)`,
    );
    if (fleet && !dashboard.hasQueues)
      notice('for every job of the queues install bull-board: npm install @bull-board/api @bull-board/ui');
    const signal = interruptible(reporter, 'the studies go on');
    await followed(dashboard, signal, notice);
    await dashboard.close();
    await fleet?.close();
    // Connections may still be trying to reach a Redis that is gone.
    process.exit(0);
  },
});

/** Looks until interrupted. What cannot be read now may be readable at the next look. */
async function followed(dashboard: Dashboard, signal: AbortSignal, say: (text: string) => void): Promise<void> {
  const look = (): void => void dashboard.look().catch((error: Error) => say(error.message));
  const lookAtFleet = (): void => void dashboard.lookAtFleet().catch((error: Error) => say(error.message));
  const timers = [
    setInterval(look, lookMs),
    setInterval(lookAtFleet, fleetMs),
    setInterval(() => dashboard.beat(), beatMs),
  ];
  look();
  lookAtFleet();
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  for (const timer of timers) clearInterval(timer);
}

async function observerAt(url: string, say: (text: string) => void) {
  // Only those who have a fleet load what it needs.
  const [{ redisPlace }, { FleetObserver }] = await Promise.all([
    import('../jobs/connection.ts'),
    import('../jobs/observer.ts'),
  ]);
  return new FleetObserver(redisPlace(url), say);
}
