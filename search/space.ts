import { z } from 'zod';
import { ConfigError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import type { Choices } from '../core/trial.ts';
import { networkSpecSchema, type NetworkSpec } from '../models/spec.ts';

/**
 * A decision inside a space: one of its options takes its place. Options may hold decisions themselves.
 * The same tag in two places is the same decision (tied) and must offer the same options.
 * After TuNAS's `OneOf` (google-research/tunas, `schema.py`).
 */
export interface OneOf {
  readonly oneOf: readonly SpaceNode[];
  readonly tag: string;
}

/** Plain data with decisions in it. A network space is a network spec in which values were replaced by decisions. */
export type SpaceNode =
  | null
  | boolean
  | number
  | string
  | readonly SpaceNode[]
  | OneOf
  | { readonly [key: string]: SpaceNode };

/** What is known of the data a space's networks are for. */
export interface SpaceData {
  readonly channels: number;
  readonly classes: number;
  /** Shorter side of the images as stored, in pixels; no network takes more. */
  readonly nativeResolution: number;
}

/** A decision as a row: where it stands, what it offers, and which earlier decisions make it reachable. */
export interface Decision {
  readonly tag: string;
  /** Place in the document, e.g. `stages[1].kernel`; the first place of a tied tag. */
  readonly path: string;
  /** Values that choices may name: the scalars themselves, or 0 … n − 1 when an option is structured. */
  readonly values: readonly (number | string | boolean)[];
  /** Whether the options are numbers in ascending or descending order, so that neighbours are alike. */
  readonly isOrdered: boolean;
  /** Options of other decisions that lead here; empty when always reachable. */
  readonly when: Readonly<Record<string, number>>;
}

/** A decision as data, ready to be put into a space. */
export function oneOf(options: readonly SpaceNode[], tag: string): OneOf {
  return { oneOf: options, tag };
}

/** Whether a node is a decision. */
export function isOneOf(node: SpaceNode): node is OneOf {
  return typeof node === 'object' && node !== null && !Array.isArray(node) && Object.hasOwn(node, 'oneOf');
}

function isList(node: SpaceNode): node is readonly SpaceNode[] {
  return Array.isArray(node);
}

/** Members of a structured node with the path of each; a scalar has none. */
function membersOf(node: SpaceNode, path: string): readonly [SpaceNode, string][] {
  if (isList(node)) return node.map((item, index) => [item, `${path}[${index}]`]);
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).map(([key, member]) => [member as SpaceNode, path === '' ? key : `${path}.${key}`]);
}

/**
 * The one walker: visits every *reachable* decision, outer before inner and members in order, and
 * replaces it by the option whose index `visit` gives. Every consumer of a space is a `visit`.
 */
export function walk(space: SpaceNode, visit: (decision: OneOf, path: string) => number, path = ''): SpaceNode {
  if (isOneOf(space)) {
    const index = visit(space, path);
    const option = space.oneOf[index];
    if (option === undefined)
      throw new RangeError(`${space.tag}: expected an option below ${space.oneOf.length}, got ${index}`);
    return walk(option, visit, `${path}.oneOf[${index}]`);
  }
  if (isList(space)) return space.map((item, index) => walk(item, visit, `${path}[${index}]`));
  if (typeof space !== 'object' || space === null) return space;
  return Object.fromEntries(
    Object.entries(space).map(([key, member]) => [key, walk(member, visit, path === '' ? key : `${path}.${key}`)]),
  );
}

function isScalar(node: SpaceNode): node is number | string | boolean {
  return node !== null && typeof node !== 'object';
}

/** What choices may say for a decision: its scalars, or option numbers when any option is structured. */
function valuesOf(decision: OneOf): readonly (number | string | boolean)[] {
  const { oneOf: options } = decision;
  return options.every(isScalar) ? options : options.map((_, index) => index);
}

function isOrdered(options: readonly SpaceNode[]): boolean {
  const rises = options.slice(1).map((option, index) => Math.sign(Number(option) - Number(options[index])));
  return (
    options.every((option) => typeof option === 'number') && Math.abs(rises.reduce((a, b) => a + b, 0)) === rises.length
  );
}

/** A decision without the data around it, as choosing needs it. */
interface BareDecision {
  readonly decision: OneOf;
  readonly values: readonly (number | string | boolean)[];
  /** What each option leads to. */
  readonly inside: readonly (readonly BareDecision[])[];
}

