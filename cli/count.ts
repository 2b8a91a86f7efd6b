import { defineCommand } from 'citty';
import { ConfigError } from '../core/errors.ts';
import { buildNetwork } from '../models/build.ts';
import { countGraph } from '../models/counts.ts';
import { blockCount } from '../models/spec.ts';
import { isTransformer, type ModelSpec } from '../models/transformer.ts';
import { numberArgument } from './arguments.ts';
import { networkArgument, scalingFlags } from './network-argument.ts';

/** `ridgepoint count efficientnet-b0 --width 1.1`: what a network costs, scaled or not. */
export const command = defineCommand({
  args: {
    network: { type: 'positional', description: 'built-in network or spec (YAML)', required: true },
    ...scalingFlags,
    resolution: { type: 'string', description: 'input side in pixels (default: the network’s)' },
    classes: { type: 'string', description: 'number of classes (default: the network’s)' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  run({ args }) {
    const network = networkArgument(args.network, args);
    const spec = withClasses(network, args.classes);
    const count = countGraph(buildNetwork(spec, 1));
    const blocks = isTransformer(spec) ? spec.layers : blockCount(spec);
    if (args.json) return console.log(JSON.stringify({ schema: 1, ...count, blocks }));
    const rows = Object.entries({ ...count.groups, total: count });
    console.log(`${'group'.padEnd(12)}${'params'.padStart(14)}${'MACs'.padStart(14)}${'activations'.padStart(14)}`);
    for (const [name, { params, macs, activations }] of rows)
      console.log(name.padEnd(12) + cell(params) + cell(macs) + cell(activations));
    console.log(
      `blocks ${blocks}, weights ${cell(count.weightBytes).trim()} bytes, peak activations ${cell(count.peakBytes).trim()} bytes`,
    );
  },
});

function withClasses(network: ModelSpec, classes: string | undefined): ModelSpec {
  if (classes === undefined) return network;
  if (isTransformer(network)) throw new ConfigError('--classes: expected a network of pictures, got a transformer');
  return { ...network, classes: numberArgument('--classes', classes, 2) };
}

function cell(value: number): string {
  return value.toLocaleString('en').padStart(14);
}
