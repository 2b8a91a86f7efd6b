import { availableParallelism, arch, cpus, hostname, release, type } from 'node:os';
import { runtimeVersion } from '../accelerators/onnxruntime.ts';
import type { Fingerprint } from './latency.ts';

/**
 * This host, runtime and provider. Latencies are comparable, and cached ones reusable, when all of
 * it is equal.
 */
export function fingerprint(provider: string): Fingerprint {
  return {
    host: hostname(),
    os: `${type()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    runtime: runtimeVersion(),
    provider,
    node: process.version,
  };
}
