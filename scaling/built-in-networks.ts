import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { efficientNets } from '../models/families/efficientnet.ts';
import { efficientNetV2s } from '../models/families/efficientnet-v2.ts';
import type { Family, Member } from '../models/families/family.ts';
import { mobileNets } from '../models/families/mobilenet.ts';
import { residualNetworks } from '../models/families/resnet.ts';
import { readSpecFile } from '../models/spec-file.ts';
import { networkSpecSchema, parseNetworkSpec, type NetworkSpec } from '../models/spec.ts';
import { applyMultipliers } from './apply.ts';

const families: readonly Family[] = [...efficientNets, ...efficientNetV2s, ...mobileNets, ...residualNetworks];

const members = new Map(
  families.flatMap(({ base, members }) =>
    Object.entries(members).map(([name, member]) => [name, { base, member }] as const),
  ),
);

/** Networks that need no file, e.g. `efficientnet-b0`; docs/configuration.md lists them. */
export const builtInNetworkNames: readonly string[] = [...members.keys()];

/** A network of the literature by its name, for ImageNet's 1000 classes at its own resolution; undefined for others. */
export function builtInNetwork(name: string): NetworkSpec | undefined {
  const found = members.get(name);
  return found && { ...memberOf(parseNetworkSpec(found.base, name), found.member), name };
}

function memberOf(base: NetworkSpec, member: Member): NetworkSpec {
  const {
    width = 1,
    depth = 1,
    resolution = base.input.resolution,
    dropout,
    squeezeExcite,
    firstStage = [{}],
  } = member;
  const multipliers = { width, depth, resolution: resolution / base.input.resolution };
  const { spec } = applyMultipliers(base, multipliers, { maxResolution: resolution });
  const [first, ...rest] = spec.stages;
  return networkSpecSchema.parse({
    ...spec,
    stages: [...firstStage.map((settings) => ({ ...first, ...settings })), ...rest].map((stage) =>
      squeezeExcite === undefined ? stage : { ...stage, squeezeExcite },
    ),
    head: { ...spec.head, dropout: dropout ?? spec.head.dropout },
  });
}

/** Where a network's name or path is read. */
export interface LoadOptions {
  /** Relative paths start here; the working directory when left out. */
  readonly baseDirectory?: string;
  /** What a built-in network is fitted to: its classes and channels, and no resolution above the native one. */
  readonly data?: { readonly classes: number; readonly channels: number; readonly nativeResolution: number };
}

/**
 * What a person names where a network is wanted: a {@link builtInNetworkNames built-in network}, fitted to the data,
 * or the path of a spec in YAML, as it is.
 * @throws {ConfigError} when it is neither, with the names that come near, or when the file is no spec.
 */
export function loadNetwork(source: string, { baseDirectory = '', data }: LoadOptions = {}): NetworkSpec {
  const network = builtInNetwork(source);
  if (network && data) {
    const resolution = Math.min(network.input.resolution, data.nativeResolution);
    return { ...network, classes: data.classes, input: { channels: data.channels, resolution } };
  }
  if (network) return network;
  const path = isAbsolute(source) ? source : join(baseDirectory, source);
  if (/[\\/]|\.(ya?ml|json)$/.test(source) || existsSync(path)) return readSpecFile(path);
  throw new ConfigError(
    `expected a built-in network or the path of a spec (.yaml), got ${JSON.stringify(source)}; near it: ${nearNames(source).join(', ')}`,
  );
}

/** The built-in names that the fewest edits turn into the given one, ten at most. */
function nearNames(name: string): readonly string[] {
  const edits = builtInNetworkNames.map((known) => editDistance(name.toLowerCase(), known));
  const fewest = Math.min(...edits);
  return builtInNetworkNames.filter((_, index) => edits[index] === fewest).slice(0, 10);
}

/** Insertions, deletions and substitutions that make one text of the other (Levenshtein 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries())
      next.push(Math.min((row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)));
    row = next;
  }
  return row.at(-1) ?? 0;
}
