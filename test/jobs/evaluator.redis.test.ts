import { join } from 'node:path';
import { describe } from 'vitest';
import { fleetOver } from '../../jobs/fleet.ts';
import { readOffer } from '../../jobs/offer.ts';
import { servicesOf } from '../../jobs/services.ts';
import { FolderArtefacts } from '../../study/artefacts.ts';
import { openLatencyMeter } from '../../study/meter.ts';
import { resolveStudy } from '../../study/study-file.ts';
import { describeEvaluator } from '../cases/evaluator.case.ts';
import { smallData } from '../cases/evaluator-data.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { FleetFixture, storeIn } from './fleet.ts';
import { hasRedis } from './redis-server.ts';

describe.skipIf(!hasRedis)('over a real Redis', () => {
  const fleet = new FleetFixture();
  let made = 0;

  describeEvaluator('a fleet', async ({ trainer, withoutData }) => {
    const folder = fileFolder();
    const store = storeIn(folder);
    fleet.worker(servicesOf(readOffer(undefined, { devices: [], slots: 2, store }), 'worker'));
    const artefacts = new FolderArtefacts(join(folder, 'artefacts'));
    const data = await smallData(folder);
    const { signal } = new AbortController();
    const config = resolveStudy({ study: 'case', targets: { edge: { device: 'simulated' } }, trainer }, 'case.yaml');
    const open = { key: `case-${++made}`, config, artefacts, signal, onNotice: fleet.say };
    const file = withoutData ? join(folder, 'gone') : data.file;
    const meter = openLatencyMeter(config, signal);
    const { evaluator } = await fleetOver(fleet.place, store)({ ...open, data: { ...data, file } }, meter);
    fleet.closing(() => evaluator.close());
    return { evaluator, artefacts };
  });
});
