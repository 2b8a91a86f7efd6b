import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { type Command, commandSchema } from '../commands/declaration.ts';
import type { FactoryProgram } from '../commands/factory.ts';
import { ConfigError } from '../core/errors.ts';

const programSchema = commandSchema.extend({
  /** Handed to the program as they are. */
  params: z.record(z.string(), z.json()).default({}),
});

/** A base that a user's own programs write and train, as a person declares it. */
const factoryFileSchema = z.strictObject({
  /** The program that writes networks, and the side in pixels of its base. */
  factory: programSchema.extend({
    resolution: z.int().min(4).max(4096),
    /** Sides that it is asked for are multiples of this, as its strides may need. */
    resolutionMultiple: z.int().min(1).max(512).default(1),
  }),
  trainer: programSchema,
});

/** A factory's programs, and what may be asked of it. */
export interface FactoryFile {
  readonly factory: FactoryProgram;
  readonly trainer: FactoryProgram;
  readonly resolution: number;
  readonly resolutionMultiple: number;
  /** What is journalled of it: everything but what starts the programs. */
  readonly portable: z.core.util.JSONType;
}

/** Whether a base's file declares a factory, rather than a network. Files that cannot be read do not. */
export function isFactoryFile(path: string): boolean {
  if (!/\.ya?ml$/.test(path)) return false;
  try {
    const data: unknown = parseYaml(readFileSync(path, 'utf8'));
    return typeof data === 'object' && data !== null && 'factory' in data;
  } catch {
    return false;
  }
}

/** @throws {ConfigError} naming the file and each offending key. */
export function readFactoryFile(path: string): FactoryFile {
  const parsed = factoryFileSchema.safeParse(parseYaml(readFileSync(path, 'utf8')));
  if (!parsed.success) throw new ConfigError(`${path}: not a factory\n${z.prettifyError(parsed.error)}`);
  const { factory, trainer } = parsed.data;
  const { resolution, resolutionMultiple, ...builder } = factory;
  if (resolution % resolutionMultiple !== 0)
    throw new ConfigError(
      `${path}: factory.resolution: expected a multiple of resolutionMultiple ${resolutionMultiple}, got ${resolution}`,
    );
  const directory = dirname(resolve(path));
  const programOf = (name: string, { params, ...declared }: z.output<typeof programSchema>): FactoryProgram => {
    const command: Command = { ...declared, name, directory };
    return { command, params };
  };
  return {
    factory: programOf('factory', builder),
    trainer: programOf('trainer', trainer),
    resolution,
    resolutionMultiple,
    portable: { resolution, resolutionMultiple, factory: factory.params, trainer: trainer.params },
  };
}