/** By space or option: a search chooses thousands of times from one document. */
const bareDecisions = new WeakMap<object, readonly BareDecision[]>();

function bare(node: SpaceNode): readonly BareDecision[] {
  if (typeof node !== 'object' || node === null) return [];
  const known = bareDecisions.get(node);
  if (known) return known;
  const found = isOneOf(node)
    ? [{ decision: node, values: valuesOf(node), inside: node.oneOf.map(bare) }]
    : membersOf(node, '').flatMap(([member]) => bare(member));
  bareDecisions.set(node, found);
  return found;
}

/** Asks for an index at each reachable decision, in the walker's order; a tied tag is asked once. */
function chooseEach(space: SpaceNode, indexOf: (bare: BareDecision) => number): ReadonlyMap<string, ChosenOption> {
  const chosen = new Map<string, ChosenOption>();
  const enter = (list: readonly BareDecision[]): void => {
    for (const item of list) {
      const { tag, oneOf: options } = item.decision;
      const index = chosen.get(tag)?.index ?? indexOf(item);
      const inside = item.inside[index];
      if (inside === undefined)
        throw new RangeError(`${tag}: expected an option below ${options.length}, got ${index}`);
      chosen.set(tag, { tag, index, options: options.length, value: item.values[index] ?? index });
      enter(inside);
    }
  };
  enter(bare(space));
  return chosen;
}

interface ChosenOption {
  readonly tag: string;
  readonly index: number;
  readonly options: number;
  readonly value: number | string | boolean;
}

/** Canonical choices from an index per reachable decision; a tied tag is asked once. */
function choose(space: SpaceNode, indexOf: (decision: OneOf) => number): Choices {
  const choices: Record<string, number | string | boolean> = {};
  for (const { tag, value } of chooseEach(space, ({ decision }) => indexOf(decision)).values()) choices[tag] = value;
  return choices;
}

/** Index that `choices` names for a decision, or −1. */
function chosenIndex(decision: OneOf, choices: Choices): number {
  const value = Object.hasOwn(choices, decision.tag) ? choices[decision.tag] : undefined;
  return value === undefined ? -1 : valuesOf(decision).indexOf(value);
}

/** Every decision of a space, reachable or not, in walking order; a tied tag once. */
export function decisions(space: SpaceNode): readonly Decision[] {
  const found = new Map<string, Decision>();
  const collect = (node: SpaceNode, path: string, when: Readonly<Record<string, number>>): void => {
    if (!isOneOf(node)) {
      for (const [member, memberPath] of membersOf(node, path)) collect(member, memberPath, when);
      return;
    }
    if (!found.has(node.tag))
      found.set(node.tag, { tag: node.tag, path, values: valuesOf(node), isOrdered: isOrdered(node.oneOf), when });
    for (const [index, option] of node.oneOf.entries())
      collect(option, `${path}.oneOf[${index}]`, { ...when, [node.tag]: index });
  };
  collect(space, '', {});
  return [...found.values()];
}

/**
 * Choices drawn uniformly at each reachable decision; each tag has its own stream, so tags do not move
 * each other.
 */
export function sampleChoices(space: SpaceNode, random: Random): Choices {
  return choose(space, (decision) => random.child(decision.tag).integer(decision.oneOf.length));
}

/**
 * The plain data that choices stand for. Choices are canonical: exactly the reachable tags, each with
 * the chosen scalar, or with the option's number where an option is structured.
 * @throws {ConfigError} when choices miss a tag, name an unknown or unreachable one, or an option not offered.
 */
export function resolve(space: SpaceNode, choices: Choices): SpaceNode {
  const used = new Set<string>();
  const resolved = walk(space, (decision) => {
    used.add(decision.tag);
    const index = chosenIndex(decision, choices);
    if (index >= 0) return index;
    const offered = valuesOf(decision).map((value) => JSON.stringify(value));
    const got = Object.hasOwn(choices, decision.tag) ? JSON.stringify(choices[decision.tag]) : 'nothing';
    throw new ConfigError(`choices: ${decision.tag}: expected one of ${offered.join(', ')}, got ${got}`);
  });
  const foreign = Object.keys(choices).filter((tag) => !used.has(tag));
  if (foreign.length === 0) return resolved;
  throw new ConfigError(
    `choices: expected only the tags this space reaches (${[...used].join(', ')}), got also ${foreign.join(', ')}: ` +
      'were they made for another space?',
  );
}

