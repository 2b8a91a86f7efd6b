import { existsSync, readFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { digestBytes } from '../../core/digest.ts';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import { writeNewFolder } from '../../core/new-folder.ts';

/** Which delivered files are meant; those that targets share are of the target `shared`. */
export interface FamilyPart {
  readonly target?: string;
  readonly size?: string;
}

/**
 * Copies delivered files out of a study, every byte checked against the manifest first. The folder appears whole or not at all.
 * @returns the files written, below `to`.
 * @throws {ConfigError} when nothing matches or `to` exists; {InvalidFileError} when a file was changed.
 */
export async function exportFamily(folder: string, to: string, only: FamilyPart): Promise<string[]> {
  const family = deliveredFiles(folder, only);
  return writeNewFolder('--to', to, async (work) => {
    for (const path of family) await cp(join(folder, path), join(work, path));
    return family;
  });
}

/**
 * The delivered files of a finished study, below its folder, every byte checked against the manifest.
 * @throws {ConfigError} when nothing matches; {InvalidFileError} when a file was changed.
 */
export function deliveredFiles(folder: string, only: FamilyPart): string[] {
  const manifestPath = join(folder, 'manifest.json');
  if (!existsSync(manifestPath))
    throw new ConfigError(`${folder}: expected the folder of a finished study (it has a manifest.json), found none`);
  const { files } = readManifest(manifestPath);
  const family = Object.entries(files).filter(([path]) => {
    const parts = path.split(/[\\/]/);
    const [room, target, size] = parts[0] === 'shared' ? ['family', ...parts] : parts;
    return room === 'family' && (only.target ?? target) === target && (only.size ?? size) === size;
  });
  if (family.length === 0)
    throw new ConfigError(
      `${folder}: expected delivered files for ${only.target ?? 'any target'}, ${only.size ?? 'any size'}; found none`,
    );
  for (const [path, digest] of family) {
    const found = existsSync(join(folder, path)) ? digestBytes(readFileSync(join(folder, path))) : 'no file';
    if (found !== digest)
      throw new InvalidFileError(`${join(folder, path)}: expected ${digest} as in the manifest, got ${found}`);
  }
  return family.map(([path]) => path);
}

const manifestSchema = z.object({ files: z.record(z.string(), z.string()) });

function readManifest(path: string): z.infer<typeof manifestSchema> {
  try {
    return manifestSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new InvalidFileError(
      `${path}: expected a manifest of files with their digests: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}
