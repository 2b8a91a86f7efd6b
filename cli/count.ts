import { defineCommand } from 'citty';
import { buildNetwork } from '../models/build.ts';
import { countGraph } from '../models/counts.ts';
import { applyMultipliers } from '../scaling/apply.ts';
import { positiveArgument, numberArgument } from './arguments.ts';
import { readSpecFile } from '../models/spec-file.ts';

/** `ridgepoint count spec.yaml --width 1.1`: what a network costs, scaled or not. */
export const command = defineCommand({
  args: {
    spec: { type: 'positional', description: 'network spec (YAML)', required: true },
    width: { type: 'string', description: 'width multiplier', default: '1' },
    depth: { type: 'string', description: 'depth multiplier', default: '1' },
    resolution: { type: 'string', description: 'input side in pixels (default: as in the spec)' },
    classes: { type: 'string', description: 'number of classes (default: as in the spec)' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  run({ args }) {
    const base = readSpecFile(args.spec);
    const multipliers = {
      width: positiveArgument('--width', args.width),
      depth: positiveArgument('--depth', args.depth),
      resolution: 1,
    };
    const isScaled = multipliers.width !== 1 || multipliers.depth !== 1;
    const scaled = isScaled ? applyMultipliers(base, multipliers, { maxResolution: base.input.resolution }).spec : base;
    const spec = {
      ...scaled,
      classes: args.classes === undefined ? scaled.classes : numberArgument('--classes', args.classes, 2),
      input: {
        ...scaled.input,
        resolution:
          args.resolution === undefined ? scaled.input.resolution : numberArgument('--resolution', args.resolution, 4),
      },
    };
    const count = countGraph(buildNetwork(spec, 1));
    const blocks = spec.stages.reduce((sum, stage) => sum + stage.repeats, 0);
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
