import { availableParallelism, arch, cpus, hostname, release, type } from 'node:os';
import { runtimeVersion } from '../accelerators/onnxruntime.ts';
import { softwareDriver } from '../accelerators/software-driver.ts';
import type { Fingerprint } from './latency.ts';

/**
 * This host, runtime and provider. Latencies are comparable, and cached ones reusable, when all of
 * it is equal. Call it in the process that measures, when a session is open there, where {@link needsSession}
 * says so; elsewhere any process knows it.
 */
export function fingerprint(provider: string): Fingerprint {
  const software = needsSession(provider) ? softwareDriver() : undefined;
  return {
    host: hostname(),
    os: `${type()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    runtime: runtimeVersion(),
    provider,
    node: process.version,
    ...(software === undefined ? {} : { software }),
  };
}

/** Whether a provider's fingerprint is known only where a session of it is open: a software driver may be in a GPU's place. */
export function needsSession(provider: string): boolean {
  return provider === 'webgpu';
}
