import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { ConfigError } from '../core/errors.ts';
import { isArchDefinition, parseArchDefinition } from './arch-definition.ts';
import { type NetworkSpec, parseNetworkSpec } from './spec.ts';
import { isTransformer, type ModelSpec, parseTransformerSpec } from './transformer.ts';

/** Reads a spec in YAML: with `kind: transformer` a transformer's, with `arch_def` a definition of timm's, or else a convolution network's. @throws {ConfigError} naming the file and what is wrong in it. */
export function readModelFile(path: string): ModelSpec {
  let data: unknown;
  try {
    data = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new ConfigError(`${path}: expected a network spec in YAML: ${(cause as Error).message}`, { cause });
  }
  if (typeof data === 'object' && data !== null && isArchDefinition(data)) return parseArchDefinition(data, path);
  const isOfTransformer = typeof data === 'object' && data !== null && isTransformer(data);
  return isOfTransformer ? parseTransformerSpec(data, path) : parseNetworkSpec(data, path);
}

/** Reads the spec of a convolution network. @throws {ConfigError} as {@link readModelFile} does, and for a transformer. */
export function readSpecFile(path: string): NetworkSpec {
  const spec = readModelFile(path);
  if (isTransformer(spec)) throw new ConfigError(`${path}: expected a network of pictures, got a transformer`);
  return spec;
}
