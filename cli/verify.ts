import { defineCommand } from 'citty';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { dataSourceSchema } from '../data/source.ts';
import { type Finding, findBundles, verifyBundle } from '../handover/verify.ts';
import { dataArgument, oneOf } from './arguments.ts';
import { openReporter, watchedTogether } from './progress.ts';

/** `ridgepoint verify bundle`: whether bundles are what they say, on this machine. */
export const command = defineCommand({
  args: {
    folder: { type: 'positional', description: 'a bundle, or a folder of bundles', required: true },
    data: {
      type: 'string',
      description: "the data set, whose test split is scored: as train's --data (default: accuracy is not checked)",
    },
    on: { type: 'string', description: `provider for logits and latency: ${providerIds.join(', ')}`, default: 'cpu' },
    strict: { type: 'boolean', description: 'exit with 3 when a figure differs, even on another machine' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const accelerator = oneOf('--on', providerIds, args.on);
    const data = args.data === undefined ? undefined : dataArgument(dataSourceSchema, args.data);
    const folders = findBundles(args.folder);
    const reporter = openReporter({ json: args.json ?? false });
    const watched = watchedTogether(reporter, 'nothing was changed');
    const bundles: { readonly folder: string; readonly findings: readonly Finding[] }[] = [];
    for (const folder of folders) {
      if (!args.json) console.log(folder);
      const findings = await verifyBundle({
        folder,
        accelerator,
        ...(data && { data }),
        baseDirectory: process.cwd(),
        ...watched,
        onFinding: ({ what, verdict, detail }) => {
          reporter.finish();
          if (!args.json) console.log(`  ${verdict === 'fails' ? 'FAILS' : verdict}  ${what}: ${detail}`);
        },
      }).finally(reporter.finish);
      bundles.push({ folder, findings });
    }
    const verdicts = new Set(bundles.flatMap(({ findings }) => findings.map(({ verdict }) => verdict)));
    if (args.json) console.log(JSON.stringify({ schema: 1, ok: !verdicts.has('fails'), bundles }));
    if (verdicts.has('fails')) process.exitCode = 2;
    else if (args.strict && verdicts.has('differs')) process.exitCode = 3;
  },
});
