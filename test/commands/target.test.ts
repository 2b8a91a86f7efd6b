import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Command } from '../../commands/declaration.ts';
import { CommandError } from '../../commands/run.ts';
import { type CommandProtocol, commandProtocols } from '../../commands/sampling.ts';
import { type CommandTarget, openCommandTarget } from '../../commands/target.ts';
import { EnvironmentError, InfeasibleModelError, InterruptedError } from '../../core/errors.ts';
import { withHostLock } from '../../latency/host-lock.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { latencySchema } from '../../latency/latency.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { temporaryFilesIn } from '../cases/temporary-files.ts';

const programFile = fileURLToPath(new URL('target-program.mjs', import.meta.url));
const folder = fileFolder();
/** Any model will do: the fake looks at none. */
const network = encodeOnnx({
  name: 'any',
  inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 3] }],
  outputs: [{ name: 'y', dtype: 'float32', shape: ['batch', 3] }],
  nodes: [{ opType: 'Relu', name: 'relu', inputs: ['x'], outputs: ['y'] }],
  initializers: [],
});
const lockDirectory = join(folder, 'lock');

temporaryFilesIn(folder);

interface Script {
  readonly describe?: object;
  /** What each session answers: a median in milliseconds, a result, or `crash`. */
  readonly model: readonly (number | 'crash' | object)[];
  readonly reference?: readonly (number | object)[];
  /** File that requests are appended to. */
  readonly record?: string;
}

function commandFor(script: Script): Command {
  return {
    name: 'fake@1',
    directory: folder,
    command: [process.execPath, programFile, JSON.stringify(script), '{request}'],
    limits: { wall: 20_000 },
  };
}

const quick: CommandProtocol = {
  ...commandProtocols.quick,
  sessions: { ...commandProtocols.quick.sessions, gapMs: 0 },
};

async function measure(
  script: Script,
  protocol = quick,
  use: (target: CommandTarget) => Promise<void> = async () => {},
) {
  const target = openCommandTarget(commandFor(script), { lockDirectory });
  try {
    await use(target);
    return await target.measure({
      model: network,
      spec: '{}',
      batch: 2,
      threads: 1,
      precision: 'fp32',
      protocol,
    });
  } finally {
    target.close();
  }
}

