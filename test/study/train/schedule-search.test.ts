import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, InterruptedError } from '../../../core/errors.ts';
import { dataSourceSchema } from '../../../data/source.ts';
import { parseNetworkSpec } from '../../../models/spec.ts';
import { resolveRecipe } from '../../../study/evaluation/recipe.ts';
import { differencesOf, schedulePair, similarSchedules } from '../../../study/train/found-schedules.ts';
import { searchSchedule, type ScheduleSearchRequest } from '../../../study/train/schedule-search.ts';
import { readScheduleFile } from '../../../study/evaluation/training-schedule.ts';
import { trainNetwork } from '../../../study/train/train-network.ts';
import { stepCost } from '../../../training/step-cost.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { networkRequest } from '../small-training.ts';

const { network: small } = networkRequest('');
if (typeof small === 'string') throw new Error('expected a spec');

function requestIn(folder: string, overrides: Partial<ScheduleSearchRequest> = {}): ScheduleSearchRequest {
  const { network, data, baseDirectory, trainer } = networkRequest(folder);
  return {
    network,
    data,
    baseDirectory,
    trainer,
    probeExamples: 64,
    trials: 2,
    seeds: 1,
    seed: 0,
    controller: 'random',
    cores: 1,
    file: join(folder, 'schedule.yaml'),
    lockDirectory: join(folder, 'lock'),
    ...overrides,
  };
}

/** A quality on the hold-out, or null of a training that diverged. */
type Known = { readonly accuracy: number; readonly crossEntropy: number } | null;

/** A search of two schedules whose trainings, but for the level one's, came to what is said: without a schedule first. */
async function searchKnowing(...known: readonly [Known, Known]) {
  const folder = fileFolder();
  const controller = new AbortController();
  const onProgress = ({ phase }: { phase: string }) => phase === 'confirm' && controller.abort();
  // Of this seed the second schedule has stages.
  const request = requestIn(folder, { seed: 3 });
  await expect(searchSchedule({ ...request, signal: controller.signal, onProgress })).rejects.toThrow(InterruptedError);
  const file = join(folder, 'schedule.yaml.part', 'answers.jsonl');
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const trainings = lines.flatMap((line, index) => (line.includes('"quality ') ? [index] : []));
  expect(trainings).toHaveLength(2);
  for (const [k, index] of trainings.entries())
    lines[index] = JSON.stringify({ ...JSON.parse(lines[index] ?? ''), value: known[k] });
  writeFileSync(file, `${lines.join('\n')}\n`);
  return searchSchedule(request);
}

