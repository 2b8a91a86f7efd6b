import { buildNetwork } from '../models/build.ts';
import { countGraph } from '../models/counts.ts';
import { blockCount, type NetworkSpec } from '../models/spec.ts';
import type { Multipliers } from './multipliers.ts';

/**
 * Where any network stands to a base: ratio of all repeats, of input sides, and the width that explains what is left of the
 * ratio of multiply-adds under d·w²·r². For a scaling of the base about its realised multipliers; for another network of the
 * space its expansions, kernels and operators count as width, too.
 */
export function relativeShape(base: NetworkSpec, network: NetworkSpec): Multipliers {
  const depth = blockCount(network) / blockCount(base);
  const resolution = network.input.resolution / base.input.resolution;
  return { depth, width: Math.sqrt(macsOf(network) / macsOf(base) / depth) / resolution, resolution };
}

function macsOf(spec: NetworkSpec): number {
  return countGraph(buildNetwork(spec, 1)).macs;
}
