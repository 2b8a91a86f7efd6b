import { readFileSync } from 'node:fs';

/** Ridgepoint's own version, e.g. `0.1.0`. */
export function ridgepointVersion(): string {
  // package.json is one folder up in sources, two when built to dist/.
  const file = new URL(import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
