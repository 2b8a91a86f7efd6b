import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestBytes } from '../../core/digest.ts';
import type { StudySummary } from './summary.ts';

/** What a manifest says of how its files came to be. */
interface ManifestFacts extends Pick<StudySummary, 'finished' | 'seed' | 'data' | 'environment'> {
  readonly study: string;
}

/** What a finished study leaves at the top of its folder, the report first; the two of several targets only where there are several. */
export const resultNames = [
  'report.html',
  'family.csv',
  'shared.csv',
  'across-targets.json',
  'pareto.csv',
  'trials.csv',
  'resolved.yaml',
  'manifest.json',
  'journal.jsonl',
] as const;

/** Files of a study's folder that a user may take away. Each is written beside and renamed, and the manifest, the last, has its digest. */
export class ResultFiles {
  readonly #folder: string;
  /** By path, with the digest that a journal promises for it; without one, the digest of what is there. */
  readonly #files = new Map<string, string | undefined>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param path below the folder. */
  write(path: string, content: string): void {
    const full = join(this.#folder, path);
    mkdirSync(join(full, '..'), { recursive: true });
    writeFileSync(`${full}.part`, content);
    renameSync(`${full}.part`, full);
    this.add(path);
  }

  /** A file that is there already; one that is not is left out of the manifest. */
  add(path: string, digest?: string): void {
    this.#files.set(path, digest);
  }

  writeManifest({ study, finished, seed, data, environment }: ManifestFacts): void {
    const files = Object.fromEntries(
      [...this.#files]
        .filter(([path]) => existsSync(join(this.#folder, path)))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([path, promised]) => [path, promised ?? digestBytes(readFileSync(join(this.#folder, path)))]),
    );
    const manifest = { schema: 1, study, finished, seed, data, environment, files };
    this.write('manifest.json', `${JSON.stringify(manifest, null, 2)}\n`);
  }
}
