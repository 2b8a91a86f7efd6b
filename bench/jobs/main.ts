// npx tsx bench/jobs/main.ts [--jobs 4000] [--rounds 5]
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Queue, QueueEvents } from 'bullmq';
import { Redis } from 'ioredis';
import { connect, leave, redisPlace } from '../../jobs/connection.ts';
import { JobClient } from '../../jobs/client.ts';
import { builtInTrainer, jobId, trainQueue } from '../../jobs/contract.ts';
import { FleetEvaluator } from '../../jobs/evaluator.ts';
import { median } from '../../core/quantile.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { builtInNetwork } from '../../scaling/built-in-networks.ts';
import { FolderArtefacts } from '../../study/artefacts.ts';
import { dataIn, runTableStudy } from '../../test/jobs/chaos/table-study.ts';
import { RedisServer } from '../../test/jobs/redis-server.ts';

const { values } = parseArgs({
  options: { jobs: { type: 'string', default: '4000' }, rounds: { type: 'string', default: '5' } },
});
const jobs = Number(values.jobs);
const rounds = Number(values.rounds);
/** Jobs asked for and not answered, and jobs done at once. */
const inFlight = 64;
const slots = 32;

const folder = mkdtempSync(join(tmpdir(), 'ridgepoint-bench-'));
const store = join(folder, 'store');
mkdirSync(store);
const redis = await RedisServer.start();
const spec = networkOf('efficientnet-b0');
const { signal } = new AbortController();
let runs = 0;

function networkOf(name: string): NetworkSpec {
  const network = builtInNetwork(name);
  if (!network) throw new Error(`expected a built-in network, got ${name}`);
  return network;
}

function startWorker(kind: 'bare' | 'ours', url: string, concurrency: number, ms: number): ChildProcess {
  const entry = fileURLToPath(new URL('./worker-process.ts', import.meta.url));
  return fork(entry, [kind, url, store, String(concurrency), String(ms)], {
    execArgv: ['--import', import.meta.resolve('tsx')],
  });
}

async function stop(worker: ChildProcess): Promise<void> {
  const gone = once(worker, 'exit');
  worker.kill('SIGKILL');
  await gone;
}

