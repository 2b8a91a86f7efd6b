import { basename, resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import type { Dataset } from '../data/dataset.ts';
import { loadDataset } from '../data/load.ts';
import { type DataSource, dataSourceSchema } from '../data/source.ts';
import { amount, duration, grouped, percent, significant } from '../report/format.ts';
import { tablePage } from '../report/law-page.ts';
import type { NetworkSpec } from '../models/spec.ts';
import { loadNetwork } from '../scaling/built-in-networks.ts';
import {
  type FamilyPlan,
  type FamilyPlanAllocation,
  type FamilyPlanRequest,
  planFamily,
} from '../scaling/plan-family.ts';
import { parseRule } from '../scaling/rules.ts';
import { type InstantiatedNetwork, instantiateNetwork } from '../study/train/instantiate.ts';
import { dataArgument, numberArgument } from './arguments.ts';
import {
  budgetOf,
  budgetText,
  clusterOf,
  longDuration,
  mappingsOf,
  onlyMapping,
  optionalArgument,
} from './plan-arguments.ts';
import { openReporter, watchedBy } from './progress.ts';
import { textTable } from './text-table.ts';
import { outputPaths, writeWhole } from './written-file.ts';

/** What `ridgepoint plan --base` was given. */
export interface BaseArguments {
  readonly base: string;
  readonly laws: readonly string[] | undefined;
  readonly rule?: string | undefined;
  readonly flops?: string;
  readonly time?: string;
  readonly on?: string;
  readonly count: string;
  readonly precision?: string;
  readonly mfu?: string;
  readonly batch?: string | undefined;
  readonly 'unique-data'?: string | undefined;
  readonly data?: string | undefined;
  readonly instantiate?: string | undefined;
  readonly seed: string;
  readonly threads: string;
  readonly output?: string | undefined;
  readonly json?: boolean | undefined;
}

/** Examples of an optimizer step, as the trainer's recipe has them. */
const defaultBatch = 32;
/** Share of the peak where `--mfu` is not given: a guess, half of what is taken for transformers. */
const assumedMfu = '0.2';
/** Options that speak of transformers only. */
const transformerFlags = ['profile', 'inference-tokens', 'context', 'vocabulary'] as const;

/**
 * `ridgepoint plan --base resnet-50 --law laws.yaml`: which scaling of a convolution network, and how many examples, a budget
 * should buy; with `--instantiate` trained.
 */
export async function planBase(args: BaseArguments, rawArgs: readonly string[]): Promise<void> {
  const stray = transformerFlags.find((flag) => rawArgs.some((text) => text.split('=')[0] === `--${flag}`));
  if (stray) throw new ConfigError(`--${stray}: expected none with --base, for it is about transformers`);
  if (!args.laws)
    throw new ConfigError(
      '--base: expected --law with it, a file of ridgepoint fit on trainings of this family: published laws are of text',
    );
  if (args.instantiate !== undefined && args.data === undefined)
    throw new ConfigError(
      '--instantiate: expected --data with it, the pictures to train the scaled --base on, got none',
    );
  const files = args.output === undefined ? [] : outputPaths([args.output], ['.html']);
  const source = args.data === undefined ? undefined : dataArgument(dataSourceSchema, args.data);
  const notices: string[] = [];
  const request = await requestOf(args, source, notices);
  const planned = planFamily(request);
  const plan = { ...planned, warnings: [...notices, ...planned.warnings] };
  for (const { path } of files) writeWhole(path, page(plan, request));
  const [allocation] = plan.allocations;
  if (args.instantiate === undefined || source === undefined || !allocation) {
    console.log(args.json ? JSON.stringify(plan) : describe(plan, request));
    return;
  }
  if (!args.json) console.log(describe(plan, request));
  const instantiated = await carryOut(allocation, source, { ...args, instantiate: args.instantiate });
  console.log(args.json ? JSON.stringify({ ...plan, instantiated }) : describeInstantiated(instantiated));
}

async function requestOf(
  args: BaseArguments,
  source: DataSource | undefined,
  notices: string[],
): Promise<FamilyPlanRequest> {
  const budget = budgetOf(args);
  const laws = args.laws ?? [];
  const mappings = args.instantiate === undefined ? mappingsOf(laws) : [onlyMapping('--instantiate', laws, notices)];
  const rule = parseRule(args.rule ?? 'efficientnet');
  loadNetwork(args.base); // A name or file that is wrong need not wait for the data.
  const data =
    source && (await loadDataset(source, { baseDirectory: process.cwd(), onNotice: (text) => notices.push(text) }));
  const nativeResolution = data && Math.min(data.height, data.width);
  const base = baseOf(args.base, data);
  // Times of convolution networks go by the share of the peak: the rates that are known are of transformers.
  const cluster = await clusterOf(
    { ...args, mfu: args.mfu ?? (args.on === undefined ? undefined : assumedMfu) },
    notices,
  );
  if (cluster && args.mfu === undefined)
    notices.push(`times assume ${percent(cluster.mfu, 0)} of the peak, a guess; --mfu takes a measured share`);
  return {
    budget,
    mappings,
    base: { ...base, name: base.name ?? basename(args.base) },
    rule,
    ...(nativeResolution === undefined ? {} : { maxResolution: nativeResolution }),
    ...(cluster ? { cluster } : {}),
    uniqueData: optionalArgument('--unique-data', args['unique-data']) ?? data?.splits.train.count,
    batch: args.batch === undefined ? defaultBatch : numberArgument('--batch', args.batch, 1),
  };
}

/** The base, one that the data can train. */
function baseOf(source: string, data: Dataset | undefined): NetworkSpec {
  if (!data) return loadNetwork(source);
  const { channels, name } = data;
  const classes = data.classNames.length;
  const nativeResolution = Math.min(data.height, data.width);
  const base = loadNetwork(source, { data: { classes, channels, nativeResolution } });
  if (base.classes !== classes || base.input.channels !== channels)
    throw new ConfigError(
      `--base: expected ${classes} classes and ${channels} channels as in ${name}, got ${base.classes} and ${base.input.channels} in ${source}`,
    );
  return base;
}

async function carryOut(
  allocation: FamilyPlanAllocation,
  data: DataSource,
  args: BaseArguments & { readonly instantiate: string },
): Promise<InstantiatedNetwork> {
  const reporter = openReporter({ json: args.json ?? false });
  return instantiateNetwork(allocation, {
    data,
    baseDirectory: process.cwd(),
    trainer: args.batch === undefined ? {} : { batchSize: numberArgument('--batch', args.batch, 1) },
    seed: numberArgument('--seed', args.seed),
    threads: numberArgument('--threads', args.threads, 1),
    folder: resolve(args.instantiate),
    ...watchedBy(reporter, 'the same command goes on from the last update'),
  }).finally(() => reporter.finish());
}

const columns = ['law', 'd · w · r', 'side', 'N', 'MACs', 'D', 'passes', 'FLOPs', 'loss', 'time', 'memory'];

function row({ law, multipliers, network, ...allocation }: FamilyPlanAllocation): readonly string[] {
  const { params, macs, data, epochs, flops, loss, timeS, memory } = allocation;
  const { depth, width, resolution } = multipliers;
  return [
    law,
    [depth, width, resolution].map((value) => value.toFixed(2)).join(' · '),
    `${network.input.resolution} px`,
    amount(params),
    amount(macs),
    amount(data),
    epochs === null ? '' : significant(epochs),
    flops.toExponential(2),
    significant(loss, 4),
    timeS === null ? '' : longDuration(timeS),
    memory ? `${significant(memory.needsBytes / 1e9)} GB` : '',
  ];
}

function titleOf({ base, rule }: FamilyPlan, request: FamilyPlanRequest): string {
  return `${budgetText(request)} for scalings of ${base} by ${rule}`;
}

function describe(plan: FamilyPlan, request: FamilyPlanRequest): string {
  const rows = plan.allocations.map(row);
  const shown = columns.map((_, k) => k).filter((k) => rows.some((cells) => cells[k] !== ''));
  const pick = (cells: readonly string[]): readonly string[] => shown.map((k) => cells[k] ?? '');
  return [
    titleOf(plan, request),
    plan.convention,
    '',
    textTable(pick(columns), rows.map(pick)),
    ...plan.allocations.flatMap(({ law, interval }) =>
      interval
        ? [
            `${law}: 95 % interval ${interval.params.map(amount).join(' to ')} parameters, ${interval.data.map(amount).join(' to ')} examples, loss ${interval.loss.map((value) => significant(value, 4)).join(' to ')}`,
          ]
        : [],
    ),
    ...plan.warnings.map((text) => `warning: ${text}`),
  ].join('\n');
}

function page(plan: FamilyPlan, request: FamilyPlanRequest): string {
  return tablePage({
    title: `A plan for ${titleOf(plan, request)}`,
    facts: [plan.convention],
    warnings: plan.warnings,
    sections: [
      {
        title: 'Networks and examples',
        note: 'Of the networks that the rule makes of the base, the one of least predicted loss when the budget is used up.',
        table: { columns, rows: plan.allocations.map(row) },
      },
    ],
  });
}

function describeInstantiated({ network, examples, law, ...result }: InstantiatedNetwork): string {
  const { holdout, test, cost, predictedNats, excess } = result;
  return [
    '',
    `${network.input.resolution} px, ${grouped(examples)} examples, ${duration(cost.trainS)}: ${percent(test.accuracy)} on test, ${percent(holdout.accuracy)} on the hold-out`,
    `reached ${holdout.crossEntropy.toFixed(4)} nats an example on the hold-out; ${law} foretold ${predictedNats.toFixed(4)}, ${excess < 0 ? '' : '+'}${(100 * excess).toFixed(2)} %`,
  ].join('\n');
}
