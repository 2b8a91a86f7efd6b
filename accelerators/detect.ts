import { childEntry, runChild } from '../core/child.ts';
import { InterruptedError } from '../core/errors.ts';
import type { Detected } from './accelerator.ts';
import type { DetectTask, Probed } from './detect-child.ts';
import { type ProviderId, providerIds } from './onnxruntime.ts';

const entry = childEntry(import.meta.url, './detect-child');

/** A driver that hangs is as good as none. */
const probeLimitMs = 60_000;

const fixes: Readonly<Record<ProviderId, string>> = {
  cpu: 'reinstall with `npm ci` on a platform onnxruntime-node supports',
  webgpu:
    'install the Vulkan loader (libvulkan1) and the driver of your GPU; without a GPU, SwiftShader emulates one on the CPU, for trying things out: on Debian `apt-get install chromium libvulkan1`, then `export VK_DRIVER_FILES=/usr/lib/chromium/vk_swiftshader_icd.json XDG_RUNTIME_DIR=/tmp`',
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
      const probe = await ask<Probed>({ probe: id }, options.signal);
      if ('failure' in probe) return { id, available: false, reason: probe.failure, fix: fixes[id] };
      const { correct, software } = probe.output;
      if (!correct) return { id, available: false, reason: 'its results are wrong', fix: fixes[id] };
      return { id, available: true, ...(software === undefined ? {} : { software }) };
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
