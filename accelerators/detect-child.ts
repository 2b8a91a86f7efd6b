import { serveChild } from '../core/child.ts';
import { compiledProviders, onnxRuntimeAccelerator, type ProviderId } from './onnxruntime.ts';
import { convolutionKernel, runsCorrectly } from './probe.ts';
import { softwareDriver } from './software-driver.ts';

/** `list` names the compiled providers; a provider's name runs a small kernel on it. */
export type DetectTask = { readonly probe: 'list' } | { readonly probe: ProviderId };

/** What a small kernel said of a provider. */
export interface Probed {
  readonly correct: boolean;
  /** See `softwareDriver`. */
  readonly software?: string | undefined;
}

serveChild<DetectTask, readonly string[] | Probed>(async ({ probe }) => {
  if (probe === 'list') return compiledProviders();
  const kernel = convolutionKernel(8, 8);
  const session = await onnxRuntimeAccelerator(probe).open(kernel.model, { threads: 1 });
  return {
    correct: await runsCorrectly(session, kernel),
    software: probe === 'webgpu' ? softwareDriver() : undefined,
  };
});
