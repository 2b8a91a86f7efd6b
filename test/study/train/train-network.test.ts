import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, InterruptedError } from '../../../core/errors.ts';
import type { NetworkSpec } from '../../../models/spec.ts';
import { readSafetensors } from '../../../models/safetensors.ts';
import { trainNetwork, type TrainNetworkRequest } from '../../../study/train/train-network.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { networkRequest } from '../small-training.ts';

const filesOf = (folder: string) => readdirSync(folder).toSorted();
const exported = (folder: string) =>
  ['model.onnx', 'weights.safetensors'].map((name) => readFileSync(join(folder, name)));

/** Interrupts a training once it has told of progress. */
async function interrupted(request: TrainNetworkRequest): Promise<string> {
  const controller = new AbortController();
  const running = trainNetwork({
    ...request,
    signal: controller.signal,
    onProgress: ({ phase }) => phase === 'train' && controller.abort(),
  });
  return running.then(
    () => 'not interrupted',
    (error: unknown) => {
      expect(error).toBeInstanceOf(InterruptedError);
      return (error as Error).message;
    },
  );
}

describe('training one network', () => {
  it('goes on where it was interrupted and delivers the same files', async () => {
    const whole = join(fileFolder(), 'trained');
    await trainNetwork(networkRequest(whole));
    expect(filesOf(whole)).toEqual(['metrics.json', 'model.onnx', 'weights.safetensors']);

    const folder = join(fileFolder(), 'trained');
    expect(await interrupted(networkRequest(folder))).toBe(`interrupted; the same command goes on from ${folder}.part`);
    expect(existsSync(folder)).toBe(false);
    expect(filesOf(`${folder}.part`)).toEqual(['checkpoint.safetensors']);
    const notices: string[] = [];
    await trainNetwork(networkRequest(folder, { onNotice: (text) => notices.push(text) }));
    expect(notices).toEqual([expect.stringMatching(/^training goes on after \d+ of 960 examples$/)]);
    expect(filesOf(dirname(folder))).toEqual(['trained']);
    expect(exported(folder)).toEqual(exported(whole));
    expect(filesOf(folder)).toEqual(filesOf(whole));
  });

  it('grows it on the way, interrupted or not, and delivers the whole', async () => {
    const small = networkRequest('').network as NetworkSpec;
    const network = { ...small, stages: small.stages.map((stage) => ({ ...stage, width: 16, repeats: 2 })) };
    const schedule = { stages: [{ share: 1, depth: 0.5, width: 0.5 }, { share: 1 }] };
    const request = (folder: string) => networkRequest(folder, { network, schedule });
    const [whole, folder] = [join(fileFolder(), 'trained'), join(fileFolder(), 'trained')];
    await trainNetwork(request(whole));
    const { weights } = await readSafetensors(join(whole, 'weights.safetensors'));
    expect(weights.get('stage0.block1.project.norm.scale')).toHaveLength(16);
    await interrupted(request(folder));
    await trainNetwork(request(folder));
    expect(exported(folder)).toEqual(exported(whole));
  });

  it('refuses to go on by another recipe, and keeps what is there', async () => {
    const folder = join(fileFolder(), 'trained');
    await interrupted(networkRequest(folder));
    const before = readFileSync(`${folder}.part/checkpoint.safetensors`);
    const other = trainNetwork(networkRequest(folder, { trainer: { batchSize: 8, schedule: { kind: 'constant' } } }));
    await expect(other).rejects.toThrow(ConfigError);
    await expect(other).rejects.toThrow(/one of another \(recipe\.schedule none instead of \{"kind":"constant"\}\)/);
    expect(readFileSync(`${folder}.part/checkpoint.safetensors`)).toEqual(before);
  });

  it('leaves nothing behind when it diverged', async () => {
    const folder = join(fileFolder(), 'trained');
    const absurd = networkRequest(folder, {
      trainer: { batchSize: 8, learningRate: 1e9, warmup: 0 },
      checkpointEveryS: 0,
    });
    await expect(trainNetwork(absurd)).rejects.toThrow(/training diverged after \d+ examples/);
    expect(filesOf(dirname(folder))).toEqual([]);
  });

  it.each([
    ['a foreign file', ['notes.txt']],
    ['a foreign file beside a checkpoint', ['checkpoint.safetensors', 'notes.txt']],
    ['files of the same names that no training left', ['model.onnx', 'weights.safetensors']],
  ])('refuses %s in the folder for unfinished work, and touches nothing', async (_name, names) => {
    const folder = join(fileFolder(), 'trained');
    mkdirSync(`${folder}.part`);
    for (const name of names) writeFileSync(join(`${folder}.part`, name), name);
    const running = trainNetwork(networkRequest(folder));
    await expect(running).rejects.toThrow(ConfigError);
    await expect(running).rejects.toThrow(/unfinished work to be new or of an earlier run, got .*trained\.part/);
    expect(filesOf(`${folder}.part`)).toEqual(names);
    expect(existsSync(folder)).toBe(false);
  });

  it('removes its own files alone when it fails', async () => {
    const folder = join(fileFolder(), 'trained');
    const foreign = join(`${folder}.part`, 'notes.txt');
    const appearing = setInterval(() => existsSync(dirname(foreign)) && writeFileSync(foreign, ''), 1);
    const running = trainNetwork(networkRequest(folder, { trainer: { batchSize: 8, learningRate: 1e9, warmup: 0 } }));
    await expect(running.finally(() => clearInterval(appearing))).rejects.toThrow(/training diverged/);
    expect(filesOf(`${folder}.part`)).toEqual(['notes.txt']);
  });

  it('goes on after a kill, and delivers nothing of what that left half written', async () => {
    const folder = join(fileFolder(), 'trained');
    await interrupted(networkRequest(folder));
    const { pid } = spawnSync(process.execPath, ['--version']);
    const lease = JSON.stringify({ host: hostname(), pid, token: 'of the dead' });
    const left = {
      'lease.json': lease,
      'lease.json.12345': lease,
      'lease.json.0f8fad5b-d9cb-469f-a165-70867728950e': lease,
      'lease.json.0123456789ab.1': lease,
      'data.bin': '',
      'data.bin.52b0a2a6-9d0c-4d4e-8f6a-0123456789ab.part': '',
      'checkpoint.safetensors.0123456789ab.tmp': '',
      'model.onnx': '',
    };
    for (const [name, text] of Object.entries(left)) writeFileSync(join(`${folder}.part`, name), text);
    const notices: string[] = [];
    let meanwhile: string[] = [];
    const onProgress: TrainNetworkRequest['onProgress'] = ({ phase }) => {
      if (phase === 'train') meanwhile = filesOf(`${folder}.part`);
    };
    await trainNetwork(networkRequest(folder, { onProgress, onNotice: (text) => notices.push(text) }));
    expect(notices).toEqual([expect.stringMatching(/^training goes on/)]);
    // A checkpoint may be in the writing just then, under a name of its own.
    const settled = meanwhile.filter((name) => name in left || !name.endsWith('.tmp'));
    expect(settled).toEqual(['checkpoint.safetensors', 'data.bin', 'lease.json']);
    expect(filesOf(folder)).toEqual(['metrics.json', 'model.onnx', 'weights.safetensors']);
    expect(filesOf(dirname(folder))).toEqual(['trained']);
  });

  it('does not train again what another run delivered while it prepared the data', async () => {
    const folder = join(fileFolder(), 'trained');
    const running = trainNetwork(networkRequest(folder));
    mkdirSync(folder); // Its own check was before it first waited.
    await expect(running).rejects.toThrow(/expected a folder that does not exist yet/);
    expect(filesOf(dirname(folder))).toEqual(['trained']);
  });

  it('keeps its training when the folder appeared meanwhile', async () => {
    const folder = join(fileFolder(), 'trained');
    const running = trainNetwork({
      ...networkRequest(folder),
      onProgress: ({ phase }) => phase === 'train' && mkdirSync(folder, { recursive: true }),
    });
    await expect(running).rejects.toThrow(/expected a folder that does not exist yet/);
    expect(filesOf(`${folder}.part`)).toEqual(['checkpoint.safetensors']);
  });

  it('refuses a folder that exists', async () => {
    const folder = fileFolder();
    writeFileSync(join(folder, 'precious'), '');
    await expect(trainNetwork(networkRequest(folder))).rejects.toThrow(/expected a folder that does not exist yet/);
    expect(filesOf(folder)).toEqual(['precious']);
  });
});
