import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { defineCommand } from 'citty';
import { detectAccelerators } from '../accelerators/detect.ts';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { ConfigError, EnvironmentError } from '../core/errors.ts';
import { redisPlace } from '../jobs/connection.ts';
import { type Offer, readOffer } from '../jobs/offer.ts';
import { servicesOf } from '../jobs/services.ts';
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
    store: { type: 'string', description: 'folder of files by digest that the studies see too (runs/store)' },
    config: { type: 'string', description: 'worker.yaml: devices, trainers, commands, slots, store, lock' },
    once: { type: 'boolean', description: 'end after one job' },
    drain: { type: 'boolean', description: 'end when no job waits' },
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
    const say = (text: string): void =>
      void process.stderr.write(json ? `${JSON.stringify({ type: 'notice', tMs: Date.now(), text })}\n` : `${text}\n`);
    const id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
    const services = servicesOf(offer, id);
    const until = args.once ? 'once' : args.drain ? 'drained' : undefined;
    const worker = new FleetWorker({ id, place, services, lockMs: offer.lockMs, say, until });
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

/** A worker that offers what it does not have would fail other people's studies. */
async function expectAvailable({ devices }: Offer): Promise<void> {
  const wanted = Object.values(devices).filter((id) => (providerIds as readonly string[]).includes(id));
  if (wanted.length === 0) return;
  for (const { id, available, reason, fix } of await detectAccelerators())
    if (!available && wanted.includes(id))
      throw new EnvironmentError(`--on ${id}: expected it to work on this host, but ${reason}${fix ? `; ${fix}` : ''}`);
}
