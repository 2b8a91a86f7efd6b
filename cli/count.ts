import { defineCommand } from 'citty';
import { buildNetwork } from '../models/build.ts';
import { countGraph } from '../models/counts.ts';
import { blockCount, parseNetworkSpec } from '../models/spec.ts';
import { applyMultipliers } from '../scaling/apply.ts';
import { loadNetwork } from '../scaling/built-in-networks.ts';
import { numberArgument, positiveArgument } from './arguments.ts';

/** `ridgepoint count efficientnet-b0 --width 1.1`: what a network costs, scaled or not. */
export const command = defineCommand({
  args: {
    network: { type: 'positional', description: 'built-in network or spec (YAML)', required: true },
    width: { type: 'string', description: 'width multiplier', default: '1' },
    depth: { type: 'string', description: 'depth multiplier', default: '1' },
    resolution: { type: 'string', description: 'input side in pixels (default: the network’s)' },
    classes: { type: 'string', description: 'number of classes (default: the network’s)' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  run({ args }) {
    const base = loadNetwork(args.network);
    const multipliers = {
      width: positiveArgument('--width', args.width),
      depth: positiveArgument('--depth', args.depth),
      resolution: 1,
    };
    const scaled = applyMultipliers(base, multipliers, { maxResolution: base.input.resolution }).spec;
    const { classes = String(scaled.classes), resolution = String(scaled.input.resolution) } = args;
    const wanted = {
      ...scaled,
      classes: numberArgument('--classes', classes, 2),
      input: { ...scaled.input, resolution: numberArgument('--resolution', resolution, 4) },
    };
    const spec = parseNetworkSpec(wanted, args.network);
    const count = countGraph(buildNetwork(spec, 1));
    const blocks = blockCount(spec);
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

function cell(value: number): string {
  return value.toLocaleString('en').padStart(14);
}
