import { childEntry, runChild } from '../core/child.ts';
import { InterruptedError } from '../core/errors.ts';
import type { Detected } from './accelerator.ts';
import type { DetectTask } from './detect-child.ts';
import { type ProviderId, providerIds } from './onnxruntime.ts';

const entry = childEntry(import.meta.url, './detect-child');

/** A driver that hangs is as good as none. */
const probeLimitMs = 60_000;

const fixes: Readonly<Record<ProviderId, string>> = {
  cpu: 'reinstall with `npm ci` on a platform onnxruntime-node supports',
  webgpu:
    'install a Vulkan loader and a GPU driver (libvulkan1); without a GPU, a software driver such as SwiftShader works: set VK_DRIVER_FILES and XDG_RUNTIME_DIR',
  cuda: 'with an NVIDIA driver, CUDA 12 and cuDNN 9, run `node node_modules/onnxruntime-node/script/install.js`',
  tensorrt: 'install TensorRT 10 and the CUDA provider: `node node_modules/onnxruntime-node/script/install.js`',
  coreml: 'run on macOS',
  dml: 'run on Windows with a DirectX 12 device',
};

/**
 * What this host really offers, one row per known execution provider, in the order of {@link providerIds}.
 * A provider is available when it ran a small convolution, whole, in a process of its own: a driver
 * that crashes or hangs is a reason in the table, not the end of the program.
 * @throws {InterruptedError} when aborted; nothing else.
 */
export async function detectAccelerators(
  options: { readonly signal?: AbortSignal } = {},
): Promise<readonly Detected[]> {
  const compiled = await ask<readonly string[]>({ probe: 'list' }, options.signal);
  return Promise.all(
    providerIds.map(async (id): Promise<Detected> => {
      if ('failure' in compiled) return { id, available: false, reason: compiled.failure, fix: fixes.cpu };
      if (!compiled.output.includes(id)) {
        const reason = `onnxruntime-node for ${process.platform}-${process.arch} is built without it`;
        return { id, available: false, reason, fix: fixes[id] };
      }
      const probe = await ask<boolean>({ probe: id }, options.signal);
      if ('failure' in probe) return { id, available: false, reason: probe.failure, fix: fixes[id] };
      if (!probe.output) return { id, available: false, reason: 'its results are wrong', fix: fixes[id] };
      return { id, available: true };
    }),
  );
}

type Answer<Output> = { readonly output: Output } | { readonly failure: string };

async function ask<Output>(input: DetectTask, signal: AbortSignal | undefined): Promise<Answer<Output>> {
  const limit = AbortSignal.timeout(probeLimitMs);
  try {
    const either = signal ? AbortSignal.any([signal, limit]) : limit;
    return { output: (await runChild<DetectTask, Output>({ entry, input, signal: either })).output };
  } catch (error) {
    if (signal?.aborted) throw new InterruptedError('detecting accelerators: interrupted', { cause: error });
    if (limit.aborted) return { failure: `its driver did not answer within ${probeLimitMs / 1000} s` };
    return { failure: (error as Error).message };
  }
}
