import { InvalidFileError } from '../core/errors.ts';
import { FolderArtefacts } from '../study/artefacts.ts';

/**
 * Files by digest that studies and workers share. Each side works in a folder of its own host; where that is not the same
 * folder for all, files are published from it and fetched into it.
 */
export interface SharedStore {
  /** What this host has. */
  readonly here: FolderArtefacts;
  /** Lets all others have a file of this host. */
  publish(digest: string): Promise<void>;
  /**
   * Has a file on this host.
   * @throws {InvalidFileError} when nobody has published it, or it is not what its digest says.
   */
  fetch(digest: string): Promise<void>;
  /** This host needs a file no more that others may need still. */
  release(digest: string): Promise<void>;
  /** Nobody needs a file any more; what is not there is no error. */
  remove(digest: string): Promise<void>;
}

/** A folder that all sides see, as a network file system has it: there is nothing to send. */
export function folderStore(folder: string): SharedStore {
  const here = new FolderArtefacts(folder);
  return {
    here,
    publish: () => Promise.resolve(),
    fetch: (digest) => {
      if (!here.has(digest)) throw new InvalidFileError(`${folder}: no artefact ${digest}`);
      return Promise.resolve();
    },
    // The same folder is everybody's.
    release: () => Promise.resolve(),
    remove: (digest) => here.remove(digest),
  };
}