/**
 * The network that choices stand for, defaults filled in.
 * @throws {ConfigError} as {@link resolve}, or when the space does not describe a network.
 */
export function decode(space: SpaceNode, choices: Choices): NetworkSpec {
  const parsed = networkSpecSchema.safeParse(resolve(space, choices));
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => `${documentPath(space, choices, issue.path)}: ${issue.message}`);
  throw new ConfigError(`search space: not a network\n${lines.join('\n')}`);
}

/** Where in the space's document a place of the resolved data stands. */
function documentPath(space: SpaceNode, choices: Choices, place: readonly PropertyKey[]): string {
  let node: SpaceNode | undefined = space;
  let path = '';
  const enter = (): void => {
    while (node !== undefined && isOneOf(node)) {
      const index = chosenIndex(node, choices);
      path += `.oneOf[${index}]`;
      node = node.oneOf[index];
    }
  };
  enter();
  for (const key of place) {
    path += typeof key === 'number' ? `[${key}]` : `${path === '' ? '' : '.'}${String(key)}`;
    node = node === undefined || isScalar(node) || node === null ? undefined : Reflect.get(node, key);
    enter();
  }
  return path === '' ? 'document' : path;
}

/** Choices that differ at one tag; decisions that only the change makes reachable take `fill`. */
function changed(
  space: SpaceNode,
  choices: Choices,
  tag: string,
  index: number,
  fill: (decision: OneOf) => number,
): Choices {
  return choose(space, (decision) => {
    if (decision.tag === tag) return index;
    const kept = chosenIndex(decision, choices);
    return kept >= 0 ? kept : fill(decision);
  });
}

/** Every other option of every reachable decision, as (tag, index), in walking order. */
function oneStepChanges(space: SpaceNode, choices: Choices): readonly (readonly [tag: string, index: number])[] {
  const changes = new Map<string, (readonly [string, number])[]>();
  walk(space, (decision) => {
    const index = Math.max(0, chosenIndex(decision, choices));
    const others = decision.oneOf
      .map((_, other) => [decision.tag, other] as const)
      .filter(([, other]) => other !== index);
    changes.set(decision.tag, others);
    return index;
  });
  return [...changes.values()].flat();
}

/** All choices one decision away, in walking order; newly reachable decisions take their first option. */
export function neighbours(space: SpaceNode, choices: Choices): readonly Choices[] {
  return oneStepChanges(space, choices).map(([tag, index]) => changed(space, choices, tag, index, () => 0));
}

/**
 * One reachable decision changed to another option: the decision uniformly, then the option uniformly;
 * newly reachable decisions are sampled. A space of one point gives the choices back.
 */
export function mutate(space: SpaceNode, choices: Choices, random: Random): Choices {
  const changes = oneStepChanges(space, choices);
  if (changes.length === 0) return choices;
  const tag = random.child('tag').pick([...new Set(changes.map(([changing]) => changing))]);
  const [, index] = random.child('option').pick(changes.filter(([changing]) => changing === tag));
  return changed(space, choices, tag, index, (decision) =>
    random.child('fill', decision.tag).integer(decision.oneOf.length),
  );
}

/**
 * Each reachable decision changed to another option with probability 1 ÷ decisions reachable, and one at least; newly
 * reachable decisions are sampled. A space of one point gives the choices back.
 */
export function mutateEach(space: SpaceNode, choices: Choices, random: Random): Choices {
  const rate = 1 / Math.max(1, Object.keys(choices).length);
  let isChanged = false;
  const mutated = choose(space, (decision) => {
    const stream = random.child('each', decision.tag);
    const kept = chosenIndex(decision, choices);
    const others = decision.oneOf.length - 1;
    if (kept < 0) return stream.integer(decision.oneOf.length);
    if (others === 0 || stream.uniform() >= rate) return kept;
    isChanged = true;
    const other = stream.integer(others);
    return other < kept ? other : other + 1;
  });
  return isChanged ? mutated : mutate(space, choices, random.child('one'));
}

/** Choices from an option's index for each reachable decision, named by its tag and how many options it has. */
export function chooseIndices(space: SpaceNode, indexOf: (tag: string, options: number) => number): Choices {
  return choose(space, ({ tag, oneOf: options }) => indexOf(tag, options.length));
}

