import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { defineCommand } from 'citty';
import { detectAccelerators } from '../accelerators/detect.ts';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { ConfigError, EnvironmentError } from '../core/errors.ts';
import { redisPlace } from '../jobs/connection.ts';
import { type Offer, readOffer } from '../jobs/offer.ts';
import { servicesOf } from '../jobs/services.ts';
import type { WorkerLog } from '../jobs/log.ts';
import type { WorkerEvent } from '../jobs/telemetry.ts';
import { FleetWorker } from '../jobs/worker.ts';
import { listArgument, numberArgument } from './arguments.ts';

/** `ridgepoint worker --redis URL`: trains and measures for studies elsewhere, until it is stopped. */
export const command = defineCommand({
  args: {
    redis: {
      type: 'string',
      description: 'where the queues are: redis://host:port, rediss:// for TLS',
      required: true,
    },
    on: { type: 'string', description: 'device to measure on, e.g. cpu; may be given several times' },
    slots: { type: 'string', description: 'trainings at once, 0 for none; the number of cores when left out' },
    store: {
      type: 'string',
      description: 'folder of files by digest that the studies see too (runs/store), or s3://bucket/prefix',
    },
    config: { type: 'string', description: 'worker.yaml: devices, trainers, commands, slots, store, lock' },
    once: { type: 'boolean', description: 'end after one job' },
    drain: { type: 'boolean', description: 'end when no job waits' },
    'metrics-port': {
      type: 'string',
      description: 'serve /metrics, /health and /ready: a port of this host, or host:port',
    },
    log: { type: 'string', description: 'text, or json: structured lines with study and job', default: 'text' },
    json: { type: 'boolean', description: 'what it tells as NDJSON on stderr, one JSON object on stdout at the end' },
  },
  async run({ args, rawArgs }) {
    if (args.once && args.drain) throw new ConfigError('expected --once or --drain, got both');
    const place = redisPlace(args.redis);
    const offer = readOffer(args.config, {
      devices: args.on === undefined ? [] : listArgument(rawArgs, 'on', ''),
      slots: args.slots === undefined ? undefined : numberArgument('--slots', args.slots),
      store: args.store,
    });
    await expectAvailable(offer);
    const json = args.json ?? false;
    if (!['text', 'json'].includes(args.log)) throw new ConfigError(`--log: expected text or json, got ${args.log}`);
    if (json && args.log === 'json') throw new ConfigError('expected --json or --log json, got both');
    const id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
    const log = args.log === 'json' ? await logOf(id) : undefined;
    const say =
      log?.say ??
      ((text: string): void =>
        void process.stderr.write(
          json ? `${JSON.stringify({ type: 'notice', tMs: Date.now(), text })}\n` : `${text}\n`,
        ));
    const metrics = args['metrics-port'] === undefined ? undefined : await metricsAt(args['metrics-port']);
    const hear = (event: WorkerEvent): void => {
      log?.hear(event);
      metrics?.hear(event);
    };
    const services = servicesOf(offer, id);
    const until = args.once ? 'once' : args.drain ? 'drained' : undefined;
    const worker = new FleetWorker({ id, place, services, lockMs: offer.lockMs, say, hear, until });
    await metrics?.serve(() => worker.isReady);
    let stopped = false;
    const stop = (): void => {
      if (stopped) process.exit(130);
      stopped = true;
      say('stopping: what runs is given back (press Ctrl-C again to stop at once)');
      worker.stop('return');
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    say(`worker ${id} at ${place.name} serves ${services.map(({ queue, slots }) => `${queue} × ${slots}`).join(', ')}`);
    await worker.ended;
    if (json) console.log(JSON.stringify({ schema: 1, id, stopped }));
    // Connections may still be trying to reach a Redis that is gone.
    process.exit(0);
  },
});

async function logOf(worker: string): Promise<WorkerLog> {
  const { structuredLog } = await import('../jobs/log.ts');
  return structuredLog(worker, (line) => void process.stderr.write(line));
}

/** Loaded when asked for, and refused before anything is begun when the port cannot be read. */
async function metricsAt(port: string) {
  const { metricsPlace, serveMetrics, workerMetrics } = await import('../jobs/metrics.ts');
  const place = metricsPlace(port);
  const { registry, hear } = workerMetrics();
  return { hear, serve: (isReady: () => boolean) => serveMetrics(registry, place, isReady) };
}

/** A worker that offers what it does not have would fail other people's studies. */
async function expectAvailable({ devices }: Offer): Promise<void> {
  const wanted = Object.values(devices).filter((id) => (providerIds as readonly string[]).includes(id));
  if (wanted.length === 0) return;
  for (const { id, available, reason, fix } of await detectAccelerators())
    if (!available && wanted.includes(id))
      throw new EnvironmentError(`--on ${id}: expected it to work on this host, but ${reason}${fix ? `; ${fix}` : ''}`);
}
