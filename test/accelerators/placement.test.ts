import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Accelerator, SessionOptions } from '../../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { placementOf, verifyPlacement } from '../../accelerators/placement.ts';
import { convolutionKernel } from '../../accelerators/probe.ts';
import { readRuntimeProfile } from '../../accelerators/runtime-profile.ts';
import { InfeasibleModelError } from '../../core/errors.ts';

/** An event of onnxruntime 1.30's profile, of those fields that matter and one that does not. */
const ran = (name: string, opType: string, provider: string, index = name) => ({
  cat: 'Node',
  name: `${name}_kernel_time`,
  ts: 1,
  args: { op_name: opType, provider: `${provider}ExecutionProvider`, node_index: index, output_size: '4' },
});
const session = { cat: 'Session', name: 'model_run', args: {} };
/** GPU time of a kernel, which says nothing of its provider. */
const kernel = { cat: 'Api', name: 'conv&Conv&Conv2dMM', args: { shapes: '' } };

const placementIn = (events: readonly object[]) => placementOf(readRuntimeProfile(JSON.stringify(events)));

describe('placement read from a profile', () => {
  it('names each node, its operator and its provider, and counts them', () => {
    const events = [session, ran('conv', 'Conv', 'WebGpu'), ran('fold', 'SpaceToDepth', 'CPU'), kernel];
    expect(placementIn(events)).toEqual({
      nodes: [
        { name: 'conv', opType: 'Conv', provider: 'webgpu' },
        { name: 'fold', opType: 'SpaceToDepth', provider: 'cpu' },
      ],
      byProvider: { webgpu: 1, cpu: 1 },
    });
  });

  it.each(['CUDA', 'Tensorrt', 'CoreML', 'Dml'])('calls %s what --on calls it', (provider) => {
    const { byProvider } = placementIn([ran('x', 'Relu', provider)]);
    expect(byProvider).toEqual({ [provider.toLowerCase()]: 1 });
  });

  it('counts a node of a loop once, and no copies between providers', () => {
    const body = ran('body', 'Relu', 'CUDA', '3');
    const copies = [ran('Memcpy', 'MemcpyFromHost', 'CUDA', '8'), ran('Memcpy', 'MemcpyToHost', 'CUDA', '9')];
    expect(placementIn([body, ...copies, body]).byProvider).toEqual({ cuda: 1 });
  });
});

const feeds = () => ({});

/** An accelerator that writes a given profile. */
class ProfilingAccelerator implements Accelerator {
  readonly id = 'webgpu';
  readonly opened: SessionOptions[] = [];
  readonly #events: readonly object[];

  constructor(events: readonly object[]) {
    this.#events = events;
  }

  async open(_model: Uint8Array, options: SessionOptions) {
    this.opened.push(options);
    return {
      inputs: [],
      outputs: [],
      run: async () => ({}),
      close: () => writeFile(`${options.profilePrefix}_1.json`, JSON.stringify(this.#events)),
    };
  }
}

describe('placement of a model', () => {
  it('on the CPU is the CPU', async () => {
    const { model, feeds } = convolutionKernel(2, 3);
    const { byProvider } = await verifyPlacement(onnxRuntimeAccelerator('cpu'), model, {
      feeds: () => feeds,
      threads: 1,
    });
    expect(Object.keys(byProvider)).toEqual(['cpu']);
    expect(byProvider['cpu']).toBeGreaterThan(0);
  });

  it('elsewhere than asked is refused, naming the first nodes, and leaves no files', async () => {
    const elsewhere = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => ran(name, 'Unique', 'CPU'));
    const accelerator = new ProfilingAccelerator([ran('conv', 'Conv', 'WebGpu'), ...elsewhere]);
    const error = await verifyPlacement(accelerator, new Uint8Array(), { feeds, threads: 1 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(InfeasibleModelError);
    expect(error).toMatchObject({ code: 'infeasible-model', reason: 'unsupported' });
    expect((error as Error).message).toBe(
      "webgpu: expected to run every node, got 7 of 8 elsewhere: 'a' (Unique) on cpu, 'b' (Unique) on cpu, 'c' (Unique) on cpu, 'd' (Unique) on cpu, 'e' (Unique) on cpu and 2 more",
    );
    const [{ profilePrefix = '' } = {}] = accelerator.opened;
    expect(profilePrefix).not.toBe('');
    expect(existsSync(dirname(profilePrefix))).toBe(false);
  });

  it('elsewhere than asked is told where that is allowed', async () => {
    const accelerator = new ProfilingAccelerator([ran('conv', 'Conv', 'WebGpu'), ran('x', 'Unique', 'CPU')]);
    const run = { feeds, threads: 1, allowFallback: true };
    const { byProvider } = await verifyPlacement(accelerator, new Uint8Array(), run);
    expect(byProvider).toEqual({ webgpu: 1, cpu: 1 });
  });
});
