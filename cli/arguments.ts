import type { ArgsDef } from 'citty';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { ConfigError } from '../core/errors.ts';

/** A flag's whole number of at least `min`. @throws {ConfigError} naming the flag. */
export function numberArgument(flag: string, text: string, min = 0): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || text.trim() === '')
    throw new ConfigError(`${flag}: expected a whole number of at least ${min}, got ${JSON.stringify(text)}`);
  return value;
}

/** A flag's positive number. @throws {ConfigError} naming the flag. */
export function positiveArgument(flag: string, text: string): number {
  const value = Number(text);
  if (!(Number.isFinite(value) && value > 0))
    throw new ConfigError(`${flag}: expected a positive number, got ${JSON.stringify(text)}`);
  return value;
}

/**
 * The source that `--data` names, of those the schema knows.
 * @throws {ConfigError} naming the flag and what is wrong.
 */
export function dataArgument<Schema extends z.ZodType>(schema: Schema, text: string): z.output<Schema> {
  const parsed = schema.safeParse(uncheckedDataArgument(text));
  if (!parsed.success) throw new ConfigError(`--data: ${parsed.error.issues[0]?.message}`);
  return parsed.data;
}

/**
 * What `--data` names, unchecked: text as it is, `{format: …}` as the YAML it is, a `.yaml` file by its content.
 * @throws {ConfigError} when the YAML cannot be read.
 */
export function uncheckedDataArgument(text: string): unknown {
  const isFile = /\.ya?ml$/.test(text);
  if (!isFile && !text.trimStart().startsWith('{')) return text;
  try {
    return parseYaml(isFile ? readFileSync(text, 'utf8') : text) as unknown;
  } catch (cause) {
    throw new ConfigError(`--data: expected YAML, got ${text}: ${(cause as Error).message.split('\n')[0]}`, { cause });
  }
}

/**
 * Refuses options and arguments a command does not have: a mistyped one must not be ignored.
 * @throws {ConfigError} naming it and what there is.
 */
export function expectKnownArguments(known: ArgsDef, rawArgs: string[]): void {
  const flags = Object.entries(known).filter(([, { type }]) => type !== 'positional');
  const options = Object.fromEntries(
    flags.map(([name, flag]) => {
      const type = flag.type === 'boolean' ? ('boolean' as const) : ('string' as const);
      return [name, { type, ...shortOf(flag) }];
    }),
  );
  const { tokens } = parseArgs({ args: rawArgs, options, strict: false, allowNegative: true, tokens: true });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = options[token.name];
    if (!option)
      throw new ConfigError(
        `${token.rawName}: expected one of ${flags.map(([name]) => `--${name}`).join(', ') || 'no options'}, got an unknown option`,
      );
    if (option.type === 'boolean' && token.inlineValue)
      throw new ConfigError(`${token.rawName}: expected no value, got ${JSON.stringify(token.value)}`);
  }
  const positionals = Object.keys(known).filter((name) => known[name]?.type === 'positional');
  const given = tokens.filter(({ kind }) => kind === 'positional');
  const extra = given[positionals.length];
  if (extra?.kind === 'positional')
    throw new ConfigError(
      `expected ${positionals.join(', ') || 'no argument'}, got also ${JSON.stringify(extra.value)}`,
    );
}

/** A flag's one-letter form, `-o`. */
function shortOf(flag: ArgsDef[string]): { short?: string } {
  return 'alias' in flag && typeof flag.alias === 'string' && flag.alias.length === 1 ? { short: flag.alias } : {};
}

/**
 * Values of an option that may be given several times, with commas, or both: `--on cpu --on webgpu,cuda`.
 * @param short its one-letter form, where it has one.
 * @throws {ConfigError} when one of them is empty.
 */
export function listArgument(rawArgs: string[], name: string, fallback: string, short?: string): readonly string[] {
  const options = { [name]: { type: 'string' as const, multiple: true, ...(short && { short }) } };
  const { values } = parseArgs({ args: rawArgs, options, strict: false });
  const given = values[name];
  const texts = Array.isArray(given) ? given.map(String) : [fallback];
  const items = texts.flatMap((text) => text.split(',')).map((item) => item.trim());
  if (items.includes('')) throw new ConfigError(`--${name}: expected values, got ${JSON.stringify(texts.join(' '))}`);
  return [...new Set(items)];
}

/** A flag's value out of those there are. @throws {ConfigError} naming the flag and them. */
export function oneOf<Value extends string>(flag: string, values: readonly Value[], text: string): Value {
  const value = values.find((known) => known === text);
  if (value === undefined) throw new ConfigError(`${flag}: expected ${values.join(', ')}, got ${JSON.stringify(text)}`);
  return value;
}

/**
 * What `--log` of a study asks for: how lines look, and where else trials are recorded.
 * @throws {ConfigError} when it asks for two of one kind.
 */
export function logArgument(text: string): { readonly lines: 'text' | 'json'; readonly records?: string } {
  const parts = text.split(',');
  const [lines = 'text', ...more] = parts.filter(isLineForm);
  const [records, ...others] = parts.filter((part) => !isLineForm(part));
  if (more.length + others.length > 0)
    throw new ConfigError(`--log: expected text or json, and one place of records beside it, got ${text}`);
  return { lines, ...(records !== undefined && { records }) };
}

function isLineForm(part: string): part is 'text' | 'json' {
  return part === 'text' || part === 'json';
}
