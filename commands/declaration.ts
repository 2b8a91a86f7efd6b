import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { ConfigError } from '../core/errors.ts';
import { durationSchema } from '../core/units.ts';

/** Stands for the path of the request file among the arguments of a command. */
export const requestPlaceholder = '{request}';

/** Program and arguments, started as they are: no shell reads them. */
export const argumentsSchema = z
  .array(z.string())
  .min(1)
  .refine(
    (items) => items.slice(1).some((item) => item.includes(requestPlaceholder)),
    `expected ${requestPlaceholder} (the path of the request file) among the arguments`,
  );

/** When a program is stopped, in milliseconds. */
export const limitsSchema = z.strictObject({
  /** Longest run of `train` and `measure`. */
  wall: durationSchema.optional(),
  /** Longest run of `prepare`, which may compile for long; 30 minutes when left out. */
  prepare: durationSchema.optional(),
  /** Longest time without an event; for training 15 minutes when left out, otherwise as `wall`. */
  silence: durationSchema.optional(),
  /** From SIGTERM to SIGKILL; 10 seconds when left out. */
  grace: durationSchema.optional(),
});

/**
 * A program of the user's own, as a person declares it where it runs. It never travels: what asks for
 * it says its name only, so that write access to a queue or a journal starts nothing.
 */
export const commandSchema = z.strictObject({
  command: argumentsSchema,
  /** Added to Ridgepoint's own environment. */
  env: z.record(z.string(), z.string()).optional(),
  limits: limitsSchema.prefault({}),
});

/** Programs by `name` or `name@version`. */
export const commandsSchema = z.record(
  z.string().regex(/^[A-Za-z0-9][\w.-]*(?:@[\w.-]+)?$/, 'expected a name such as torch-train or torch-train@3'),
  commandSchema,
);

/** A declared program and the folder it is started in, which relative paths among its arguments start from. */
export interface Command extends z.output<typeof commandSchema> {
  readonly name: string;
  readonly directory: string;
}

/** Accelerator ids of command targets begin so. */
const accelerator = 'command:';

/** The command that an accelerator id such as `command:trt-a100@1` names; undefined for other ids. */
export function commandNameOf(id: string): string | undefined {
  return id.startsWith(accelerator) ? id.slice(accelerator.length) : undefined;
}

/** The accelerator id of a command target. */
export function acceleratorOf(name: string): string {
  return `${accelerator}${name}`;
}

/**
 * A command by name, from declarations.
 * @param where names their source in the error. @throws {ConfigError} when there is none of that name.
 */
export function findCommand(
  declared: z.output<typeof commandsSchema>,
  name: string,
  { where, directory }: { readonly where: string; readonly directory: string },
): Command {
  const found = Object.hasOwn(declared, name) ? declared[name] : undefined;
  if (!found)
    throw new ConfigError(
      `${where}: expected a command among ${Object.keys(declared).join(', ') || 'none'}, got ${JSON.stringify(name)}`,
    );
  return { ...found, name, directory };
}

/**
 * Reads a file of declarations by name, or of a single one (it has a `command` key), which is then called `single`.
 * @throws {ConfigError} naming the file and each offending key.
 */
export function readCommands(path: string, single: string): z.output<typeof commandsSchema> {
  let data: unknown;
  try {
    data = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new ConfigError(`${path}: expected commands in YAML: ${(cause as Error).message}`, { cause });
  }
  const isSingle = typeof data === 'object' && data !== null && 'command' in data;
  const parsed = commandsSchema.safeParse(isSingle ? { [single]: data } : data);
  if (!parsed.success) throw new ConfigError(`${path}: not a file of commands\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** One command of a file. @throws {ConfigError} as {@link readCommands} and {@link findCommand} do. */
export function readCommand(path: string, name: string): Command {
  return findCommand(readCommands(path, name), name, { where: path, directory: dirname(resolve(path)) });
}