/** Each reachable decision of choices, a tied tag once: the index of its option and how many there are. */
export function indicesOf(
  space: SpaceNode,
  choices: Choices,
): readonly { readonly tag: string; readonly index: number; readonly options: number }[] {
  const chosen = chooseEach(space, ({ decision: { tag }, values }) =>
    Object.hasOwn(choices, tag) ? values.indexOf(choices[tag] ?? '') : -1,
  );
  return [...chosen.values()];
}

/** Uniform crossover: each reachable decision from either parent that made it, sampled where neither did. */
export function crossover(space: SpaceNode, a: Choices, b: Choices, random: Random): Choices {
  return choose(space, (decision) => {
    const stream = random.child(decision.tag);
    const inherited = [a, b].map((parent) => chosenIndex(decision, parent)).filter((index) => index >= 0);
    return inherited.length > 0 ? stream.pick(inherited) : stream.integer(decision.oneOf.length);
  });
}

/** Exact number of distinct choices: products over members, sums over options, tied tags counted once. */
export function spaceSize(space: SpaceNode): bigint {
  // A state is an assignment of the tied tags met so far, with the number of ways to reach it.
  type States = ReadonlyMap<string, { readonly tied: ReadonlyMap<string, number>; readonly ways: bigint }>;
  const places = new Map<string, number>();
  const countPlaces = (node: SpaceNode): void => {
    if (isOneOf(node)) places.set(node.tag, (places.get(node.tag) ?? 0) + 1);
    for (const [member] of membersOf(isOneOf(node) ? node.oneOf : node, '')) countPlaces(member);
  };
  countPlaces(space);

  const entering = (states: States, tag: string, index: number): States => {
    if (places.get(tag) === 1) return states;
    const entered = new Map<string, { tied: ReadonlyMap<string, number>; ways: bigint }>();
    for (const state of states.values()) {
      if ((state.tied.get(tag) ?? index) !== index) continue;
      const tied = new Map(state.tied).set(tag, index);
      const key = JSON.stringify([...tied].sort());
      entered.set(key, { tied, ways: (entered.get(key)?.ways ?? 0n) + state.ways });
    }
    return entered;
  };
  const advance = (node: SpaceNode, states: States): States => {
    if (!isOneOf(node)) return membersOf(node, '').reduce((reached, [member]) => advance(member, reached), states);
    const merged = new Map<string, { tied: ReadonlyMap<string, number>; ways: bigint }>();
    for (const [index, option] of node.oneOf.entries())
      for (const [key, state] of advance(option, entering(states, node.tag, index)))
        merged.set(key, { tied: state.tied, ways: (merged.get(key)?.ways ?? 0n) + state.ways });
    return merged;
  };
  const states = advance(space, new Map([['[]', { tied: new Map(), ways: 1n }]]));
  return [...states.values()].reduce((sum, state) => sum + state.ways, 0n);
}

/**
 * Choices as numbers for models that want them: one entry per {@link decisions} row, the option's
 * index in 0 … n − 1, −1 where the decision is not reachable.
 */
export function encode(space: SpaceNode, choices: Choices): readonly number[] {
  const indices = new Map<string, number>();
  resolve(space, choices);
  walk(space, (decision) => {
    const index = chosenIndex(decision, choices);
    indices.set(decision.tag, index);
    return index;
  });
  return decisions(space).map(({ tag }) => indices.get(tag) ?? -1);
}

/** The inverse of {@link encode}. @throws {RangeError} on an index outside a reachable decision's options. */
export function decodeVector(space: SpaceNode, vector: readonly number[]): Choices {
  const order = new Map(decisions(space).map(({ tag }, position) => [tag, position]));
  return choose(space, (decision) => vector[order.get(decision.tag) ?? -1] ?? -1);
}

/** The space for people: one line a decision with its options, and under which option it is reachable. */
export function describe(space: SpaceNode): string {
  const rows = decisions(space);
  const column = Math.max(0, ...rows.map(({ tag }) => tag.length));
  return rows
    .map(({ tag, values, when }) => {
      const conditions = Object.entries(when).map(([outer, index]) => `${outer} is option ${index}`);
      const suffix = conditions.length > 0 ? `   (when ${conditions.join(' and ')})` : '';
      return `${tag.padEnd(column)}  ${values.join(' | ')}${suffix}`;
    })
    .join('\n');
}

