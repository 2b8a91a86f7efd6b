import { defineCommand } from 'citty';
import { resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { dataSourceSchema } from '../data/source.ts';
import { readRecipeFile } from '../study/recipe.ts';
import { trainNetwork } from '../study/train-network.ts';
import { dataArgument, numberArgument, positiveArgument } from './arguments.ts';
import { interruptible, openReporter } from './progress.ts';

/** `ridgepoint train resnet-18 --data rendered`: one network, trained, exported and verified. */
export const command = defineCommand({
  args: {
    network: { type: 'positional', description: 'built-in network or spec (YAML)', required: true },
    data: {
      type: 'string',
      description: 'data set: rendered, a folder of images, {format: csv, path: …} or a YAML file with that',
      default: 'rendered',
    },
    examples: { type: 'string', description: 'training examples', default: '20000' },
    seed: { type: 'string', description: 'seed of weights, data order and augmentation', default: '0' },
    threads: { type: 'string', description: 'threads of the trainer', default: '1' },
    recipe: { type: 'string', description: 'YAML file with keys of a study’s trainer section' },
    'learning-rate': { type: 'string', description: 'peak learning rate (default: the recipe’s)' },
    'batch-size': { type: 'string', description: 'examples an update (default: the recipe’s)' },
    out: {
      type: 'string',
      description: 'new folder for model.onnx, weights.safetensors, metrics.json',
      default: 'trained',
    },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const parsed = dataSourceSchema.safeParse(dataArgument(args.data));
    if (!parsed.success) throw new ConfigError(`--data: ${parsed.error.issues[0]?.message}`);
    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'the same command goes on from the last update');
    const result = await trainNetwork({
      network: args.network,
      data: parsed.data,
      baseDirectory: process.cwd(),
      trainer: {
        ...(args.recipe ? readRecipeFile(args.recipe) : {}),
        ...(args['learning-rate'] ? { learningRate: positiveArgument('--learning-rate', args['learning-rate']) } : {}),
        ...(args['batch-size'] ? { batchSize: numberArgument('--batch-size', args['batch-size'], 1) } : {}),
      },
      fidelity: { examples: numberArgument('--examples', args.examples, 1), seed: numberArgument('--seed', args.seed) },
      threads: numberArgument('--threads', args.threads, 1),
      folder: resolve(args.out),
      signal,
      onProgress: reporter.progress,
      onNotice: (text) => {
        reporter.finish();
        reporter.notice(text);
      },
    });
    reporter.finish();
    if (args.json) console.log(JSON.stringify({ schema: 1, ...result }));
    else
      console.log(
        `${args.out}/model.onnx: ${(100 * result.test.accuracy).toFixed(1)} % on ${result.test.examples} test examples (hold-out ${(100 * result.holdout.accuracy).toFixed(1)} %), trained in ${result.cost.trainS.toFixed(1)} s at ${Math.round(result.cost.imagesPerS ?? 0)} images/s`,
      );
  },
});
