import { expect, it } from 'vitest';
import { detectAccelerators } from '../../accelerators/detect.ts';
import { providerIds } from '../../accelerators/onnxruntime.ts';
import { InterruptedError } from '../../core/errors.ts';

it('finds the CPU, and says of every other provider either that it works or why not and what to do', async () => {
  const found = await detectAccelerators();
  expect(found.map(({ id }) => id)).toEqual(providerIds);
  expect(found[0]).toEqual({ id: 'cpu', available: true });
  for (const { available, reason, fix } of found)
    if (!available) expect([reason, fix]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/\S/)]);
  const elsewhere = process.platform === 'darwin' ? 'dml' : 'coreml';
  expect(found.find(({ id }) => id === 'webgpu')?.fix ?? 'SwiftShader').toContain('SwiftShader');
  expect(found.find(({ id }) => id === elsewhere)?.reason).toMatch(/built without it/);
});

it('stops when aborted', async () => {
  await expect(detectAccelerators({ signal: AbortSignal.abort() })).rejects.toBeInstanceOf(InterruptedError);
});
