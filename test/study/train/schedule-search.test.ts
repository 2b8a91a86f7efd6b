import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, InterruptedError } from '../../../core/errors.ts';
import { differencesOf, schedulePair, similarSchedules } from '../../../study/train/found-schedules.ts';
import { searchSchedule, type ScheduleSearchRequest } from '../../../study/train/schedule-search.ts';
import { readScheduleFile } from '../../../study/evaluation/training-schedule.ts';
import { trainNetwork } from '../../../study/train/train-network.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { networkRequest } from '../small-training.ts';

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

describe('a search for a training schedule', () => {
  it('goes on where it was interrupted, and leaves a schedule with its evidence that trains the network', async () => {
    const folder = fileFolder();
    const controller = new AbortController();
    const onProgress = ({ text }: { text: string }) => text.startsWith('schedule 2') && controller.abort();
    const interrupted = searchSchedule(requestIn(folder, { signal: controller.signal, onProgress }));
    await expect(interrupted).rejects.toThrow(InterruptedError);
    await expect(interrupted).rejects.toThrow(/goes on from .*schedule\.yaml\.part/);
    const before = readFileSync(join(folder, 'schedule.yaml.part', 'answers.jsonl'), 'utf8')
      .trim()
      .split('\n');

    const told: string[] = [];
    const result = await searchSchedule(requestIn(folder, { onProgress: ({ phase }) => told.push(phase) }));
    expect(existsSync(join(folder, 'schedule.yaml.part'))).toBe(false);
    expect(before.length).toBeGreaterThanOrEqual(4);
    expect(result.tried).toBe(2);
    expect(result.fixed.schedule.stages).toEqual([{ share: 1 }]);
    expect(result.fixed.examples).toBe(64);
    expect(result.best.accuracy).toBeGreaterThanOrEqual(result.fixed.accuracy);
    // What it had it did not ask again: one schedule and what goes with it were left.
    expect(told.filter((phase) => phase === 'probe').length).toBeLessThan(20);

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

  it('trains nothing that needs more memory than there is', async () => {
    const starved = searchSchedule(requestIn(fileFolder(), { memoryBytes: 1e6 }));
    await expect(starved).rejects.toThrow(ConfigError);
    await expect(starved).rejects.toThrow('--memory: expected enough to train without a schedule');
  });
});

describe('a schedule that was found', () => {
  const { network } = networkRequest('');
  if (typeof network === 'string') throw new Error('expected a spec');
  const here = schedulePair(network);

  it('is offered for a similar network on the same device, from the folder of the file asked for', async () => {
    expect(differencesOf(here, here)).toEqual([]);
    const wider = { ...network, stem: { ...network.stem, width: 9 } };
    expect(differencesOf(here, schedulePair(wider))).toEqual([]);
  });

  it('is doubted for others, saying why', () => {
    const large = { ...network, input: { ...network.input, resolution: 64 } };
    expect(differencesOf(here, schedulePair(large))).toEqual([
      expect.stringMatching(/^a network of 1\d times the multiply-adds$/),
    ]);
    const device = { ...here.device, cpu: 'another' };
    expect(differencesOf({ ...here, device }, here)).toEqual([expect.stringMatching(/^cpu another instead of /)]);
    const operators = { ...here.network, operators: ['basic'] };
    expect(differencesOf({ ...here, network: operators }, here)).toEqual(['basic instead of fused-mbconv']);
    expect(similarSchedules(join(fileFolder(), 'schedule.yaml'), here).size).toBe(0);
  });
});
