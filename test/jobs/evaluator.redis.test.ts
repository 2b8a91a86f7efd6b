import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FleetEvaluator } from '../../jobs/evaluator.ts';
import { fleetOver } from '../../jobs/fleet.ts';
import { readOffer } from '../../jobs/offer.ts';
import { servicesOf } from '../../jobs/services.ts';
import { folderStore } from '../../jobs/store.ts';
import { FolderArtefacts } from '../../study/artefacts.ts';
import { openLatencyMeter } from '../../study/evaluation/meter.ts';
import { resolveStudy } from '../../study/study-file.ts';
import { describeEvaluator } from '../cases/evaluator.case.ts';
import { smallData } from '../cases/evaluator-data.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { tableSpec as spec } from './chaos/table-evaluator.ts';
import { FleetFixture, service, storeIn } from './fleet.ts';
import { hasRedis } from './redis-server.ts';

const answer = () => Promise.resolve({ done: false, text: 'nobody asks' });

describe.skipIf(!hasRedis)('over a real Redis', () => {
  const fleet = new FleetFixture();
  let made = 0;

  describeEvaluator('a fleet', async ({ trainer, withoutData, schedule }) => {
    const folder = fileFolder();
    const store = storeIn(folder);
    fleet.worker(servicesOf(readOffer(undefined, { devices: [], slots: 2, store }), 'worker'));
    const artefacts = new FolderArtefacts(join(folder, 'artefacts'));
    const data = await smallData(folder);
    const { signal } = new AbortController();
    const file = { study: 'case', targets: { edge: { device: 'simulated' } }, trainer, final: { schedule } };
    const config = resolveStudy(file, 'case.yaml');
    const open = { key: `case-${++made}`, measured: () => 0, config, artefacts, signal, onNotice: fleet.say, answer };
    const dataFile = withoutData ? join(folder, 'gone') : data.file;
    const meter = openLatencyMeter(config, signal);
    const { evaluator } = await fleetOver(fleet.place, folderStore(store))(
      { ...open, data: { ...data, file: dataFile } },
      meter,
    );
    fleet.closing(() => evaluator.close());
    return { evaluator, artefacts };
  });

  /** An evaluator whose data is where it is told, and the ids of the jobs that its worker was given. */
  const answering = async (folder: string, file: (prepared: string) => string) => {
    const ids: string[] = [];
    const outcome = { status: 'infeasible', reason: 'memory', detail: 'too large' };
    fleet.worker([
      service(({ id }) => {
        ids.push(id);
        return Promise.resolve({ schema: 1, outcome, worker: 'w' });
      }),
    ]);
    const data = await smallData(folder);
    const artefacts = new FolderArtefacts(join(folder, 'artefacts'));
    const store = folderStore(storeIn(folder));
    const at = { study: 's-1', trainer: {}, artefacts, store, capacity: () => 1, close: () => Promise.resolve() };
    const client = await fleet.client();
    return {
      ids,
      prepared: data.file,
      evaluator: new FleetEvaluator({ ...at, client, data: { ...data, file: file(data.file) } }),
    };
  };
  const { signal } = new AbortController();
  const request = { fidelity: { examples: 64, seed: 1 }, keepWeights: false, signal };

  it('takes no result of another network, fidelity or purpose for that of a trial of the same id', async () => {
    const { evaluator, ids } = await answering(fileFolder(), (file) => file);
    const other = { ...spec, head: { ...spec.head, width: spec.head.width + 8 } };
    const evaluate = (changes: object = {}, network = spec) =>
      evaluator.evaluate({ id: 't0001', spec: network }, { ...request, ...changes });
    await evaluate();
    await evaluate({ fidelity: { examples: 128, seed: 1 } });
    await evaluate({ keepWeights: true });
    await evaluate({}, other);
    expect(await evaluate()).toMatchObject({ status: 'infeasible', detail: 'too large' });
    expect(new Set(ids).size).toBe(4);
    expect(ids).toHaveLength(4);
  });

  it('publishes its data anew where that failed before', async () => {
    const folder = fileFolder();
    const later = join(folder, 'later');
    const { evaluator, prepared } = await answering(folder, () => later);
    const candidate = { id: 't0001', spec };
    expect(await evaluator.evaluate(candidate, request)).toMatchObject({
      status: 'failed',
      code: 'environment',
      retry: false,
      detail: expect.stringMatching(/^expected to put the data into the store, but ENOENT/),
    });
    copyFileSync(prepared, later);
    expect(await evaluator.evaluate(candidate, request)).toMatchObject({ status: 'infeasible' });
  });
});