describe('a latency by a command', () => {
  it('is the centre of sessions, with the interval of their spread', async () => {
    const latency = await measure({ model: [1, 1.01, 0.99] });
    expect(latencySchema.parse(latency)).toEqual(latency);
    expect(latency).toMatchObject({
      source: 'command',
      accelerator: 'command:fake@1',
      batch: 2,
      precision: 'fp32',
      sessions: 3,
      samples: 60,
      p99Ms: null,
      stable: true,
      drift: 0,
      rejectedBlocks: 0,
      includesIo: false,
      fingerprint: { host: 'lab-3', cpu: 'Fake 9000', cores: 4, runtime: 'fake 2.1, driver 7', provider: 'fake 1' },
    });
    // Samples run over 0.9 … 1.1 of their session's entry, unevenly: 20 of them leave out the last.
    const [a, b, c] = latency.sessionP50Ms as [number, number, number];
    expect(a).toBeCloseTo(0.995, 12);
    expect(b / a).toBeCloseTo(1.01, 12);
    expect(latency.p50Ms).toBeCloseTo(Math.cbrt(a * b * c), 12);
    // Student's t for two degrees of freedom at 95 %: 4.3027.
    const logs = [a, b, c].map((ms) => Math.log(ms / latency.p50Ms));
    const deviation = Math.sqrt(logs.reduce((sum, log) => sum + log * log, 0) / 2);
    expect(latency.intervalMs.hi / latency.p50Ms).toBeCloseTo(Math.exp((4.3027 * deviation) / Math.sqrt(3)), 5);
    expect(latency.p90Ms).toBeGreaterThan(latency.p50Ms);
  });

  it('adds sessions while they disagree, and says when they never agree', async () => {
    const latency = await measure({ model: [1, 2, 1, 2, 1, 2] });
    expect(latency).toMatchObject({ sessions: 6, stable: false });
  });

  it('repeats the sessions that lie before a reference that drifted', async () => {
    // Three observations first; the fourth, after the block, is slow, the fifth is not.
    const latency = await measure({ reference: [1, 1, 1, 2, 1], model: [5, 5, 5, 1, 1, 1, 1, 1, 1] });
    expect(latency.p50Ms).toBeCloseTo(0.995, 12);
    // The block after the slow observation lies beside it, too.
    expect(latency).toMatchObject({ rejectedBlocks: 2, drift: 0, sessions: 3, stable: true });
  });

  it('is unstable where the reference keeps drifting', async () => {
    const patience = { ...quick, reference: { tolerance: 0.15, maxRejected: 1 } };
    const latency = await measure({ reference: [1, 1, 1, 2, 1, 2], model: [1] }, patience);
    expect(latency.rejectedBlocks).toBe(1);
    expect(latency.drift).toBeGreaterThan(0.15);
    expect(latency.stable).toBe(false);
  });

  it('tells the program what it needs to know', async () => {
    const record = join(mkdtempSync(join(folder, 'record-')), 'requests');
    await measure({ record, model: [1], describe: { operations: ['describe', 'prepare', 'measure'] } });
    const requests = readFileSync(record, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { op: string; model?: { prepared?: string } });
    expect(requests.map(({ op }) => op)).toEqual(['describe', 'prepare', 'prepare', ...Array(7).fill('measure')]);
    expect(requests[6]).toMatchObject({
      protocol: 'ridgepoint.command/1',
      target: 'fake@1',
      batch: 2,
      inputs: [{ name: 'x', dtype: 'float32', shape: [2, 3], open: true }],
      precision: 'fp32',
      percentiles: [50, 90, 99],
      sampling: quick.sampling,
      limits: { wallS: 20, silenceS: 20, graceS: 10 },
      model: { onnx: expect.stringMatching(/\.onnx$/), prepared: expect.stringMatching(/engine$/) },
    });
  });

  it('keeps few compiled models, and always the reference', async () => {
    const record = join(mkdtempSync(join(folder, 'record-')), 'requests');
    const operations = ['describe', 'prepare', 'measure'];
    const target = openCommandTarget(commandFor({ record, model: [1], describe: { operations } }), { lockDirectory });
    const once = { ...quick, sessions: { min: 3, max: 3, gapMs: 0 } };
    for (const batch of [1, 2, 3, 4, 1])
      await target.measure({ model: network, spec: '{}', batch, threads: 1, precision: 'fp32', protocol: once });
    target.close();
    const prepared = readFileSync(record, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { op: string; batch: number; model?: { spec?: string } })
      .filter(({ op }) => op === 'prepare')
      .map(({ batch, model }) => (model?.spec === undefined ? 'reference' : batch));
    expect(prepared).toEqual([1, 'reference', 2, 3, 4, 1]);
  });

  it('asks once for what a target can do and for each model it compiles', async () => {
    const record = join(mkdtempSync(join(folder, 'record-')), 'requests');
    const again = async (target: CommandTarget) => {
      const model = network;
      await target.measure({ model, spec: '{}', batch: 2, threads: 1, precision: 'fp32', protocol: quick });
    };
    await measure({ record, model: [1], describe: { operations: ['describe', 'prepare', 'measure'] } }, quick, again);
    const asked = readFileSync(record, 'utf8');
    expect(asked.match(/"op":"describe"/g)).toHaveLength(1);
    expect(asked.match(/"op":"prepare"/g)).toHaveLength(2);
  });

  it('tries again when the program crashes, and gives up when it keeps crashing', async () => {
    expect(await measure({ model: ['crash', 'crash', 1] })).toMatchObject({ sessions: 3 });
    await expect(measure({ model: ['crash'] })).rejects.toMatchObject({ failure: 'exit' });
  });

  it('keeps the log of a program that failed, and nothing of one that did not', async () => {
    const log = /\((\/\S+log\.txt)\)/;
    const error = await measure({ model: ['crash'] }).catch((cause: Error) => cause);
    expect(existsSync(log.exec((error as Error).message)?.[1] ?? '')).toBe(true);
  });

  it('says that a network cannot run there, and why', async () => {
    const raw = { status: 'infeasible', reason: 'memory', limit: 80e9, observed: 81e9, detail: 'HBM' };
    const error = await measure({ model: [{ raw }] }).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(InfeasibleModelError);
    expect(error).toMatchObject({ code: 'infeasible-model', reason: 'memory', limit: 80e9, observed: 81e9 });
    expect((error as Error).message).toContain('memory, 81000000000 of at most 80000000000 (HBM)');
  });

  it('hands on a failure that the program tells, and asks again only where that may help', async () => {
    const raw = { status: 'failed', code: 'no-licence', retry: false, detail: 'no seat left' };
    const error = await measure({ model: [{ raw }, 1] }).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(error).toMatchObject({ failure: 'told', code: 'no-licence', retry: false });
    const passing = { raw: { ...raw, retry: true } };
    expect(await measure({ model: [passing, passing, 1] })).toMatchObject({ sessions: 3 });
    await expect(measure({ model: [passing] })).rejects.toMatchObject({ code: 'no-licence', retry: true });
  });

  it('refuses a precision that the program does not have, before anything runs', async () => {
    const wrong = measure({ describe: { precisions: ['fp16', 'int8'] }, model: [1] });
    await expect(wrong).rejects.toThrow('expected a precision among fp16, int8, got fp32');
  });

  it('refuses an answer that cannot be right', async () => {
    const error = await measure({ model: [{ samplesMs: Array(100).fill(1234) }] }).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(CommandError);
    expect(error).toMatchObject({ failure: 'badResult', retry: false });
    expect((error as Error).message).toContain('expected samples in milliseconds');
  });

  it('waits for the host where it computes on this one, and not where it computes elsewhere', async () => {
    await withHostLock(
      'exclusive',
      async () => {
        const elsewhere = await measure({ describe: { onThisHost: false }, model: [1] });
        expect(elsewhere.sessions).toBe(3);
        const controller = new AbortController();
        const target = openCommandTarget(commandFor({ model: [1] }), { lockDirectory });
        const waiting = target.measure(
          { model: network, batch: 1, threads: 1, precision: 'fp32', protocol: quick },
          { signal: controller.signal },
        );
        const first = await Promise.race([
          waiting.catch(() => 'ended'),
          new Promise((r) => setTimeout(r, 1000, 'waits')),
        ]);
        expect(first).toBe('waits');
        controller.abort();
        await expect(waiting).rejects.toBeInstanceOf(InterruptedError);
        target.close();
      },
      { directory: lockDirectory },
    );
  });

  it('refuses a program that cannot measure', async () => {
    const wrong = measure({ describe: { operations: ['describe', 'train'] }, model: [1] });
    await expect(wrong).rejects.toThrow('expected a program that can measure, got one that can describe, train');
  });
});
