import { defineCommand } from 'citty';
import { resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { dataSourceSchema } from '../data/source.ts';
import { textSourceSchema } from '../data/text.ts';
import { isTransformer, type TransformerSpec } from '../models/transformer.ts';
import { openRunLog } from '../report/run-log/place.ts';
import { heuristicNames, type ScheduleChoice } from '../training/heuristic-schedules.ts';
import { readRecipeFile } from '../study/evaluation/recipe.ts';
import { trainerKinds } from '../training/trainer.ts';
import { loadSchedule } from '../study/evaluation/training-schedule.ts';
import { type TrainedLanguageModel, trainLanguageModel } from '../study/train/train-language-model.ts';
import { type TrainedNetwork, trainNetwork, type TrainNetworkRequest } from '../study/train/train-network.ts';
import { dataArgument, numberArgument, oneOf, positiveArgument } from './arguments.ts';
import { modelArgument } from './network-argument.ts';
import { openReporter, watchedBy } from './progress.ts';

/** `ridgepoint train resnet-18 --data rendered`: one network, trained, exported and verified. */
export const command = defineCommand({
  args: {
    network: {
      type: 'positional',
      description: 'built-in network or spec (YAML), a transformer’s too',
      required: true,
    },
    data: {
      type: 'string',
      description:
        'pictures: rendered (the default), a folder, {format: csv, path: …} or a YAML file with that; of a transformer text: grammar (the default) or {format: text, path: …}',
    },
    examples: { type: 'string', description: 'training examples; of text, sequences', default: '20000' },
    seed: { type: 'string', description: 'seed of weights, data order and augmentation', default: '0' },
    threads: { type: 'string', description: 'threads of the trainer', default: '1' },
    trainer: {
      type: 'string',
      description: 'what trains: onnx (the default) or tfjs (TensorFlow.js, where it is installed)',
    },
    schedule: {
      type: 'string',
      description: `training schedule, how settings change in stages: ${heuristicNames.join(', ')} or a YAML file (default: they do not)`,
    },
    recipe: { type: 'string', description: 'YAML file with keys of a study’s trainer section' },
    'learning-rate': { type: 'string', description: 'peak learning rate (default: the recipe’s)' },
    'batch-size': { type: 'string', description: 'examples an update (default: the recipe’s)' },
    out: {
      type: 'string',
      description: 'new folder for model.onnx, weights.safetensors, metrics.json',
      default: 'trained',
    },
    log: {
      type: 'string',
      description: 'also tell of the run: tensorboard:<folder>, or mlflow:<address of a tracking server>',
    },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const reporter = openReporter({ json: args.json ?? false });
    const request = {
      baseDirectory: process.cwd(),
      trainer: {
        ...(args.recipe ? readRecipeFile(args.recipe) : {}),
        ...(args.trainer ? { kind: oneOf('--trainer', trainerKinds, args.trainer) } : {}),
        ...(args['learning-rate'] ? { learningRate: positiveArgument('--learning-rate', args['learning-rate']) } : {}),
        ...(args['batch-size'] ? { batchSize: numberArgument('--batch-size', args['batch-size'], 1) } : {}),
      },
      fidelity: { examples: numberArgument('--examples', args.examples, 1), seed: numberArgument('--seed', args.seed) },
      ...(args.schedule ? { schedule: scheduleArgument(args.schedule) } : {}),
      threads: numberArgument('--threads', args.threads, 1),
      folder: resolve(args.out),
      ...(args.log ? { log: openRunLog(args.log) } : {}),
    };
    const network = modelArgument(args.network);
    const train = isTransformer(network)
      ? textTraining(network, args.data ?? 'grammar', request)
      : imageTraining(args.network, args.data ?? 'rendered', request);
    const { result, text } = await train(watchedBy(reporter, 'the same command goes on from the last update'));
    reporter.finish();
    console.log(args.json ? JSON.stringify({ schema: 1, ...result }) : `${args.out}/model.onnx: ${text}`);
  },
});

type Request = Omit<TrainNetworkRequest, 'network' | 'data' | keyof Watched>;
type Watched = ReturnType<typeof watchedBy>;
type Training = (
  watched: Watched,
) => Promise<{ readonly result: TrainedNetwork | TrainedLanguageModel; readonly text: string }>;

function imageTraining(network: string, dataText: string, request: Request): Training {
  const data = dataArgument(dataSourceSchema, dataText);
  return async (watched) => {
    const result = await trainNetwork({ ...request, network, data, ...watched });
    const { test, holdout, cost } = result;
    const scores = `${percent(test.accuracy)} on ${test.examples} test examples (hold-out ${percent(holdout.accuracy)})`;
    const speed = `trained in ${cost.trainS.toFixed(1)} s at ${Math.round(cost.imagesPerS ?? 0)} images/s`;
    return { result, text: `${scores}, ${speed}` };
  };
}

function textTraining(network: TransformerSpec, dataText: string, request: Request): Training {
  const data = dataArgument(textSourceSchema, dataText);
  return async (watched) => {
    const result = await trainLanguageModel({ ...request, network, data, ...watched });
    const { crossEntropyNats, irreducibleNats, accuracy, tokens, params, cost } = result;
    const floor = irreducibleNats === undefined ? '' : `, of which ${irreducibleNats.toFixed(4)} cannot be learned`;
    const scores = `${crossEntropyNats.toFixed(4)} nats a token${floor}; ${percent(accuracy)} right`;
    const speed = `${params} parameters trained on ${tokens} tokens in ${cost.trainS.toFixed(1)} s`;
    return { result, text: `${scores}; ${speed}` };
  };
}

function scheduleArgument(text: string): ScheduleChoice {
  try {
    return loadSchedule(text, process.cwd());
  } catch (cause) {
    throw new ConfigError(`--schedule: ${(cause as Error).message}`, { cause });
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
