import { resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { FolderArtefacts } from '../study/artefacts.ts';
import { isS3, openS3Store } from './s3-store.ts';
import { folderStore, type SharedStore } from './store.ts';

/**
 * The store that `--store` names: a folder that all see, or `s3://bucket/prefix`.
 * @param folder of this host, for what is fetched from S3.
 * @throws {ConfigError} when it is neither, or S3's settings are not there.
 */
export function openStore(place: string, folder: string, env: NodeJS.ProcessEnv = process.env): SharedStore {
  if (isS3(place)) return openS3Store(place, new FolderArtefacts(resolve(folder)), env);
  if (/^\w+:\/\//.test(place))
    throw new ConfigError(`--store: expected a folder or s3://bucket/prefix, got ${JSON.stringify(place)}`);
  return folderStore(resolve(place));
}
