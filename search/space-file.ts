import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { ConfigError } from '../core/errors.ts';
import { bindSpace, checkSpace, isOneOf, type SpaceData, type SpaceNode } from './space.ts';

/**
 * A space written by a user in YAML: a network spec (models/spec.ts) in which any value may be
 * `{oneOf: [...], tag: name}`. `tag` may be left out: the decision is then named for its place in the
 * document (`stages[1].kernel`). Two decisions that share a tag are one. `input.channels` and
 * `classes` come from the data; resolutions above the data's own are left out.
 * @param where names the text in errors, e.g. its file path.
 * @throws {ConfigError} naming the place in the document.
 */
export function parseSpace(text: string, where: string, data: SpaceData): SpaceNode {
  const space = bindSpace(withTags(toNode(parseYaml(text, where), where, ''), ''), data, where);
  checkSpace(space, where);
  return space;
}

/** Reads a space from a YAML file; see {@link parseSpace}. */
export async function loadSpace(path: string, data: SpaceData): Promise<SpaceNode> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`${path}: expected a search space in YAML, could not read it`, { cause: error });
  }
  return parseSpace(text, path, data);
}

function parseYaml(text: string, where: string): unknown {
  try {
    return parse(text, { merge: true });
  } catch (error) {
    // The parser throws its own class for syntax, and plain errors for aliases and merges.
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`${where}: expected YAML: ${reason}`, { cause: error });
  }
}

/** Checks that YAML gave only what a space may hold (no dates, maps with odd keys, infinities). */
function toNode(value: unknown, where: string, path: string): SpaceNode {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (Array.isArray(value)) return value.map((item, index) => toNode(item, where, `${path}[${index}]`));
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype)
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [key, toNode(member, where, path === '' ? key : `${path}.${key}`)]),
    );
  throw new ConfigError(`${where}: ${path}: expected text, a number, a list or a mapping, got ${String(value)}`);
}

/** The same document with every missing tag replaced by the decision's place. */
function withTags(node: SpaceNode, path: string): SpaceNode {
  if (Array.isArray(node)) return node.map((item: SpaceNode, index) => withTags(item, `${path}[${index}]`));
  if (typeof node !== 'object' || node === null) return node;
  if (isOneOf(node) && !Array.isArray(node.oneOf)) return node;
  const members = Object.entries(node).map(([key, member]) => [
    key,
    withTags(member, path === '' ? key : `${path}.${key}`),
  ]);
  return { ...(isOneOf(node) ? { tag: path } : {}), ...Object.fromEntries(members) };
}
