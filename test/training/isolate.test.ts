import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AcceleratorUnavailableError } from '../../accelerators/onnxruntime.ts';
import { childEntry, runChild } from '../../core/child.ts';
import { ConfigError, InterruptedError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { noAugmentation } from '../../data/augment.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import type { Split } from '../../data/dataset.ts';
import { buildNetwork } from '../../models/build.ts';
import { readSafetensors } from '../../models/safetensors.ts';
import { parseNetworkSpec, specDigest } from '../../models/spec.ts';
import {
  type StoredTrainingResult,
  trainInChild,
  type TrainingAssignment,
  type TrainingNews,
  type TrainingProgress,
} from '../../training/isolate.ts';
import type { TrainingSchedule } from '../../training/training-schedule.ts';
import { defaultRecipe } from '../../training/recipe.ts';

const side = 8;
const spec = parseNetworkSpec(
  {
    input: { channels: 1, resolution: side },
    classes: 2,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'fused-mbconv', kernel: 3, stride: 1, expansion: 1, width: 8, repeats: 1 }],
    head: { width: 0 },
  },
  'test network',
);

let folder = '';
let assignment: TrainingAssignment;

/** Bright on the left or on the right. */
function split(count: number, random: Random): Split {
  const labels = Uint16Array.from({ length: count }, () => random.integer(2));
  const pixels = Uint8Array.from({ length: count * side * side }, (_, index) => {
    const isRight = index % side >= side / 2;
    const isBright = isRight === (labels[Math.floor(index / (side * side))] === 1);
    return (isBright ? 160 : 40) + random.integer(80);
  });
  return { count, pixels, labels };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ridgepoint-train-'));
  const random = new Random(1);
  const splits = { train: split(200, random), holdout: split(50, random), test: split(0, random) };
  const description = { name: 'sides', channels: 1, height: side, width: side, classNames: ['left', 'right'] };
  await writeDatasetFile({ ...description, mean: [0.5], std: [0.25], splits }, join(folder, 'data'));
  assignment = {
    spec,
    data: { file: join(folder, 'data'), augmentation: noAugmentation, scoredSplit: 'holdout' },
    recipe: defaultRecipe({ batchSize: 16 }),
    fidelity: { examples: 480, seed: 1 },
    threads: 1,
    weightsFile: join(folder, 'weights.safetensors'),
  };
});
afterAll(() => rm(folder, { recursive: true }));

/** A brief training with all its news. */
async function trainTelling(more: Partial<TrainingAssignment>) {
  const news: TrainingNews[] = [];
  const { output } = await runChild<TrainingAssignment, StoredTrainingResult, TrainingNews>({
    entry: childEntry(import.meta.url, '../../training/train-child'),
    input: { ...assignment, fidelity: { examples: 16, seed: 1 }, weightsFile: join(folder, 'brief'), ...more },
    onEvent: (event) => news.push(event),
  });
  return { output, found: news.flatMap((one) => (one.type === 'lowering' ? [one.found] : [])), news };
}

