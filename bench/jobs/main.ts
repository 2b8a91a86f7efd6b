// npx tsx bench/jobs/main.ts [--jobs 4000] [--rounds 5] [--only cost,journalled,sleeping,memory] [--trials 100000] [--searched 20000] [--controllers random,evolution]
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Queue, QueueEvents } from 'bullmq';
import { Redis } from 'ioredis';
import { connect, leave, redisPlace } from '../../jobs/connection.ts';
import { JobClient } from '../../jobs/client.ts';
import { builtInTrainers, jobId, trainQueue } from '../../jobs/contract.ts';
import { FleetEvaluator } from '../../jobs/evaluator.ts';
import { folderStore } from '../../jobs/store.ts';
import { runLongSearch } from './long-search.ts';
import { noOpOutcome } from './no-op.ts';
import { median } from '../../core/quantile.ts';
import type { ControllerName } from '../../search/controllers.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { builtInNetwork } from '../../scaling/built-in-networks.ts';
import { FolderArtefacts } from '../../study/artefacts.ts';
import { dataIn, runTableStudy } from '../../test/jobs/chaos/table-study.ts';
import { RedisServer } from '../../test/jobs/redis-server.ts';

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '4000' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'cost,journalled,sleeping,memory' },
    trials: { type: 'string', default: '100000' },
    searched: { type: 'string', default: '20000' },
    controllers: { type: 'string', default: 'random,evolution' },
  },
});
const parts = values.only.split(',');
const jobs = Number(values.jobs);
const rounds = Number(values.rounds);
/** Trials of a round: as many as a study may propose at once. */
const round = 1000;
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
  const name = trainQueue(builtInTrainers.onnx);
  return costOf('bare', url, async () => {
    const connection = new Redis(place.options);
    const queue = new Queue(name, { connection, prefix: place.prefix });
    // From the beginning: by default it hears only what comes after its first reading, whenever that is.
    const events = new QueueEvents(name, { connection: place.options, prefix: place.prefix, lastEventId: '0-0' });
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
    const client = await JobClient.open(trainQueue(builtInTrainers.onnx), { redis: connection, place });
    const evaluator = new FleetEvaluator({
      client,
      study: 'bench',
      data: dataIn(folder),
      trainer: {},
      capacity: () => slots,
      artefacts: new FolderArtefacts(join(folder, 'artefacts')),
      store: folderStore(store),
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
  await runTableStudy(
    study,
    trials,
    async ({ artefacts, data }) => {
      const client = await JobClient.open(trainQueue(builtInTrainers.onnx), { redis: connection, place });
      [startMs, startCpuMs] = [performance.now(), ownCpuMs()];
      return new FleetEvaluator({
        client,
        study: 'chaos-1',
        data,
        trainer: {},
        artefacts,
        capacity: () => concurrency,
        store: folderStore(store),
        close: () => client.close(),
      });
    },
    undefined,
    round,
  );
  const seconds = (performance.now() - startMs) / 1000;
  const cpuUs = ((ownCpuMs() - startCpuMs) / trials) * 1000;
  leave(connection);
  await Promise.all(workers.map(stop));
  return { perS: trials / seconds, cpuUs };
}

/** What a job costs the two processes beside bare BullMQ, the two taking turns. */
async function compareCosts(): Promise<void> {
  const costs: { bare: Cost; ours: Cost }[] = [];
  for (let round = 0; round < rounds; round++) {
    costs.push(
      round % 2 === 0 ? { bare: await bare(), ours: await ours() } : { ours: await ours(), bare: await bare() },
    );
    console.log(`  round ${round + 1} of ${rounds}`);
  }
  const perJobUs = (kind: 'bare' | 'ours', part: keyof Cost): number =>
    median(costs.map((cost) => (cost[kind][part] / jobs) * 1000));
  console.log(`medians of ${rounds} rounds of ${jobs} jobs, taking turns; µs a job`);
  for (const part of ['controllerMs', 'workerMs', 'wallMs'] as const) {
    const [theirs, own] = [perJobUs('bare', part), perJobUs('ours', part)];
    console.log(
      `  ${part.replace('Ms', '').padEnd(11)} bare ${theirs.toFixed(0).padStart(5)}  ours ${own.toFixed(0).padStart(5)}  ratio ${(own / theirs).toFixed(2)}`,
    );
  }
  const extra = costs.map(
    ({ bare: a, ours: b }) => ((b.controllerMs + b.workerMs - a.controllerMs - a.workerMs) / jobs) * 1000,
  );
  console.log(
    `  processor time of ours over bare BullMQ, both processes: ${median(extra).toFixed(0)} µs a job (${extra.map((each) => each.toFixed(0)).join(', ')}); goal 300`,
  );
}

/** How many journalled evaluations a second one controller gets, of the fastest that bare BullMQ does just before. */
async function speedJournalled(): Promise<void> {
  const speeds: { readonly perS: number; readonly bareS: number; readonly cpuUs: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const bareS = jobs / ((await bare()).wallMs / 1000);
    const { perS, cpuUs } = await journalled(slots, 0, 2 * jobs, 1);
    speeds.push({ perS, bareS, cpuUs });
    console.log(`  round ${round + 1} of ${rounds}: ${perS.toFixed(0)} journalled a second, bare ${bareS.toFixed(0)}`);
  }
  const perS = median(speeds.map((each) => each.perS));
  const ratio = median(speeds.map((each) => each.perS / each.bareS));
  const cpuUs = median(speeds.map((each) => each.cpuUs));
  console.log(
    `  journalled evaluations that do nothing: ${perS.toFixed(0)} a second, ${ratio.toFixed(2)} of bare BullMQ beside it; the controller's processor time ${cpuUs.toFixed(0)} µs each; goal 2000 a second`,
  );
}

/** How much of what workers could do is done where evaluations take their time. */
async function shareSleeping(): Promise<void> {
  for (const concurrency of [1, 4, 8, 16, 32]) {
    const ms = 500;
    const { perS } = await journalled(concurrency, ms, 20 * concurrency, Math.min(concurrency, 2));
    const share = perS / (concurrency / (ms / 1000));
    console.log(
      `  ${String(concurrency).padStart(2)} at once of ${ms} ms each: ${(100 * share).toFixed(1)} % of what they could do; goal 95`,
    );
  }
}

/** The memory that is in use after each tenth of so many answers. */
function tenths(trials: number): { readonly answered: (count: number) => void; readonly say: (name: string) => void } {
  const bytes: number[] = [];
  return {
    answered: (count) => {
      if (count === 0 || count % (trials / 10) !== 0) return;
      globalThis.gc?.();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      bytes.push(heapUsed + arrayBuffers);
    },
    say: (name) => {
      const megabytes = bytes.map((each) => (each / 1e6).toFixed(0)).join(', ');
      // From the second tenth on: by then what is kept whole at most is full.
      const [first = 0, last = 0] = [bytes[1], bytes.at(-1)];
      const perTrial = (last - first) / ((trials / 10) * (bytes.length - 2));
      const collected = globalThis.gc ? '' : ' (not collected; run with node --expose-gc)';
      console.log(`  ${name}: ${megabytes} MB, ${perTrial.toFixed(0)} bytes a trial${collected}`);
    },
  };
}

/** The controller's memory over many trials that nobody needs a queue for: the evaluating part alone, then whole searches. */
async function memory(): Promise<void> {
  const trials = Number(values.trials);
  const study = join(folder, 'memory');
  mkdirSync(study);
  // As any real answer, it comes in a turn of its own; else nothing that waits for the disk ever runs.
  const evaluator = { slots, evaluate: () => nextTurn(noOpOutcome), close: () => Promise.resolve() };
  const { answered, say } = tenths(trials);
  await runTableStudy(study, trials, () => Promise.resolve(evaluator), answered, round);
  say(`journal and record, each tenth of ${trials} trials`);
  const searched = Number(values.searched);
  for (const controller of values.controllers.split(',') as ControllerName[]) {
    const watch = tenths(searched);
    await runLongSearch(join(folder, controller), { controller, trials: searched, slots }, watch.answered);
    watch.say(`search by ${controller}, each tenth of ${searched} trials`);
  }
}

try {
  if (parts.includes('cost')) await compareCosts();
  if (parts.includes('journalled')) await speedJournalled();
  if (parts.includes('sleeping')) await shareSleeping();
  if (parts.includes('memory')) await memory();
} finally {
  await redis.remove();
  rmSync(folder, { recursive: true, force: true });
}
