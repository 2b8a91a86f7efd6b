// A worker whose trainings are looked up in a table: <redis url> <store> <slots> <ms an evaluation> <lock ms>
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { redisPlace } from '../../../jobs/connection.ts';
import { builtInTrainers } from '../../../jobs/contract.ts';
import { trainService } from '../../../jobs/services.ts';
import { FleetWorker } from '../../../jobs/worker.ts';
import { folderStore } from '../../../jobs/store.ts';
import { TableEvaluator } from './table-evaluator.ts';

const [url = '', folder = '', slots = '', ms = '', lockMs = ''] = process.argv.slice(2);
const evaluator = new TableEvaluator({ slots: Number(slots), ms: Number(ms) });
const worker = `worker-${process.pid}`;
const service = trainService(builtInTrainers.onnx, {
  slots: Number(slots),
  store: folderStore(folder),
  worker,
  evaluatorOf: () => evaluator,
});
const { serve } = service;
const running = new FleetWorker({
  id: worker,
  place: redisPlace(url),
  services: [
    {
      ...service,
      serve: async (work) => {
        appendFileSync(join(folder, 'begun'), `${work.id} ${worker}\n`);
        return serve(work);
      },
      close: () => evaluator.closeAll(),
    },
  ],
  lockMs: Number(lockMs),
  say: (text) => process.stderr.write(`${worker}: ${text}\n`),
});
process.on('SIGTERM', () => running.stop('return'));
// Whoever started it is gone.
process.on('disconnect', () => process.exit(1));
process.send?.('ready');
await running.ended;
process.exit(0);
