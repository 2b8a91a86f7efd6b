import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { digestBytes } from '../core/digest.ts';
import { InvalidFileError } from '../core/errors.ts';

/** Files by content: what is put once is found by its digest for ever. */
export interface Artefacts {
  /** Stores a stream's bytes. @returns `sha256:<hex>`; putting the same bytes again changes nothing. */
  put(content: Readable | Uint8Array): Promise<string>;
  /** @throws {InvalidFileError} when nothing with that digest was put. */
  get(digest: string): Readable;
  has(digest: string): boolean;
}

/** Artefacts in a folder, one file each, named by digest; written beside and renamed. */
export class FolderArtefacts implements Artefacts {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Path of a stored file, for processes that read it themselves. */
  path(digest: string): string {
    if (!/^sha256:[0-9a-f]{64}$/.test(digest))
      throw new InvalidFileError(`expected a digest such as sha256:<64 hex digits>, got ${JSON.stringify(digest)}`);
    return join(this.#folder, digest.replace(':', '-'));
  }

  /** @param before hears the digest while nothing is found under it yet. */
  async put(content: Readable | Uint8Array, before?: (digest: string) => Promise<void>): Promise<string> {
    const temporary = join(this.#folder, `incoming-${randomUUID()}`);
    const hash = createHash('sha256');
    const tap = new Transform({
      transform(chunk: Uint8Array, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    try {
      await pipeline(
        content instanceof Uint8Array ? Readable.from([content]) : content,
        tap,
        createWriteStream(temporary, { flush: true }),
      );
      const digest = `sha256:${hash.digest('hex')}`;
      await before?.(digest);
      renameSync(temporary, this.path(digest));
      return digest;
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  get(digest: string): Readable {
    if (!this.has(digest)) throw new InvalidFileError(`${this.#folder}: no artefact ${digest}`);
    return createReadStream(this.path(digest));
  }

  has(digest: string): boolean {
    return existsSync(this.path(digest));
  }

  /** Forgets a file; one that is not there is no error. */
  async remove(digest: string): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  /**
   * A stored file's bytes, checked against its name.
   * @throws {InvalidFileError} when it is not there, or was changed since it was put.
   */
  async read(digest: string): Promise<Uint8Array> {
    if (!this.has(digest)) throw new InvalidFileError(`${this.#folder}: no artefact ${digest}`);
    const bytes = await readFile(this.path(digest));
    const found = digestBytes(bytes);
    if (found !== digest) throw new InvalidFileError(`${this.path(digest)}: expected ${digest}, got ${found}`);
    return bytes;
  }

  /** Whether a file is stored and holds what its name says. */
  async isIntact(digest: string): Promise<boolean> {
    return this.has(digest) && digestBytes(await readFile(this.path(digest))) === digest;
  }
}
