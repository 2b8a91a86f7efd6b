import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { convolutionKernel } from '../../accelerators/probe.ts';
import { profiled, readRuntimeProfile } from '../../accelerators/runtime-profile.ts';
import { EnvironmentError, InvalidFileError } from '../../core/errors.ts';

describe('a profile of the runtime', () => {
  it('holds every run of every node, with its extents and bytes', async () => {
    const { model, feeds } = convolutionKernel(2, 3);
    const { nodeRuns, modelStartsUs } = await profiled(
      onnxRuntimeAccelerator('cpu'),
      model,
      { threads: 1 },
      async (session) => {
        await session.run(feeds);
        await session.run(feeds);
      },
    );
    expect(modelStartsUs).toHaveLength(2);
    const convolutions = nodeRuns.filter(({ opType }) => opType === 'Conv');
    expect(convolutions.length).toBeGreaterThan(0);
    for (const { provider, inputs, outputs, durationUs, bytes } of convolutions) {
      expect(provider).toBe('cpu');
      expect(inputs[0]).toEqual(feeds['x']?.dims);
      expect(outputs).toHaveLength(1);
      expect(durationUs).toBeGreaterThanOrEqual(0);
      expect(bytes).toBeGreaterThan(0);
    }
  });

  it.each(['', '{}', '[{"cat": 1}]'])('is refused when it is none: %j', (text) => {
    expect(() => readRuntimeProfile(text)).toThrow(InvalidFileError);
  });

  it('is missed where the runtime wrote none, and leaves no folder', async () => {
    let prefix = '';
    const silent = {
      id: 'cpu',
      open: async (_model: Uint8Array, { profilePrefix = '' }: { readonly profilePrefix?: string }) => {
        prefix = profilePrefix;
        return { inputs: [], outputs: [], run: async () => ({}), close: async () => {} };
      },
    };
    await expect(profiled(silent, new Uint8Array(), { threads: 1 }, async () => {})).rejects.toThrow(EnvironmentError);
    expect(existsSync(dirname(prefix))).toBe(false);
  });
});
