import { arch, cpus, platform, release, totalmem } from 'node:os';
import { runtimeVersion } from '../accelerators/onnxruntime.ts';
import { ridgepointVersion } from '../core/version.ts';

/** What a study runs on and with, as its journal and manifest record it. */
export async function environmentOf(): Promise<Record<string, string>> {
  return {
    ridgepoint: ridgepointVersion(),
    onnxruntime: await runtimeVersion(),
    node: process.version,
    os: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: String(cpus().length),
    memoryBytes: String(totalmem()),
  };
}
