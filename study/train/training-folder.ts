import { existsSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, InterruptedError } from '../../core/errors.ts';
import { leaseFileName, takeLease } from '../journal/lease.ts';

/** Where a training's files are made. */
export interface WorkPlace {
  /** A folder that exists. */
  readonly work: string;
  readonly checkpointFile: string;
}

/**
 * Makes the files of one training in a folder that appears whole or not at all. Until then the work is in a folder beside
 * it that ends in `.part`, in which nothing but files of this work is ever removed, and from whose checkpoint
 * the same work goes on.
 * @throws {ConfigError} as {@link expectFree} does. @throws {InterruptedError} when aborted.
 * @throws {StudyBusyError} while another process works for this folder.
 */
export async function intoFolder<Result>(
  folder: string,
  signal: AbortSignal | undefined,
  make: (place: WorkPlace) => Promise<Result>,
): Promise<Result> {
  const work = workOf(folder);
  expectOwn(work); // Preparing the data took its time.
  const release = takeLease(work);
  const checkpointFile = join(work, checkpointName);
  let result: Result;
  try {
    expectNew(folder); // Another run of the same request may have ended meanwhile.
    removeOwn(work, [checkpointName, leaseFileName]); // What a killed run left.
    result = await make({ work, checkpointFile });
    removeOwn(work, [...delivered, checkpointName, leaseFileName]);
    expectNew(folder);
    renameSync(work, folder);
  } catch (error) {
    removeOwn(work, [checkpointName, leaseFileName]);
    if (!signal?.aborted) throw error;
    const advice = existsSync(checkpointFile) ? `the same command goes on from ${work}` : 'nothing was kept';
    throw new InterruptedError(`interrupted; ${advice}`, { cause: error });
  } finally {
    release();
    removeIfEmpty(work);
  }
  removeOwn(folder, delivered);
  return result;
}

/** @throws {ConfigError} when the folder exists, or the one for unfinished work holds anything that is not this command's. */
export function expectFree(folder: string): void {
  expectNew(folder);
  expectOwn(workOf(folder));
}

const workOf = (folder: string): string => `${folder}.part`;

const checkpointName = 'checkpoint.safetensors';
const delivered = ['model.onnx', 'weights.safetensors', 'metrics.json'] as const;

/** Every file of the work, and what they are called while they are written. */
const ownName =
  /^(?:(?:data\.bin|(?:checkpoint|weights)\.safetensors|model\.onnx|metrics\.json)(?:\.[0-9a-f-]+\.(?:part|tmp))?|lease\.json(?:\.[0-9a-f-]+(?:\.(?:\d+|stale))?)?)$/;

function expectNew(folder: string): void {
  if (existsSync(folder)) throw new ConfigError(`--out: expected a folder that does not exist yet, got ${folder}`);
}

/** @throws {ConfigError} when there is a folder of that name in which anything is not this command's. */
function expectOwn(work: string): void {
  if (!existsSync(work)) return;
  const expected = '--out: expected the folder for unfinished work to be new or of an earlier run';
  if (!statSync(work).isDirectory()) throw new ConfigError(`${expected}, got the file ${work}`);
  const names = readdirSync(work);
  // A run that was interrupted leaves its checkpoint, one that was killed its lease, too.
  const isMarked = names.some((name) => name === checkpointName || name.startsWith(leaseFileName));
  const foreign = isMarked ? names.find((name) => !ownName.test(name)) : names[0];
  if (foreign !== undefined) throw new ConfigError(`${expected}, got ${join(work, foreign)}`);
}

function removeOwn(folder: string, kept: readonly string[]): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder))
    if (ownName.test(name) && !kept.includes(name)) rmSync(join(folder, name), { force: true });
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It is kept for what is in it, or has been renamed.
  }
}
