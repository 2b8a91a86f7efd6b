import { readFile } from 'node:fs/promises';
import { parse as parseYaml, stringify } from 'yaml';
import { z } from 'zod';
import { ConfigError } from '../core/errors.ts';
import { type DeviceProfile, deviceProfileSchema } from './device-profile.ts';
import { deviceProfiles } from './profiles.ts';

/** A profile as people write it: complete, or what differs from one of the table (`like: l4`). */
const profileFileSchema = z.looseObject({ like: z.string().optional() });

/**
 * The profile that `--on` names: one of the table by its id, or a file in YAML by its path (`.yaml`, `.yml`).
 * @throws {ConfigError} naming the file and every offending key, or the ids there are.
 */
export async function findProfile(idOrPath: string): Promise<DeviceProfile> {
  if (/\.ya?ml$/i.test(idOrPath)) return readProfileFile(idOrPath);
  const profile = deviceProfiles.get(idOrPath);
  if (profile) return profile;
  throw new ConfigError(
    `expected a profile (${[...deviceProfiles.keys()].join(', ')}) or a .yaml file, got '${idOrPath}'`,
  );
}

async function readProfileFile(path: string): Promise<DeviceProfile> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError(`${path}: expected a readable device profile, got ${cause.code}`, { cause });
  });
  let data: unknown;
  try {
    data = parseYaml(text);
  } catch (cause) {
    throw new ConfigError(`${path}: not YAML: ${(cause as Error).message}`, { cause });
  }
  return parseProfile(data, path);
}

/**
 * Checks untrusted data as a device profile. With `like`, keys that are absent are those of the profile it
 * names, `efficiency` kind by kind; a new measurement's `calibration` is never inherited.
 * @param where names the source in errors.
 * @throws {ConfigError} naming every offending key.
 */
export function parseProfile(data: unknown, where: string): DeviceProfile {
  const file = profileFileSchema.safeParse(data);
  if (!file.success) throw new ConfigError(`${where}: not a device profile\n${z.prettifyError(file.error)}`);
  const { like, ...own } = file.data;
  const base = like === undefined ? undefined : deviceProfiles.get(like);
  if (like !== undefined && !base)
    throw new ConfigError(`${where}: like: expected one of ${[...deviceProfiles.keys()].join(', ')}, got '${like}'`);
  const parsed = deviceProfileSchema.safeParse(base ? inherit(base, own) : own);
  if (!parsed.success) throw new ConfigError(`${where}: not a device profile\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

function inherit(base: DeviceProfile, own: Readonly<Record<string, unknown>>): unknown {
  const efficiency = merge(base.efficiency, own['efficiency']);
  return { ...base, calibration: undefined, name: own['id'] ?? base.name, ...own, efficiency };
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Own keys over those of the base, at every depth; what is no mapping is left for the schema to judge. */
function merge(base: unknown, own: unknown): unknown {
  if (!isMapping(base) || !isMapping(own)) return own ?? base;
  return { ...base, ...Object.fromEntries(Object.entries(own).map(([key, value]) => [key, merge(base[key], value)])) };
}

const row = (numbers: readonly number[]): string => numbers.join(' ');

/** A profile as the text of its file, with each row of learned numbers as one text. */
export function formatProfile(profile: DeviceProfile): string {
  const { learned, ...rest } = profile;
  if (!learned) return stringify(rest);
  const groups = Object.entries(learned.groups).map(([group, { process, ...model }]) => [
    group,
    { ...model, process: { ...process, points: process.points.map(row), weights: row(process.weights) } },
  ]);
  // Long rows stay on one line, and lists of a few numbers do not need aliases.
  return stringify(
    { ...rest, learned: { ...learned, groups: Object.fromEntries(groups) } },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}
