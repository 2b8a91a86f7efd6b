import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { requestSchema, type RequestOf } from '../../commands/protocol.ts';
import { CommandError } from '../../commands/run.ts';
import { type CommandTraining, openCommandTrainer } from '../../commands/trainer.ts';
import { SimulatedClock } from '../../core/clock.ts';
import { ConfigError, InterruptedError } from '../../core/errors.ts';
import { buildNetwork } from '../../models/build.ts';
import { decodeSafetensors, encodeSafetensors } from '../../models/safetensors.ts';
import { parseNetworkSpec, specDigest } from '../../models/spec.ts';
import { fileFolder } from '../cases/file-folder.ts';

const programFile = fileURLToPath(new URL('trainer-program.mjs', import.meta.url));
const root = fileFolder();
const spec = parseNetworkSpec(
  {
    input: { resolution: 8 },
    classes: 3,
    stem: { kernel: 3, stride: 2, width: 4 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 1, expansion: 2, width: 4, repeats: 1 }],
    head: { width: 0 },
  },
  'test',
);
const accuracy = { value: 0.5, split: 'holdout', n: 100 };
const data = {
  file: '/none',
  digest: `sha256:${'0'.repeat(64)}`,
  name: 'none',
  classNames: ['a', 'b', 'c'],
  mean: [0, 0, 0],
  std: [1, 1, 1],
};

function open(params: RequestOf<'train'>['params'] = {}, clock = new SimulatedClock()) {
  const folder = mkdtempSync(join(root, 'trainings-'));
  const record = join(folder, 'requests');
  const trainer = openCommandTrainer({
    command: { name: 'train', directory: root, command: [process.execPath, programFile, '{request}'], limits: {} },
    params: { accuracy, record, ...params },
    study: 'small',
    folder,
    clock,
  });
  const train = (keys: Partial<CommandTraining> = {}) =>
    trainer.train({ id: 't0001', spec, data, fidelity: { examples: 64, seed: 3 }, keepWeights: true, ...keys });
  const requests = (): RequestOf<'train'>[] =>
    readFileSync(record, 'utf8')
      .trim()
      .split('\n')
      .map((line) => requestSchema.parse(JSON.parse(line)) as RequestOf<'train'>);
  return { trainer, train, requests, clock, folder };
}

/** The starting weights with a change, as a file. */
function changedWeights(change: (weights: Map<string, Float32Array>, shapes: Map<string, readonly number[]>) => void) {
  const { parameters } = buildNetwork(spec, 1);
  const weights = new Map(
    parameters.map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]),
  );
  const shapes = new Map<string, readonly number[]>(parameters.map(({ name, shape }) => [name, shape]));
  change(weights, shapes);
  const path = join(mkdtempSync(join(root, 'weights-')), 'weights.safetensors');
  writeFileSync(path, encodeSafetensors({ weights, shapes, metadata: {} }));
  return path;
}

