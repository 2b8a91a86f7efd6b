import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../../core/digest.ts';
import { ConfigError } from '../../../core/errors.ts';
import { builtInSpace } from '../../../search/spaces.ts';
import type { JournalEvent } from '../../../study/journal/events.ts';
import { fitTrials } from '../../../study/search/warm-start.ts';
import { eventsOf, eventsUntil, newFolder, smallStudy, smallStudyFile } from '../small-study.ts';

const searched = (event: JournalEvent) =>
  event.type === 'phase' && event.id === 'search' && event.action === 'finished';
const withSearch = (changes: object, others: object = {}) =>
  smallStudy({ ...others, search: { ...smallStudyFile.search, ...changes } });

const earlierFolder = newFolder();
const earlier = await eventsUntil(smallStudy(), searched, { folder: earlierFolder });
const issued = (events: readonly JournalEvent[]) =>
  events.flatMap((event) => (event.type === 'issued' && event.phase === 'search' ? [event] : []));
const warm = (folder: string, others: object = {}, changes: object = {}) =>
  withSearch({ warmStart: [folder], controller: 'bayesian', ...changes }, { seed: 7, ...others });

const until = (folder: string, changes: object = {}) => eventsUntil(warm(folder, {}, changes), searched);

describe('a study that starts from an earlier one', () => {
  test('tries networks of the earlier front first, and says in its journal what it took', async () => {
    const events = await eventsUntil(warm(earlierFolder), searched);
    const tried = new Set(issued(earlier).map(({ choices }) => canonicalJson(choices)));
    const [first] = issued(events);
    expect(tried.has(canonicalJson(first?.choices))).toBe(true);
    const decision = events.find((event) => event.type === 'decision' && event.id === 'warm-start');
    expect(decision).toMatchObject({
      value: { studies: [{ name: 'small', trials: 6, journal: expect.stringMatching(/^sha256:/) as string }] },
      because: 'small: 6 trials fit',
    });
    const digest = (decision as { value?: { artefact?: string } } | undefined)?.value?.artefact;
    expect(events.find((event) => event.type === 'artefact' && event.digest === digest)).toBeDefined();
  });

  test('goes on alike when the earlier folder is gone', async () => {
    const gone = newFolder();
    cpSync(earlierFolder, gone, { recursive: true });
    const [whole, cut] = [newFolder(), newFolder()];
    const config = warm(gone);
    await eventsUntil(config, searched, { folder: whole });
    await eventsUntil(config, (event) => event.type === 'outcome' && event.id === 't0002', { folder: cut });
    rmSync(gone, { recursive: true });
    await eventsUntil(config, searched, { folder: cut });
    expect(issued(eventsOf(cut)).map(({ choices }) => choices)).toEqual(
      issued(eventsOf(whole)).map(({ choices }) => choices),
    );
  });

  test('names what differs where its figures are not those of the earlier study', async () => {
    const events = await eventsUntil(warm(earlierFolder, {}, { examples: 150 }), searched);
    const decision = events.find((event) => event.type === 'decision' && event.id === 'warm-start');
    expect(decision).toMatchObject({ because: 'small (other search.examples): 6 trials fit' });
  });

  test('is refused when a folder holds no study, or nothing of it fits', async () => {
    await expect(until(join(earlierFolder, 'absent'))).rejects.toThrow(
      /search\.warmStart\[0\]: expected the folder of a study, got no journal in .*absent/,
    );
    await expect(until(earlierFolder, { space: 'mobile' })).rejects.toThrow(
      /expected trials that fit .*\n.*refused: choices/,
    );
  });

  test('cannot be one that searches nothing', () => {
    expect(() => withSearch({ warmStart: [earlierFolder] }, { base: 'resnet18' })).toThrow(ConfigError);
    expect(() => withSearch({ warmStart: [] })).toThrow(ConfigError);
  });
});

describe('trials of an earlier journal', () => {
  const data = { channels: 1, classes: 4, nativeResolution: 16 } as const;
  const channels = issued(earlier)[0]?.spec.input.channels ?? 1;

  test('fit a space of the same networks with other classes; finalists of other seeds are another fidelity', () => {
    const space = builtInSpace('efficientnet-x', { ...data, channels: channels + 1, classes: 9, scale: 'tiny' });
    const { trials, refused, examples } = fitTrials(earlier, space);
    expect({ trials: trials.length, refused, examples }).toEqual({ trials: 6, refused: [], examples: 100 });
    expect(trials.every(({ metrics }) => metrics['latencyMs.edge'] !== undefined)).toBe(true);
  });

  test('are refused, with the reason, where the same choices build another network', () => {
    const space = builtInSpace('efficientnet-x', { ...data, channels, scale: 'small' });
    const { trials, refused } = fitTrials(earlier, space);
    expect(trials).toEqual([]);
    expect(refused.reduce((sum, { count }) => sum + count, 0)).toBe(6);
  });
});
