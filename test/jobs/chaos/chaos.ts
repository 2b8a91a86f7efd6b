import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Random } from '../../../core/random.ts';
import type { RedisServer } from '../redis-server.ts';

/** What is done to whom, and how long it stays so. */
const faults = ['kill worker', 'stop worker', 'kill child', 'kill controller', 'kill redis'] as const;
export type Fault = (typeof faults)[number];

export interface ChaosOptions {
  readonly redis: RedisServer;
  /** Empty; gets the store and the study. */
  readonly folder: string;
  readonly trials: number;
  readonly workers: number;
  readonly slots: number;
  /** Time an evaluation takes. */
  readonly evaluationMs: number;
  /** Faults are drawn from it: which, of whom, and when. */
  readonly random: Random;
  /** They are spread over the study, by its answers; no more than so many. */
  readonly faults: number;
  readonly onFault?: (fault: Fault, answered: number) => void;
}

/** A job whose worker is silent for so long goes to another. */
const lockMs = 1500;

/** When no answer comes for so long the next fault comes all the same. */
const quietMs = 8000;

/**
 * Runs a table study over worker processes while things are killed and stopped at random moments, and starts again what
 * was killed, until the study is done.
 * @returns how often each fault was survived, and how many evaluations were begun.
 */
export async function runChaos(options: ChaosOptions): Promise<{ survived: Record<Fault, number>; begun: number }> {
  const { redis, folder, trials, random } = options;
  const store = join(folder, 'store');
  const study = join(folder, 'study');
  for (const path of [store, study]) mkdirSync(path, { recursive: true });
  const survived = Object.fromEntries(faults.map((fault) => [fault, 0])) as Record<Fault, number>;
  const state = { answered: 0, done: false };
  const news = new EventEmitter();
  const finished = new AbortController();
  const startWorker = (): ChildProcess =>
    start('worker-process', [redis.url, store, options.slots, options.evaluationMs, lockMs]);
  const startController = (): ChildProcess => {
    const child = start('controller-process', [redis.url, store, study, trials]);
    child.on('message', () => {
      state.answered++;
      news.emit('answer');
    });
    return child;
  };
  const workers = Array.from({ length: options.workers }, startWorker);
  let controller = startController();
  const watch = (child: ChildProcess): void => {
    child.once('exit', (code) => {
      if (code === 0) {
        state.done = true;
        finished.abort();
      }
    });
  };
  watch(controller);
  /** Resolves after so many more answers, or where none comes any more: what is starting up is hit, too. */
  const answers = async (count: number): Promise<void> => {
    const target = state.answered + count;
    while (!state.done && state.answered < target) {
      const before = state.answered;
      const waiting = new AbortController();
      const quiet = delay(quietMs, undefined, { signal: waiting.signal }).catch(() => {});
      await Promise.race([once(news, 'answer', { signal: waiting.signal }).catch(() => {}), quiet]);
      waiting.abort();
      if (state.answered === before && before > 0) return;
    }
  };
  const pick = (): number => random.integer(workers.length);
  const inflict: Readonly<Record<Fault, () => Promise<boolean>>> = {
    'kill worker': async () => {
      const index = pick();
      await kill(workers[index]);
      workers[index] = startWorker();
      return true;
    },
    'stop worker': async () => {
      const worker = workers[pick()];
      worker?.kill('SIGSTOP');
      // So long that its jobs go to others, and so short that they do not.
      await delay(lockMs * (0.3 + 2.5 * random.uniform()));
      worker?.kill('SIGCONT');
      return true;
    },
    'kill child': async () => {
      const children = childrenOf(workers[pick()]?.pid);
      const child = children[random.integer(Math.max(1, children.length))];
      if (child === undefined) return false;
      try {
        process.kill(child, 'SIGKILL');
      } catch {
        return false;
      }
      return true;
    },
    'kill controller': async () => {
      await kill(controller);
      if (state.done) return false;
      controller = startController();
      watch(controller);
      return true;
    },
    'kill redis': async () => {
      await redis.kill();
      await delay(1000 * random.uniform());
      await redis.up();
      return true;
    },
  };
  const left: Fault[] = [];
  try {
    for (let count = 0; count < options.faults && !state.done;) {
      // Half of the study is left for what goes on while something is down.
      await answers(1 + random.integer((0.5 * trials) / options.faults));
      if (state.done) break;
      // Each kind once before any comes again.
      if (left.length === 0) left.push(...faults);
      const [fault] = left.splice(random.integer(left.length), 1) as [Fault];
      if (!(await inflict[fault]())) {
        left.push(fault);
        continue;
      }
      survived[fault]++;
      count++;
      options.onFault?.(fault, state.answered);
    }
    if (!state.done) await once(finished.signal, 'abort');
    return { survived, begun: readFileSync(join(store, 'begun'), 'utf8').trimEnd().split('\n').length };
  } finally {
    await Promise.all([...workers, controller].map(kill));
  }
}

function start(name: string, args: readonly (string | number)[]): ChildProcess {
  return fork(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), args.map(String), {
    execArgv: ['--import', import.meta.resolve('tsx')],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

async function kill(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Process ids of a process's children, as Linux tells them. */
function childrenOf(pid: number | undefined): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
