import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { ConfigError } from '../core/errors.ts';
import { type NetworkSpec, parseNetworkSpec } from './spec.ts';

/** Reads a network spec in YAML. @throws {ConfigError} naming the file and what is wrong in it. */
export function readSpecFile(path: string): NetworkSpec {
  let data: unknown;
  try {
    data = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new ConfigError(`${path}: expected a network spec in YAML: ${(cause as Error).message}`, { cause });
  }
  return parseNetworkSpec(data, path);
}
