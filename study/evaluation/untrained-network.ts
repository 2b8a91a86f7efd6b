import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../../core/errors.ts';
import { writeDatasetFile } from '../../data/cache.ts';
import { loadDataset } from '../../data/load.ts';
import type { DataSource, LoadOptions } from '../../data/source.ts';
import { withHostLock } from '../../latency/host-lock.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph, type NetworkCount } from '../../models/counts.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { openZeroCostChild, type ZeroCostOptions, type ZeroCostScores } from '../../training/zero-cost-proxies.ts';
import type { StudyProgress } from '../context.ts';

export interface UntrainedNetworkRequest extends ZeroCostOptions {
  /** A spec, or what {@link loadNetwork} takes: a built-in network is fitted to the data. */
  readonly network: NetworkSpec | string;
  /** Where the batches are from. */
  readonly data: DataSource;
  /** Relative paths of `data` start here. */
  readonly baseDirectory: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StudyProgress) => void;
  /** Hears what a person should know of the data. */
  readonly onNotice?: LoadOptions['onNotice'];
}

/** What can be told of a network without training it. */
export interface UntrainedNetwork extends ZeroCostScores {
  readonly spec: NetworkSpec;
  readonly count: NetworkCount;
}

/**
 * Counts and zero-cost proxies of one network, in a child process and with the host's lock in shared mode; nothing is written.
 * @throws {ConfigError} when the network does not fit the data. @throws {InterruptedError} when aborted.
 */
export async function scoreUntrainedNetwork(request: UntrainedNetworkRequest): Promise<UntrainedNetwork> {
  const { network, data, baseDirectory, signal, onProgress, onNotice, seed, starts, batch, threads } = request;
  if (typeof network === 'string') loadNetwork(network); // A name or file that is wrong need not wait for the data.
  onProgress?.({ phase: 'prepare', text: 'preparing the data' });
  const dataset = await loadDataset(data, { baseDirectory, onNotice, ...(signal && { signal }) });
  const { channels, height, width } = dataset;
  const classes = dataset.classNames.length;
  const fitting = { classes, channels, nativeResolution: Math.min(height, width) };
  const spec = typeof network === 'string' ? loadNetwork(network, { data: fitting }) : network;
  if (spec.classes !== classes || spec.input.channels !== channels)
    throw new ConfigError(
      `spec: expected ${classes} classes and ${channels} channels as in ${dataset.name}, got ${spec.classes} and ${spec.input.channels}`,
    );
  const folder = await mkdtemp(join(tmpdir(), 'ridgepoint-proxies-'));
  const child = openZeroCostChild();
  try {
    const dataFile = join(folder, 'data.bin');
    await writeDatasetFile(dataset, dataFile);
    onProgress?.({ phase: 'proxies', text: `scoring ${spec.name ?? 'the network'} untrained` });
    const options = { seed, threads, ...(starts && { starts }), ...(batch && { batch }), ...(signal && { signal }) };
    const call = () => child.call({ spec, dataFile, ...options }, options);
    const { output } = await withHostLock('shared', call, options);
    return { spec, count: countGraph(buildNetwork(spec, 1)), ...output };
  } finally {
    await child.close();
    await rm(folder, { recursive: true, force: true });
  }
}
