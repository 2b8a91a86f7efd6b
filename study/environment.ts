import { readFileSync } from 'node:fs';
import { arch, cpus, platform, release, totalmem } from 'node:os';
import { runtimeVersion } from '../accelerators/onnxruntime.ts';

/** What a study runs on and with, as its journal and manifest record it. */
export async function environmentOf(): Promise<Record<string, string>> {
  const own = JSON.parse(readFileSync(packageFile(), 'utf8')) as { version: string };
  return {
    ridgepoint: own.version,
    onnxruntime: await runtimeVersion(),
    node: process.version,
    os: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: String(cpus().length),
    memoryBytes: String(totalmem()),
  };
}

/** package.json is one folder up in sources, two when built to dist/. */
function packageFile(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json', import.meta.url);
}