/**
 * The space with what the data decides filled in: input channels and classes, and no resolution above the native one.
 * @param where names the space in errors, e.g. a file path.
 * @throws {ConfigError} when the space contradicts the data or no resolution is left.
 */
export function bindSpace(space: SpaceNode, data: SpaceData, where: string): SpaceNode {
  const network = asMapping(space, where, 'document');
  const input = asMapping(network['input'] ?? null, where, 'input');
  expectSame(where, 'input.channels', input['channels'], data.channels);
  expectSame(where, 'classes', network['classes'], data.classes);
  const resolution = withinNative(input['resolution'] ?? null, data.nativeResolution, where);
  return { ...network, classes: data.classes, input: { ...input, channels: data.channels, resolution } };
}

function asMapping(node: SpaceNode, where: string, path: string): { readonly [key: string]: SpaceNode } {
  if (typeof node === 'object' && node !== null && !isList(node) && !isOneOf(node)) return node;
  throw new ConfigError(
    `${where}: ${path}: expected a mapping, got ${isOneOf(node) ? 'a oneOf' : JSON.stringify(node)}`,
  );
}

function expectSame(where: string, path: string, got: SpaceNode | undefined, expected: number): void {
  if (got !== undefined && got !== expected)
    throw new ConfigError(`${where}: ${path}: expected ${expected}, as in the data, got ${JSON.stringify(got)}`);
}

function withinNative(resolution: SpaceNode, native: number, where: string): SpaceNode {
  const place = 'input.resolution';
  if (isOneOf(resolution)) expectOneOf(resolution, where, place);
  const offered = isOneOf(resolution) ? resolution.oneOf : [resolution];
  if (!offered.every((option) => typeof option === 'number'))
    throw new ConfigError(
      `${where}: ${place}: expected a number or a oneOf of numbers, got ${JSON.stringify(resolution)}`,
    );
  const kept = offered.filter((option) => option <= native);
  if (kept.length === 0)
    throw new ConfigError(
      `${where}: ${place}: expected one of at most ${native} px, the data's own, got only ${offered.join(', ')}`,
    );
  return isOneOf(resolution) ? { ...resolution, oneOf: kept } : resolution;
}

const oneOfSchema = z.strictObject({ oneOf: z.array(z.unknown()).min(1), tag: z.string().min(1) });

function expectOneOf(node: OneOf, where: string, path: string): void {
  const parsed = oneOfSchema.safeParse(node);
  if (!parsed.success) throw new ConfigError(`${where}: ${path}: not a oneOf\n${z.prettifyError(parsed.error)}`);
}

/**
 * Checks that a space is sound: decisions well formed, options of a decision distinct, tied tags alike, and every
 * option a valid part of a network at least once (all combinations are too many to try).
 * @throws {ConfigError} naming the place in the document.
 */
export function checkSpace(space: SpaceNode, where: string): void {
  const optionsByTag = new Map<string, { readonly text: string; readonly path: string }>();
  const check = (node: SpaceNode, path: string): void => {
    if (!isOneOf(node)) {
      for (const [member, memberPath] of membersOf(node, path)) check(member, memberPath);
      return;
    }
    expectOneOf(node, where, path);
    const texts = node.oneOf.map((option) => JSON.stringify(option));
    const twice = texts.find((text, index) => texts.indexOf(text) !== index);
    if (twice !== undefined) throw new ConfigError(`${where}: ${path}: expected distinct options, got ${twice} twice`);
    const text = texts.join();
    const first = optionsByTag.get(node.tag);
    if (first !== undefined && first.text !== text)
      throw new ConfigError(
        `${where}: ${path}: tag ${node.tag} is also at ${first.path} with other options; give this one its own tag`,
      );
    if (first === undefined) optionsByTag.set(node.tag, { text, path });
    for (const [index, option] of node.oneOf.entries()) check(option, `${path}.oneOf[${index}]`);
  };
  check(space, '');

  const tryWith = (forced: Readonly<Record<string, number>>): void => {
    const choices = choose(space, (decision) => forced[decision.tag] ?? 0);
    try {
      decode(space, choices);
    } catch (error) {
      if (error instanceof ConfigError) throw new ConfigError(`${where}: ${error.message}`, { cause: error });
      throw error;
    }
  };
  tryWith({});
  for (const { tag, values, when } of decisions(space))
    for (const index of values.keys()) tryWith({ ...when, [tag]: index });
}