describe('a search for a training schedule', () => {
  it('goes on where it was interrupted, and leaves a schedule with its evidence that trains the network', async () => {
    const folder = fileFolder();
    const controller = new AbortController();
    const onProgress = ({ text }: { text: string }) => text.startsWith('schedule 2') && controller.abort();
    const interrupted = searchSchedule(requestIn(folder, { signal: controller.signal, onProgress }));
    await expect(interrupted).rejects.toThrow(InterruptedError);
    await expect(interrupted).rejects.toThrow(/goes on from .*schedule\.yaml\.part/);
    // An answer that no training gives: where it comes back it was not asked again.
    const answersFile = join(folder, 'schedule.yaml.part', 'answers.jsonl');
    const known = { accuracy: 0, crossEntropy: 9 };
    const before = readFileSync(answersFile, 'utf8').trim().split('\n');
    const without = before.findIndex((line) => / 64 0"/.test(line));
    before[without] = JSON.stringify({ ...JSON.parse(before[without] ?? ''), value: known });
    writeFileSync(answersFile, `${before.join('\n')}\n`);

    const result = await searchSchedule(requestIn(folder));
    expect(existsSync(join(folder, 'schedule.yaml.part'))).toBe(false);
    expect(result.tried).toBe(2);
    expect(result.fixed.schedule.stages).toEqual([{ share: 1 }]);
    expect(result.fixed.examples).toBe(64);
    expect(result.fixed).toMatchObject(known);
    expect(result.best.accuracy).toBeGreaterThanOrEqual(result.fixed.accuracy);
    expect(result.best.crossEntropy).toBeLessThan(known.crossEntropy);

    const schedule = readScheduleFile(join(folder, 'schedule.yaml'));
    expect(schedule.stages).toEqual(result.best.schedule.stages);
    expect(schedule.found).toMatchObject({ tried: 2, data: 'rendered-16' });
    expect(schedule.found?.examples).toEqual({ scheduled: result.best.examples, fixed: 64 });
    expect(schedule.found?.accuracy.scheduled).toBe(result.best.accuracy);
    const notices: string[] = [];
    const onNotice = (text: string) => notices.push(text);
    await trainNetwork(networkRequest(join(folder, 'trained'), { schedule, onNotice }));
    expect(notices).toEqual([]);
  });

  it('tries the last stage’s settings throughout, and keeps them where they are what helps', async () => {
    const { best, level } = await searchKnowing({ accuracy: 0, crossEntropy: 9 }, { accuracy: 0.1, crossEntropy: 8 });
    expect(level?.schedule.stages).toHaveLength(1);
    expect(best).toBe(level);
  });

  it('keeps nothing less accurate than training without, whatever its cross-entropy', async () => {
    const without = { accuracy: 1, crossEntropy: 9 };
    const { best, fixed, level } = await searchKnowing(without, { accuracy: 0.9, crossEntropy: 0.01 });
    expect(level?.crossEntropy).toBeLessThan(9);
    expect(best).toBe(fixed);
  });

  it('counts one that diverged as none, however bad the others are', async () => {
    const { best, fixed, infeasible } = await searchKnowing({ accuracy: 0.5, crossEntropy: 9 }, null);
    expect(infeasible).toBe(1);
    expect(best).toBe(fixed);
    await expect(searchKnowing(null, { accuracy: 0.9, crossEntropy: 0.1 })).rejects.toThrow(
      'got a training that diverged',
    );
  });

  it('trains nothing that needs more memory than there is', async () => {
    const starved = searchSchedule(requestIn(fileFolder(), { memoryBytes: 1e6 }));
    await expect(starved).rejects.toThrow(ConfigError);
    await expect(starved).rejects.toThrow('--memory: expected enough to train without a schedule');
  });

  it('keeps less of the forward pass where memory is short for all of it', async () => {
    // Many cheap layers, whose values are as large as the process itself.
    const stage = { operator: 'mbconv', kernel: 3, stride: 1, expansion: 1, width: 16, repeats: 8 };
    const network = parseNetworkSpec({ ...small, input: { channels: 3, resolution: 32 }, stages: [stage] }, 'deep');
    const trainer = { batchSize: 64 };
    const { recipe } = resolveRecipe(trainer);
    const peakBytes = async (rematerialise: boolean): Promise<number> => {
      const setting = { spec: network, recipe: { ...recipe, rematerialise }, threads: 1 };
      return (await stepCost({ setting, seconds: 0 }, new AbortController().signal)).peakRssBytes;
    };
    const memoryBytes = Math.sqrt((await peakBytes(true)) * (await peakBytes(false)));
    const data = dataSourceSchema.parse({ format: 'rendered', classes: 2, train: 60, test: 20, resolution: 32 });
    const request = requestIn(fileFolder(), { network, data, trainer, memoryBytes, trials: 1 });
    const { fixed, infeasible } = await searchSchedule(request);
    expect(fixed.schedule.stages).toEqual([{ share: 1, rematerialise: true }]);
    expect(infeasible).toBe(0);
  });
});

describe('a schedule that was found', () => {
  const here = schedulePair(small);

  it('is offered for a similar network on the same device, from the folder of the file asked for', async () => {
    expect(differencesOf(here, here)).toEqual([]);
    const wider = { ...small, stem: { ...small.stem, width: 9 } };
    expect(differencesOf(here, schedulePair(wider))).toEqual([]);
  });

  it('is doubted for others, saying why', () => {
    const large = { ...small, input: { ...small.input, resolution: 64 } };
    expect(differencesOf(here, schedulePair(large))).toEqual([
      expect.stringMatching(/^a network of 1\d times the multiply-adds$/),
    ]);
    const device = { ...here.device, cpu: 'another' };
    expect(differencesOf({ ...here, device }, here)).toEqual([expect.stringMatching(/^cpu another instead of /)]);
    expect(differencesOf(schedulePair(small, 'webgpu'), here)).toEqual(['provider webgpu instead of cpu']);
    const operators = { ...here.network, operators: ['basic'] };
    expect(differencesOf({ ...here, network: operators }, here)).toEqual(['basic instead of fused-mbconv']);
    expect(similarSchedules(join(fileFolder(), 'schedule.yaml'), here).size).toBe(0);
  });
});
