import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisPlace } from '../../jobs/connection.ts';
import { fleetOver } from '../../jobs/fleet.ts';
import { folderStore } from '../../jobs/store.ts';
import type { LatencyMeter } from '../../study/context.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { TableEvaluator } from './chaos/table-evaluator.ts';
import { answersIn, runTableStudy } from './chaos/table-study.ts';
import { hasRedis, RedisServer } from './redis-server.ts';

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'ignore' });

/** A host of its own to the network: a namespace that a cable connects with this one. */
class NetworkHost {
  readonly name: string;
  /** Address of this host on the cable. */
  readonly gateway: string;
  readonly #cable: string;

  constructor(number: number) {
    this.name = `ridgepoint-${process.pid}-${number}`;
    this.#cable = `rp${process.pid % 100_000}-${number}`;
    const subnet = `10.213.${(2 * process.pid + number) % 256}`;
    this.gateway = `${subnet}.1`;
    ip('netns', 'add', this.name);
    ip('link', 'add', this.#cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.name);
    ip('addr', 'add', `${this.gateway}/24`, 'dev', this.#cable);
    ip('link', 'set', this.#cable, 'up');
    ip('-n', this.name, 'addr', 'add', `${subnet}.2/24`, 'dev', 'eth0');
    ip('-n', this.name, 'link', 'set', 'eth0', 'up');
  }

  /** Pulls the cable: what is sent either way is lost, and nobody is told. */
  cut(): void {
    ip('link', 'set', this.#cable, 'down');
  }

  mend(): void {
    ip('link', 'set', this.#cable, 'up');
  }

  worker(args: readonly (string | number)[]): ChildProcess {
    const entry = fileURLToPath(new URL('./chaos/worker-process.ts', import.meta.url));
    const command = [process.execPath, '--import', import.meta.resolve('tsx'), entry, ...args.map(String)];
    return spawn('ip', ['netns', 'exec', this.name, ...command], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  }

  remove(): void {
    ip('netns', 'del', this.name);
  }
}

/** Whether this process may make namespaces and cables; where it may not, the test is skipped, and the run says so. */
const mayDivide = ((): boolean => {
  try {
    new NetworkHost(0).remove();
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!hasRedis || !mayDivide)('a study over two hosts, one of which is cut off and comes back', () => {
  const hosts: NetworkHost[] = [];
  let redis: RedisServer;
  beforeAll(async () => {
    hosts.push(new NetworkHost(1), new NetworkHost(2));
    const addresses = ['127.0.0.1', ...hosts.map(({ gateway }) => gateway)];
    redis = await RedisServer.start({ settings: ['--bind', ...addresses, '--protected-mode', 'no'] });
  });
  afterAll(async () => {
    await redis?.remove();
    for (const host of hosts) host.remove();
  });

  it('loses nothing, repeats nothing, and has both hosts at work again', async () => {
    const folder = fileFolder();
    const [alone, study, store] = ['alone', 'study', 'store'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [alone, study, store]) mkdirSync(path);
    const trials = 900;
    const evaluator = new TableEvaluator({ slots: 2, ms: 0 });
    await runTableStudy(alone, trials, () => Promise.resolve(evaluator));
    await evaluator.closeAll();

    const lockMs = 1500;
    const workers = hosts.map((host) =>
      host.worker([redis.url.replace('127.0.0.1', host.gateway), store, 2, 30, lockMs]),
    );
    const [near, far] = workers as [ChildProcess, ChildProcess];
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const begun = (): string[] =>
      existsSync(join(store, 'begun')) ? readFileSync(join(store, 'begun'), 'utf8').trim().split('\n') : [];
    const byFar = (): number => begun().filter((line) => line.endsWith(` worker-${far.pid}`)).length;
    const counts = { beforeCut: 0, atMending: 0 };
    await runTableStudy(
      study,
      trials,
      async (open) =>
        (await fleetOver(redisPlace(redis.url, {}), folderStore(store))(open, {} as LatencyMeter)).evaluator,
      (answered) => {
        if (answered === 150) {
          counts.beforeCut = byFar();
          hosts[1]?.cut();
        }
        // Its jobs have gone to the other host by then, which alone gives so many answers.
        if (answered === 450) {
          counts.atMending = byFar();
          hosts[1]?.mend();
        }
      },
    );
    const after = byFar();
    for (const worker of [near, far]) worker.kill('SIGKILL');
    expect(answersIn(study).answers).toEqual(answersIn(alone).answers);
    expect(answersIn(study).failures).toEqual([]);
    expect(counts.beforeCut).toBeGreaterThan(0);
    // What it began when it was cut off may be one job a slot, and one more that was on its way.
    expect(counts.atMending - counts.beforeCut).toBeLessThanOrEqual(4);
    expect(after).toBeGreaterThan(counts.atMending);
  }, 240_000);
});
