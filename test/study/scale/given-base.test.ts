import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ConfigError, InterruptedError } from '../../../core/errors.ts';
import { builtInNetwork } from '../../../scaling/built-in-networks.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { eventsOf, newFolder, runFake, smallStudy } from '../small-study.ts';

/** The network that a study takes as its base; the study ends there. */
async function baseOf(base: string) {
  const folder = newFolder();
  const controller = new AbortController();
  const onEvent = ({ type, id }: { type: string; id: string }) => {
    if (type === 'decision' && id === 'base') controller.abort();
  };
  await expect(runFake(smallStudy({ base }), folder, { signal: controller.signal, onEvent })).rejects.toThrow(
    InterruptedError,
  );
  return eventsOf(folder).flatMap((event) => (event.type === 'issued' ? [event] : []));
}

describe('a given base', () => {
  const small = builtInNetwork('mobilenet-v3-small');

  it('may be a built-in network, which gets the classes, the channels and at most the side of the data', async () => {
    const trials = await baseOf('mobilenet-v3-small');
    expect(trials).toHaveLength(1);
    expect(trials[0]?.spec).toEqual({ ...small, classes: 4, input: { channels: 3, resolution: 16 } });
    expect(trials[0]?.origin.because).toBe('the base given in mobilenet-v3-small');
  });

  it('may be a file, which is taken as it is and must fit the data', async () => {
    const folder = fileFolder();
    const fitting = join(folder, 'fitting.yaml');
    writeFileSync(fitting, stringify({ ...small, classes: 4, input: { resolution: 12 } }));
    const [trial] = await baseOf(fitting);
    expect(trial?.spec.input).toEqual({ channels: 3, resolution: 12 });

    const large = join(folder, 'large.yaml');
    writeFileSync(large, stringify(small));
    await expect(runFake(smallStudy({ base: large }), newFolder())).rejects.toThrow(
      /large\.yaml: expected 4 classes, 3 channels and at most 16 px as in .*, got 1000, 3 and 224/,
    );
  });

  it('is refused when it is neither, with the names near it', async () => {
    const run = runFake(smallStudy({ base: 'mobilenetv3-small' }), newFolder());
    await expect(run).rejects.toThrow(ConfigError);
    await expect(run).rejects.toThrow('got "mobilenetv3-small"; near it: mobilenet-v3-small');
  });
});
