import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { connect, leave } from '../../jobs/connection.ts';
import { FleetEvaluator } from '../../jobs/evaluator.ts';
import { fleetOver } from '../../jobs/fleet.ts';
import { readOffer } from '../../jobs/offer.ts';
import { overviewOf } from '../../jobs/overview.ts';
import { servicesOf } from '../../jobs/services.ts';
import { folderStore } from '../../jobs/store.ts';
import { FolderArtefacts } from '../../study/artefacts.ts';
import { openLatencyMeter } from '../../study/evaluation/meter.ts';
import { resolveStudy } from '../../study/resolve-study.ts';
import { describeEvaluator } from '../cases/evaluator.case.ts';
import { smallData } from '../cases/evaluator-data.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { tableSpec as spec } from './chaos/table-evaluator.ts';
import { FleetFixture, service, storeIn } from './fleet.ts';
import { hasRedis } from './redis-server.ts';

const { signal } = new AbortController();
const answer = () => Promise.resolve({ done: false, text: 'nobody asks' });

describe.skipIf(!hasRedis)('over a real Redis', () => {
  const fleet = new FleetFixture();
  let made = 0;

  /** The evaluator of a study of its own. @param dataFile instead of the file that there is. */
  const evaluatorOf = async (folder: string, file: object, dataFile?: string) => {
    const artefacts = new FolderArtefacts(join(folder, 'artefacts'));
    const prepared = await smallData(folder);
    const data = { ...prepared, file: dataFile ?? prepared.file };
    const config = resolveStudy({ study: 'case', targets: { edge: { device: 'simulated' } }, ...file }, 'case.yaml');
    const key = `case-${++made}`;
    const open = { key, measured: () => 0, config, data, artefacts, signal, onNotice: fleet.say, answer };
    const meter = openLatencyMeter(config, signal);
    const { evaluator } = await fleetOver(fleet.place, folderStore(storeIn(folder)))(open, meter);
    fleet.closing(() => evaluator.close());
    return { evaluator, artefacts };
  };

  describeEvaluator('a fleet', async ({ trainer, withoutData, schedule }) => {
    const folder = fileFolder();
    fleet.worker(servicesOf(readOffer(undefined, { devices: [], slots: 2, store: storeIn(folder) }), 'worker'));
    return evaluatorOf(folder, { trainer, final: { schedule } }, withoutData ? join(folder, 'gone') : undefined);
  });

  it('has trainings by TensorFlow.js done where that is offered, and says so while it is nowhere', async () => {
    const folder = fileFolder();
    const offer = readOffer(undefined, { devices: [], slots: 1, store: storeIn(folder) }, () => false);
    fleet.worker(servicesOf(offer, 'without'), { id: 'without' });
    const { evaluator } = await evaluatorOf(folder, { trainer: { kind: 'tfjs', batchSize: 8 } });
    const outcome = evaluator.evaluate(
      { id: 't0001', spec },
      { fidelity: { examples: 16, seed: 1 }, keepWeights: false, signal },
    );
    const redis = connect(fleet.place, fleet.say);
    fleet.closing(async () => leave(redis));
    const why = async () => (await overviewOf(redis, fleet.place)).queues.flatMap((queue) => queue.why);
    await vi.waitUntil(async () => (await why()).length > 0, { timeout: 30_000 });
    expect(await why()).toEqual(['1 wait: nobody trains with tfjs; workers train with built-in']);
    fleet.worker(servicesOf({ ...offer, trainers: ['tfjs'] }, 'with'), { id: 'with' });
    expect(await outcome).toMatchObject({ status: 'ok', cost: { examples: 16 } });
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
