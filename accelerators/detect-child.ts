import { serveChild } from '../core/child.ts';
import { compiledProviders, onnxRuntimeAccelerator, type ProviderId } from './onnxruntime.ts';
import { convolutionKernel, runsCorrectly } from './probe.ts';

/** `list` names the compiled providers; a provider's name runs a small kernel on it. */
export type DetectTask = { readonly probe: 'list' } | { readonly probe: ProviderId };

serveChild<DetectTask, readonly string[] | boolean>(async ({ probe }) => {
  if (probe === 'list') return compiledProviders();
  const kernel = convolutionKernel(8, 8);
  const session = await onnxRuntimeAccelerator(probe).open(kernel.model, { threads: 1 });
  return runsCorrectly(session, kernel);
});