describe('a trainer by a command', () => {
  it('gives metrics, cost and weights under the names of the network', async () => {
    const { train } = open();
    const trained = await train();
    expect(trained.result).toMatchObject({ status: 'ok', metrics: { accuracy }, cost: { deviceHours: 0.5 } });
    const weights = 'weights' in trained ? trained.weights : undefined;
    const stored = decodeSafetensors(weights as Uint8Array, 'test');
    expect([...stored.shapes.keys()].toSorted()).toEqual(
      buildNetwork(spec, 1)
        .parameters.map(({ name }) => name)
        .toSorted(),
    );
  });

  it('asks with all that a program needs', async () => {
    const { train, requests } = open({ lr: 0.1 });
    await train();
    const [request] = requests();
    expect(request).toMatchObject({
      op: 'train',
      study: 'small',
      trial: 't0001',
      attempt: 1,
      seed: 3,
      spec: { digest: specDigest(spec), padding: 'same', bnEps: 0.001 },
      fidelity: { examples: 64 },
      params: { lr: 0.1 },
      keepWeights: true,
      limits: { wallS: 86_400, silenceS: 900, graceS: 10 },
    });
    const graph = JSON.parse(readFileSync(request?.files.graph as string, 'utf8')) as {
      nodes: { op: string }[];
      parameters: { name: string }[];
    };
    expect(graph.nodes.map(({ op }) => op)).toContain('batch-norm');
    expect(graph.parameters.map(({ name }) => name)).toContain('classifier.bias');
    // A study tries many networks: what can be made again is not kept.
    expect(existsSync(request?.files.weights as string)).toBe(false);
  });

  it('keeps one state for all attempts and fidelities of a network and seed, and another for another seed', async () => {
    const { train, requests } = open();
    await train();
    await train({ id: 't0002', fidelity: { examples: 256, seed: 3 } });
    await train({ id: 't0003', fidelity: { examples: 64, seed: 4 } });
    const [a, b, c] = requests().map(({ paths }) => paths);
    expect(b?.state).toBe(a?.state);
    expect(c?.state).not.toBe(a?.state);
    expect(new Set([a?.out, b?.out, c?.out]).size).toBe(3);
  });

  it('starts again what was preempted, at no cost but the pause', async () => {
    const { train, requests, clock } = open({ preempted: 3 });
    await train();
    expect(requests().map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(clock.now()).toBe(7000);
  });

  it('gives up on a program that is preempted for ever', async () => {
    const { train, requests } = open({ exit: 75 });
    await expect(train()).rejects.toMatchObject({ failure: 'preempted' });
    expect(requests()).toHaveLength(21);
  });

  it('leaves a crash to the study, and counts on when it asks again', async () => {
    const { train, requests } = open({ crashes: 1 });
    await expect(train()).rejects.toMatchObject({ failure: 'exit', retry: true });
    expect((await train()).result.status).toBe('ok');
    expect(requests().map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it('gives a handle back to the trial it is of, until that is answered', async () => {
    const { train, requests } = open({ handle: true, crashes: 1 });
    await expect(train()).rejects.toBeInstanceOf(CommandError);
    await expect(train({ id: 't0002' })).rejects.toBeInstanceOf(CommandError);
    await train({ id: 't0002' });
    await train({ id: 't0002' });
    expect(requests().map(({ handle }) => handle)).toEqual([undefined, undefined, { job: 't0002-1' }, undefined]);
  });

  it('hands on what the program says of the network', async () => {
    const answer = { status: 'infeasible', reason: 'out-of-memory', observed: 81e9, limit: 80e9 };
    const { train } = open({ answer });
    expect((await train()).result).toEqual(answer);
  });

  it('stops when aborted, and a handle waits for its return', async () => {
    const { train, requests, folder } = open({ hang: true, handle: true });
    const controller = new AbortController();
    const stopped = train({
      signal: controller.signal,
      onEvent: ({ t }) => {
        if (t === 'handle') controller.abort();
      },
    });
    await expect(stopped).rejects.toBeInstanceOf(InterruptedError);
    // Another process of the same study goes on.
    const home = join(folder, `${specDigest(spec).slice(7, 19)}-s3`);
    expect(existsSync(join(home, 'handle.json'))).toBe(true);
    writeFileSync(join(home, 'state', 'hung'), '');
    await train();
    expect(requests()[1]?.handle).toEqual({ job: 't0001-1' });
  });

  it.each([
    [
      'a name that the network lacks',
      (w: Map<string, Float32Array>, s: Map<string, readonly number[]>) => {
        w.set('extra', new Float32Array(1));
        s.set('extra', [1]);
      },
      "expected the network's parameters only, got also extra",
    ],
    [
      'one too few',
      (w: Map<string, Float32Array>) => void w.delete('classifier.bias'),
      'expected classifier.bias [3], got none',
    ],
    [
      'another shape',
      (_w: Map<string, Float32Array>, s: Map<string, readonly number[]>) => void s.set('classifier.weight', [3, 4]),
      'expected classifier.weight [4, 3], got [3, 4]',
    ],
    [
      'no number',
      (w: Map<string, Float32Array>) => void w.set('classifier.bias', new Float32Array([0, Number.NaN, 0])),
      'expected finite values of classifier.bias',
    ],
  ])('refuses weights with %s', async (_what, change, message) => {
    const { train } = open({ weights: changedWeights(change) });
    const error = await train().catch((cause: unknown) => cause);
    expect(error).toMatchObject({ failure: 'badResult', retry: false });
    expect((error as Error).message).toContain(message);
  });

  it('refuses weights that are not those it promised, or none where they are wanted', async () => {
    await expect(open({ sha256: 'f'.repeat(64) }).train()).rejects.toThrow(/expected sha256:f{64}, got sha256:/);
    const bare = { status: 'ok', metrics: { accuracy } };
    await expect(open({ answer: bare }).train()).rejects.toThrow('expected an artefact of kind weights, got none');
    expect((await open({ answer: bare }).train({ keepWeights: false })).result.status).toBe('ok');
  });

  it('refuses an accuracy of another split than the hold-out', async () => {
    const answer = { status: 'ok', metrics: { accuracy: { value: 1, split: 'train', n: 100 } } };
    await expect(open({ answer }).train({ keepWeights: false })).rejects.toMatchObject({ failure: 'badResult' });
  });

  it('refuses a program that cannot train', async () => {
    const { folder } = open();
    const trainer = openCommandTrainer({
      command: {
        name: 'target',
        directory: root,
        command: [process.execPath, fileURLToPath(new URL('program.mjs', import.meta.url)), 'describe', '{request}'],
        limits: {},
      },
      params: {},
      study: 'small',
      folder,
    });
    await expect(trainer.describe()).rejects.toBeInstanceOf(ConfigError);
  });
});