async function cpuMsOf(worker: ChildProcess): Promise<number> {
  const answer = once(worker, 'message') as Promise<[NodeJS.CpuUsage]>;
  worker.send('cpu');
  const [{ user, system }] = await answer;
  return (user + system) / 1000;
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Calls with so many under way, until `count` are done. */
async function pour(count: number, call: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await call(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

interface Cost {
  readonly wallMs: number;
  readonly controllerMs: number;
  readonly workerMs: number;
}

/** What so many jobs cost the two processes, after a tenth as many to warm up. */
async function costOf(
  kind: 'bare' | 'ours',
  url: string,
  open: () => Promise<{ readonly call: (index: number) => Promise<unknown>; readonly close: () => Promise<unknown> }>,
): Promise<Cost> {
  const worker = startWorker(kind, url, slots, 0);
  await once(worker, 'message');
  const { call, close } = await open();
  await pour(jobs / 10, call);
  const [own, theirs, startMs] = [ownCpuMs(), await cpuMsOf(worker), performance.now()];
  await pour(jobs, (index) => call(index + jobs));
  const wallMs = performance.now() - startMs;
  const cost = { wallMs, controllerMs: ownCpuMs() - own, workerMs: (await cpuMsOf(worker)) - theirs };
  await close();
  await stop(worker);
  return cost;
}

/** The same payload through BullMQ alone: added under an id, done, heard of, removed when done. */
function bare(): Promise<Cost> {
  const url = `${redis.url}?namespace=bench${++runs}`;
  const place = redisPlace(url);
  const name = trainQueue(builtInTrainer);
  return costOf('bare', url, async () => {
    const connection = new Redis(place.options);
    const queue = new Queue(name, { connection, prefix: place.prefix });
    const events = new QueueEvents(name, { connection: place.options, prefix: place.prefix });
    await events.waitUntilReady();
    const task = `sha256:${'0'.repeat(64)}`;
    const waiting = new Map<string, (value: unknown) => void>();
    events.on('completed', ({ jobId: id, returnvalue }) => {
      waiting.get(id)?.(returnvalue);
      waiting.delete(id);
    });
    return {
      call: (index) =>
        new Promise((resolve, reject) => {
          const trial = `t${index}`;
          const id = jobId('bench', trial, 1);
          const fidelity = { examples: 6000, seed: index };
          const data = { schema: 1, study: 'bench', trial, attempt: 1, task, spec, fidelity, keepWeights: false };
          waiting.set(id, resolve);
          queue.add(name, data, { jobId: id, removeOnComplete: true }).catch(reject);
        }),
      close: async () => {
        await events.close();
        await queue.close();
        connection.disconnect();
      },
    };
  });
}

/** Through the evaluator and the worker: checked at both ends, kept until forgotten, looked for again. */
function ours(): Promise<Cost> {
  const url = `${redis.url}?namespace=bench${++runs}`;
  const place = redisPlace(url);
  return costOf('ours', url, async () => {
    const connection = connect(place, console.error);
    const client = await JobClient.open(trainQueue(builtInTrainer), { redis: connection, place });
    const evaluator = new FleetEvaluator({
      client,
      study: 'bench',
      data: dataIn(folder),
      trainer: {},
      capacity: () => slots,
      artefacts: new FolderArtefacts(join(folder, 'artefacts')),
      store: new FolderArtefacts(store),
      close: () => client.close(),
    });
    return {
      call: async (index) => {
        const id = `t${index}`;
        const fidelity = { examples: 6000, seed: index };
        const outcome = await evaluator.evaluate({ id, spec }, { fidelity, signal, keepWeights: false });
        if (outcome.status !== 'ok') throw new Error(JSON.stringify(outcome));
        evaluator.journalled(id, 1);
      },
      close: async () => {
        await evaluator.close();
        leave(connection);
      },
    };
  });
}

/** Evaluations a second of a whole controller: issued, done, journalled to disk, forgotten. */
async function journalled(
  concurrency: number,
  ms: number,
  trials: number,
  processes: number,
): Promise<{ readonly perS: number; readonly cpuUs: number }> {
  const url = `${redis.url}?namespace=bench${++runs}`;
  const place = redisPlace(url);
  const workers = Array.from({ length: processes }, () => startWorker('ours', url, concurrency / processes, ms));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const study = join(folder, `study${runs}`);
  mkdirSync(study);
  const connection = connect(place, console.error);
  let [startMs, startCpuMs] = [0, 0];
  await runTableStudy(study, trials, async ({ artefacts, data }) => {
    const client = await JobClient.open(trainQueue(builtInTrainer), { redis: connection, place });
    [startMs, startCpuMs] = [performance.now(), ownCpuMs()];
    return new FleetEvaluator({
      client,
      study: 'chaos-1',
      data,
      trainer: {},
      artefacts,
      capacity: () => concurrency,
      store: new FolderArtefacts(store),
      close: () => client.close(),
    });
  });
  const seconds = (performance.now() - startMs) / 1000;
  const cpuUs = ((ownCpuMs() - startCpuMs) / trials) * 1000;
  leave(connection);
  await Promise.all(workers.map(stop));
  return { perS: trials / seconds, cpuUs };
}

try {
  const costs: { bare: Cost; ours: Cost }[] = [];
  for (let round = 0; round < rounds; round++)
    costs.push(
      round % 2 === 0 ? { bare: await bare(), ours: await ours() } : { ours: await ours(), bare: await bare() },
    );
  const perJobUs = (kind: 'bare' | 'ours', part: keyof Cost): number =>
    median(costs.map((cost) => (cost[kind][part] / jobs) * 1000));
  console.log(`medians of ${rounds} rounds of ${jobs} jobs, taking turns; µs a job`);
  for (const part of ['controllerMs', 'workerMs', 'wallMs'] as const)
    console.log(
      `  ${part.replace('Ms', '').padEnd(11)} bare ${perJobUs('bare', part).toFixed(0).padStart(5)}  ours ${perJobUs('ours', part).toFixed(0).padStart(5)}`,
    );
  const extra = costs.map(
    ({ bare: a, ours: b }) => ((b.controllerMs + b.workerMs - a.controllerMs - a.workerMs) / jobs) * 1000,
  );
  console.log(
    `  processor time of ours over bare BullMQ, both processes: ${median(extra).toFixed(0)} µs a job (${extra.map((each) => each.toFixed(0)).join(', ')}); goal 300`,
  );
  const speeds: number[] = [];
  const cpus: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const { perS, cpuUs } = await journalled(slots, 0, 2 * jobs, 1);
    speeds.push(perS);
    cpus.push(cpuUs);
  }
  console.log(
    `  journalled evaluations that do nothing: ${median(speeds).toFixed(0)} a second (${speeds.map((each) => each.toFixed(0)).join(', ')}), the controller's processor time ${median(cpus).toFixed(0)} µs each; goal 2000 a second`,
  );
  for (const concurrency of [1, 4, 8, 16, 32]) {
    const ms = 500;
    const { perS } = await journalled(concurrency, ms, 20 * concurrency, Math.min(concurrency, 2));
    const share = perS / (concurrency / (ms / 1000));
    console.log(
      `  ${String(concurrency).padStart(2)} at once of ${ms} ms each: ${(100 * share).toFixed(1)} % of what they could do; goal 95`,
    );
  }
} finally {
  await redis.remove();
  rmSync(folder, { recursive: true, force: true });
}
