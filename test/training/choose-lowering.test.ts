import { describe, expect, it } from 'vitest';
import type { Accelerator, Session, TensorValue } from '../../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { blockedDomain } from '../../training/blocked/block-size.ts';
import { adoptLowering, chooseLowering } from '../../training/choose-lowering.ts';
import { stepNames } from '../../training/step-names.ts';
import { blocked } from './blocked-kernels.ts';

const cpu = onnxRuntimeAccelerator('cpu');
const isBlocked = (model: Uint8Array): boolean => Buffer.from(model).includes(blockedDomain);

/** The CPU, but for what happens to models that use the blocked kernels. */
function cpuWith(open: (session: () => Promise<Session>) => Promise<Session>): Accelerator {
  return {
    id: 'cpu',
    open: (model, options) => (isBlocked(model) ? open(() => cpu.open(model, options)) : cpu.open(model, options)),
  };
}

/** A session whose gradients are bent before they are seen. */
async function bent(opened: Promise<Session>, bend: (gradients: Float32Array) => Float32Array): Promise<Session> {
  const session = await opened;
  return {
    ...session,
    async run(feeds) {
      const outputs = await session.run(feeds);
      const gradients = outputs[stepNames.gradients];
      if (!gradients) return outputs;
      const data = bend(gradients.data as Float32Array);
      return { ...outputs, [stepNames.gradients]: { ...gradients, data } as TensorValue };
    },
  };
}

describe('the lowering for an accelerator', () => {
  it.skipIf(blocked === undefined)('is the blocked one on a CPU that has the kernels, without a word', async () => {
    const { lowering, notice } = await chooseLowering(cpu);
    expect(lowering.id).toBe(blocked?.id);
    expect(notice).toBeUndefined();
  });

  it('is the plain one where the kernels are missing, with a notice that says so', async () => {
    const without = cpuWith(() => Promise.reject(new Error('no opset import for domain com.microsoft.nchwc')));
    const { lowering, notice } = await chooseLowering(without);
    expect(lowering.id).toBe('plain');
    expect(notice).toMatch(/twice as long: .* did not run in a self-test \(no opset import/);
  });

  it.skipIf(blocked === undefined).each([
    [
      'one weight’s gradient off by 1 %',
      (gradients: Float32Array) => gradients.map((value, i) => (i < 512 ? 1.01 * value : value)),
    ],
    ['channels in the wrong order', (gradients: Float32Array) => gradients.toReversed()],
    ['no numbers at all', (gradients: Float32Array) => gradients.map(() => Number.NaN)],
  ])('is the plain one where the kernels give %s, naming the first difference', async (_, bend) => {
    const wrong = cpuWith((session) => bent(session(), bend));
    const { lowering, notice } = await chooseLowering(wrong);
    expect(lowering.id).toBe('plain');
    expect(notice).toMatch(/gave wrong numbers in a self-test \(stem\.conv\.weight is off by [\dNa.]+ %\)/);
  });

  it.each([
    ['cuda', 'plain'],
    ['webgpu', 'plain-webgpu'],
  ])('is the plain one on %s, which is asked nothing', async (id, expected) => {
    const gpu: Accelerator = { id, open: () => Promise.reject(new Error('asked')) };
    const { lowering, notice } = await chooseLowering(gpu);
    expect(lowering.id).toBe(expected);
    expect(notice).toBeUndefined();
  });

  it.skipIf(blocked === undefined)('is adopted from another process by its id, with its notice', async () => {
    const { lowering } = await chooseLowering(cpu);
    expect(adoptLowering({ id: lowering.id }).lowering.id).toBe(lowering.id);
    expect(adoptLowering({ id: 'plain', notice: 'slow' })).toMatchObject({ lowering: { id: 'plain' }, notice: 'slow' });
    expect(() => adoptLowering({ id: 'blocked' })).toThrow(/id of a lowering, got blocked/);
  });

  it('is found out once', async () => {
    let opened = 0;
    const counted = cpuWith((session) => {
      opened += 1;
      return session();
    });
    const [first, second] = await Promise.all([chooseLowering(counted), chooseLowering(counted)]);
    const asked = opened;
    expect(await chooseLowering(counted)).toBe(first);
    expect(second).toBe(first);
    expect(asked).toBeGreaterThan(0);
    expect(opened).toBe(asked);
  });
});
