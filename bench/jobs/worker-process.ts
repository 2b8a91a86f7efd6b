// A worker whose evaluations take no time, or sleep: <bare | ours> <redis url> <store> <slots> <ms an evaluation>
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'bullmq';
import { redisPlace } from '../../jobs/connection.ts';
import { builtInTrainers, trainQueue } from '../../jobs/contract.ts';
import { trainService } from '../../jobs/services.ts';
import { FleetWorker } from '../../jobs/worker.ts';
import { folderStore } from '../../jobs/store.ts';
import { noOpOutcome } from './no-op.ts';

const [kind = '', url = '', store = '', slots = '', ms = ''] = process.argv.slice(2);
const place = redisPlace(url);
const evaluate = async () => {
  if (Number(ms) > 0) await delay(Number(ms));
  return noOpOutcome;
};

const answer = async () => ({ schema: 1, outcome: await evaluate(), worker: 'bare' });

function startBare(): Worker {
  const { options: connection, prefix } = place;
  return new Worker(trainQueue(builtInTrainers.onnx), answer, { connection, prefix, concurrency: Number(slots) });
}

function startOurs(): FleetWorker {
  const evaluator = { slots: Number(slots), evaluate, close: () => Promise.resolve() };
  const service = trainService(builtInTrainers.onnx, {
    slots: Number(slots),
    worker: 'ours',
    evaluatorOf: () => evaluator,
    store: folderStore(store),
  });
  return new FleetWorker({
    id: `bench-${process.pid}`,
    place,
    services: [service],
    lockMs: 30_000,
    say: console.error,
  });
}

if (kind === 'bare') startBare();
else startOurs();

// Asked how much processor time it has used, it tells.
process.on('message', () => process.send?.(process.cpuUsage()));
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