describe('training in a child process', () => {
  it('is refused on a provider that this host does not offer, naming those it does', async () => {
    const elsewhere = process.platform === 'win32' ? 'coreml' : 'dml';
    const recipe = { ...assignment.recipe, provider: elsewhere } as const;
    await expect(trainInChild({ ...assignment, recipe })).rejects.toThrow(AcceleratorUnavailableError);
    const schedule: TrainingSchedule = { stages: [{ share: 1 }, { share: 1, provider: elsewhere }] };
    await expect(trainInChild({ ...assignment, schedule })).rejects.toThrow(
      new RegExp(`^provider: expected one that this host offers \\(cpu.*\\), got ${elsewhere}: .*built without it`),
    );
  });

  it('trains, reports progress, and leaves the weights in a file', async () => {
    const progress: TrainingProgress[] = [];
    const result = await trainInChild({ ...assignment, onProgress: (point) => progress.push(point) });
    expect(result.status).toBe('trained');
    if (result.status !== 'trained') return;
    expect(result.metrics['accuracy']).toBeGreaterThan(0.9);
    expect(result).not.toHaveProperty('weights');
    expect(progress.at(-1)?.examples).toBe(480);
    expect(progress.every(({ imagesPerS }) => imagesPerS > 0)).toBe(true);
    expect(result.cost.peakRssBytes).toBeGreaterThan(10e6);

    const { weights, metadata } = await readSafetensors(assignment.weightsFile);
    const parameters = buildNetwork(spec, 'batch').parameters.map(({ name }) => name);
    expect([...weights.keys()].toSorted()).toEqual(parameters.toSorted());
    expect(metadata['spec_digest']).toBe(specDigest(spec));
  });

  it('tells what lowering it chose, unless it was told one, whose notice it repeats', async () => {
    const first = await trainTelling({});
    expect(first.found.map(({ id }) => id)).toEqual([first.output.lowering]);
    const second = await trainTelling({ lowering: { id: 'plain', notice: 'for a reason' } });
    expect(second.output.lowering).toBe('plain');
    expect(second.found).toEqual([]);
    expect(second.news).toContainEqual({ type: 'notice', text: 'for a reason' });
  });

  it('trains by TensorFlow.js when told to, with the same losses', async () => {
    const ours = await trainTelling({});
    const theirs = await trainTelling({ trainer: 'tfjs' });
    expect(theirs.output.lowering).toMatch(/^tfjs-/);
    expect(theirs.output.curve[0]?.loss).toBeCloseTo(ours.output.curve[0]?.loss as number, 5);
    expect(theirs.found).toEqual([]);
    const { weights } = await readSafetensors(join(folder, 'brief'));
    expect(weights.size).toBe(buildNetwork(spec, 'batch').parameters.length);
  });

  it('refuses a network that does not fit the data', async () => {
    const running = trainInChild({ ...assignment, spec: { ...spec, classes: 5 }, weightsFile: join(folder, 'none') });
    await expect(running).rejects.toThrow(ConfigError);
  });

  it('ends when aborted and leaves no weights', async () => {
    const controller = new AbortController();
    const running = trainInChild({
      ...assignment,
      fidelity: { examples: 96_000, seed: 1 },
      weightsFile: join(folder, 'none'),
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(running).rejects.toThrow(InterruptedError);
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });
});

/** Starts the child by hand, so that it can be killed, and does so once it has told of enough points. */
async function killedAfter(points: number, input: TrainingAssignment): Promise<void> {
  const entry = childEntry(import.meta.url, '../../training/train-child');
  const child = fork(entry, { serialization: 'advanced', stdio: 'ignore' });
  let told = 0;
  child.on('message', ({ type }: { type: string }) => {
    if (type === 'event' && ++told === points) child.kill('SIGKILL');
  });
  child.send({ type: 'call', input });
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
  expect(signal).toBe('SIGKILL');
}

describe('a training that survives its process', () => {
  it('leaves the same bytes when its process was killed, twice, and interrupted, and takes no other’s checkpoint', async () => {
    const long = { ...assignment, fidelity: { examples: 960, seed: 7 } };
    const whole = await trainInChild({ ...long, weightsFile: join(folder, 'whole') });
    const checkpoint = { file: join(folder, 'checkpoint'), dataDigest: 'sha256:sides', everyS: 0 };
    const resumable = { ...long, weightsFile: join(folder, 'resumed'), checkpoint };
    await killedAfter(3, resumable);
    await killedAfter(4, resumable);
    expect(existsSync(resumable.weightsFile)).toBe(false);

    const controller = new AbortController();
    const running = trainInChild({ ...resumable, signal: controller.signal, onProgress: () => controller.abort() });
    await expect(running).rejects.toThrow(InterruptedError);

    const notices: string[] = [];
    const resumed = await trainInChild({ ...resumable, onNotice: (text) => notices.push(text) });
    expect(notices).toEqual([expect.stringMatching(/^training goes on after \d+ of 960 examples$/)]);
    expect(await readFile(resumable.weightsFile)).toEqual(await readFile(join(folder, 'whole')));
    expect({ ...resumed, cost: undefined }).toEqual({ ...whole, cost: undefined });
    expect(resumed.cost.examples).toBe(960);

    const elsewhere = trainInChild({ ...resumable, checkpoint: { ...checkpoint, dataDigest: 'sha256:fronts' } });
    await expect(elsewhere).rejects.toThrow(/one of another \(data sha256:sides instead of sha256:fronts\)/);
  });
});
