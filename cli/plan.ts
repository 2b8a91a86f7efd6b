import { defineCommand } from 'citty';
import { resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { textSourceSchema } from '../data/text.ts';
import { amount, duration, significant } from '../report/format.ts';
import { tablePage } from '../report/law-page.ts';
import { xyChart } from '../report/xy-chart.ts';
import {
  affordableData,
  allocate,
  type AllocationMapping,
  type ComputeBudget,
  type LawRule,
  mappingNames,
  predictedLoss,
} from '../scaling/allocate.ts';
import type { AllocationTuple } from '../scaling/laws/law.ts';
import { type Allocation, type Plan, plan, type PlanRequest } from '../scaling/plan.ts';
import { proposeTrials, type TrialDesign } from '../scaling/plan-design.ts';
import { defaultStyle, type ShapeStyle } from '../scaling/transformer-shape.ts';
import { type Instantiated, instantiate } from '../study/train/instantiate.ts';
import { dataArgument, listArgument, numberArgument, positiveArgument } from './arguments.ts';
import {
  budgetOf,
  budgetText,
  clusterOf,
  longDuration,
  mappingsOf,
  onlyMapping,
  optionalArgument,
} from './plan-arguments.ts';
import { planBase } from './plan-family.ts';
import { openReporter, watchedBy } from './progress.ts';
import { textTable } from './text-table.ts';
import { outputPaths, writeWhole } from './written-file.ts';

/** Options that `--design` knows, and those that only it does. */
const designFlags = ['--design', '--flops', '--trials', '--target', '--law', '--unique-data', '--json'];
const designOnlyFlags = ['--trials', '--target'];

/** Standard deviation of ln L between seeds: .004 nats at a loss of 2 (Hoffmann's and Gadre's runs). */
const seedNoise = 0.002;

/** `ridgepoint plan --flops 5.76e23`: how large a model and how much data a budget should buy, by every law. */
export const command = defineCommand({
  args: {
    flops: {
      type: 'string',
      description: 'compute budget, such as 5.76e23; under --design that of all trials together',
    },
    time: { type: 'string', description: 'time budget on the devices, such as 24h' },
    on: { type: 'string', description: 'device profile (ridgepoint accelerators lists them) or .yaml file' },
    count: { type: 'string', description: 'devices', default: '1' },
    precision: { type: 'string', description: "bf16, fp16 or fp32 (default: the device's first of them)" },
    mfu: { type: 'string', description: 'share of the peak that training reaches, instead of a step-time model' },
    profile: { type: 'string', description: 'measured step-time rates (.yaml, from ridgepoint fit --law step-time)' },
    law: {
      type: 'string',
      description: `${mappingNames.join(', ')}, or a .yaml file from ridgepoint fit, all its laws or one (laws.yaml#chinchilla); repeatable`,
    },
    base: {
      type: 'string',
      description: 'plan over scalings of a convolution network, built in or a spec (YAML), instead of transformers',
    },
    rule: {
      type: 'string',
      description: 'how --base is scaled: efficientnet (1.2/1.1/1.15), dWr or d/w/r (default: efficientnet)',
    },
    'unique-data': {
      type: 'string',
      description: 'distinct tokens there are; of --base, examples; under --design those of the plan after the trials',
    },
    'inference-tokens': { type: 'string', description: 'tokens to be served, paid out of the same budget' },
    context: {
      type: 'string',
      description: 'sequence length of the transformer',
      default: String(defaultStyle.context),
    },
    vocabulary: { type: 'string', description: 'entries of its vocabulary', default: String(defaultStyle.vocabulary) },
    batch: {
      type: 'string',
      description: 'tokens of an optimizer step over all devices (default: 2097152); of --base, examples (default: 32)',
    },
    design: { type: 'boolean', description: 'propose trial runs that make a law identifiable, within --flops' },
    trials: { type: 'string', description: 'trial runs of a design', default: '12' },
    target: { type: 'string', description: 'FLOPs that will be planned after the trials (default: 100 times theirs)' },
    instantiate: {
      type: 'string',
      description:
        'new folder: train the model that one --law allocates, of a file the law that the fit selected, and compare its loss with the prediction',
    },
    data: {
      type: 'string',
      description:
        'text to train it on: grammar (default) or {format: text, path: …}; of --base, pictures, which set the classes of a built-in network and the largest resolution',
    },
    seed: { type: 'string', description: 'seed of its weights and data order', default: '0' },
    threads: { type: 'string', description: 'threads of its trainer', default: '1' },
    output: { type: 'string', alias: 'o', description: 'write a page with plots (.html)' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    const given = args.law === undefined ? undefined : listArgument(rawArgs, 'law', args.law);
    const notices: string[] = [];
    const uniqueData = optionalArgument('--unique-data', args['unique-data']);
    const designed = flagsOf(rawArgs).find((flag) => designOnlyFlags.includes(flag));
    if (designed !== undefined && !args.design)
      throw new ConfigError(`${designed}: expected --design with it, which proposes trials, got none`);
    if (args.design) {
      const stray = flagsOf(rawArgs).find((flag) => !designFlags.includes(flag));
      if (stray !== undefined)
        throw new ConfigError(`${stray}: expected none with --design, which prints the trials it proposes and no more`);
      const { name, rule } = onlyMapping('--design', given ?? ['chinchilla-epoch'], notices);
      if (rule.kind !== 'law') throw new ConfigError(`--design: expected a law of the loss, got ${name}`);
      const design = designTrials(rule, uniqueData, args);
      console.log(
        args.json
          ? JSON.stringify({ schema: 1, law: name, ...design, warnings: notices })
          : describeDesign(design, name, notices),
      );
      return;
    }
    if (args.base !== undefined) {
      await planBase({ ...args, base: args.base, laws: given }, rawArgs);
      return;
    }
    if (args.rule !== undefined) throw new ConfigError('--rule: expected a --base that it scales, got none');
    const files = args.output === undefined ? [] : outputPaths([args.output], ['.html']);
    const inferenceData = optionalArgument('--inference-tokens', args['inference-tokens']);
    const cluster = await clusterOf(args, notices);
    const request: PlanRequest = {
      budget: budgetOf(args),
      mappings:
        args.instantiate === undefined
          ? mappingsOf(given ?? defaultLaws(uniqueData, inferenceData))
          : [onlyMapping('--instantiate', given ?? [], notices)],
      cluster,
      uniqueData,
      inferenceData,
      style: styleOf(args),
      batchTokens: positiveArgument('--batch', args.batch ?? '2097152'),
    };
    if ('timeS' in request.budget && inferenceData !== undefined)
      throw new ConfigError(
        '--inference-tokens: expected --flops with it, got --time: the time given is of the training',
      );
    const planned = plan(request);
    const result = { ...planned, warnings: [...notices, ...planned.warnings] };
    for (const { path } of files) writeWhole(path, planPage(result, request));
    const [allocation] = result.allocations;
    if (args.instantiate === undefined || !allocation) {
      console.log(args.json ? JSON.stringify(result) : describe(result, request));
      return;
    }
    if (!args.json) console.log(describe(result, request));
    const instantiated = await carryOut(allocation, { ...args, instantiate: args.instantiate });
    console.log(args.json ? JSON.stringify({ ...result, instantiated }) : describeInstantiated(instantiated));
  },
});

/** Trains what an allocation names. */
async function carryOut(
  allocation: Allocation,
  args: {
    readonly instantiate: string;
    readonly data?: string | undefined;
    readonly seed: string;
    readonly threads: string;
    readonly json?: boolean | undefined;
  },
): Promise<Instantiated> {
  const data = dataArgument(textSourceSchema, args.data ?? 'grammar');
  const reporter = openReporter({ json: args.json ?? false });
  return instantiate(allocation, {
    data,
    baseDirectory: process.cwd(),
    trainer: {},
    seed: numberArgument('--seed', args.seed),
    threads: numberArgument('--threads', args.threads, 1),
    folder: resolve(args.instantiate),
    ...watchedBy(reporter, 'the same command goes on from the last update'),
  }).finally(() => reporter.finish());
}

function describeInstantiated(result: Instantiated): string {
  const { network, params, tokens, law, predictedNats, excess, crossEntropyNats, irreducibleNats, cost } = result;
  const trained = `${network.layers}×${network.width}: ${amount(params)} parameters, ${amount(tokens)} tokens, ${duration(cost.trainS)}`;
  const floor = irreducibleNats === undefined ? '' : ` (no model can reach less than ${irreducibleNats.toFixed(4)})`;
  const reached = `reached ${crossEntropyNats.toFixed(4)} nats a token${floor}`;
  const foretold =
    predictedNats === null || excess === null
      ? `${law} foretells no loss`
      : `${law} foretold ${predictedNats.toFixed(4)}, ${excess < 0 ? '' : '+'}${(100 * excess).toFixed(2)} %`;
  return ['', trained, `${reached}; ${foretold}`].join('\n');
}

/** The options given, without their values. */
function flagsOf(rawArgs: readonly string[]): readonly string[] {
  return rawArgs.flatMap((text) => /^(?:--[a-z-]+|-o)/.exec(text)?.[0] ?? []);
}

function defaultLaws(uniqueData: number | undefined, inferenceData: number | undefined): readonly string[] {
  return [
    'chinchilla',
    'chinchilla-epoch',
    'approach-1',
    'approach-2',
    'kaplan',
    ...(uniqueData === undefined ? [] : ['data-constrained']),
    ...(inferenceData === undefined ? [] : ['inference-aware']),
  ];
}

function styleOf(args: { readonly context: string; readonly vocabulary: string }): ShapeStyle {
  return {
    ...defaultStyle,
    context: numberArgument('--context', args.context, 1),
    vocabulary: numberArgument('--vocabulary', args.vocabulary, 2),
  };
}

function designTrials(
  { law, theta }: LawRule,
  uniqueData: number | undefined,
  { flops, trials, target }: { readonly flops?: string; readonly trials: string; readonly target?: string },
): TrialDesign {
  if (flops === undefined)
    throw new ConfigError('--design: expected --flops, the budget of all trials together, got none');
  const budget = positiveArgument('--flops', flops);
  try {
    return proposeTrials({
      law,
      theta,
      trials: numberArgument('--trials', trials, 1),
      flops: budget,
      targetFlops: target === undefined ? 100 * budget : positiveArgument('--target', target),
      ...(uniqueData === undefined ? {} : { uniqueData }),
      noise: seedNoise,
    });
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigError(`--trials: ${error.message}`, { cause: error });
    throw error;
  }
}

function describeDesign(
  { trials, flops, check, expected }: TrialDesign,
  law: string,
  notices: readonly string[],
): string {
  const repeats = trials.some((trial) => trial.uniqueData !== undefined);
  const rows = trials.map(({ params, data, uniqueData = data, ...trial }) => [
    amount(params),
    amount(data),
    ...(repeats ? [amount(uniqueData)] : []),
    trial.flops.toExponential(2),
    significant(trial.tokensPerParam),
  ]);
  const exponent = expected.exponent === null ? '' : `exponent a ${significant(expected.exponent, 2)}, `;
  return [
    textTable(['parameters', 'data', ...(repeats ? ['distinct'] : []), 'FLOPs', 'data/param'], rows),
    '',
    `${trials.length} trials of ${flops.toExponential(3)} FLOPs together; V ${significant(check.ratioSpread)}`,
    `expected standard errors, seed noise ${seedNoise * 100} %: ${exponent}size at the target budget ${significant(100 * expected.logParams, 2)} %`,
    `designed for ${law} and the parameters it has now`,
    ...[...notices, ...check.problems].map((text) => `warning: ${text}`),
  ].join('\n');
}

const planColumns = [
  'law',
  'target N',
  'target D',
  'shape',
  'N',
  'D',
  'D/N',
  'FLOPs',
  'loss',
  'time',
  '6ND/MFU',
  'Megatron',
  'memory',
];

function planRow(allocation: Allocation): readonly string[] {
  const { shape, target, timeS, baselines, memory } = allocation;
  return [
    allocation.law,
    amount(target.params),
    amount(target.data),
    `${shape.layers}×${shape.width}, ${shape.heads} heads`,
    amount(allocation.params),
    amount(allocation.data),
    significant(allocation.tokensPerParam),
    allocation.flops.toExponential(2),
    allocation.loss === null ? '' : significant(allocation.loss, 4),
    timeS === null ? '' : longDuration(timeS),
    baselines ? longDuration(baselines.flopsS) : '',
    baselines ? `${significant(baselines.megatronDays)} d` : '',
    memory ? `${significant(memory.needsBytes / 1e9)} GB${memory.fits === false ? ' (too much)' : ''}` : '',
  ];
}

function intervalLines(allocations: readonly Allocation[]): readonly string[] {
  return allocations.flatMap(({ law, interval }) =>
    interval
      ? [
          `${law}: 95 % interval ${interval.params.map((value) => amount(value)).join(' to ')} parameters, ${interval.data.map((value) => amount(value)).join(' to ')} data, loss ${interval.loss.map((value) => significant(value, 4)).join(' to ')}`,
        ]
      : [],
  );
}

function describe(result: Plan, request: PlanRequest): string {
  const empty = (k: number): boolean => result.allocations.every((allocation) => planRow(allocation)[k] === '');
  const shown = planColumns.map((_, k) => k).filter((k) => !empty(k));
  const pick = (row: readonly string[]): readonly string[] => shown.map((k) => row[k] ?? '');
  return [
    budgetText(request),
    result.convention,
    '',
    textTable(
      pick(planColumns),
      result.allocations.map((allocation) => pick(planRow(allocation))),
    ),
    '',
    ...intervalLines(result.allocations),
    ...(result.allocations.length > 1
      ? [
          `the laws differ by a factor of ${significant(result.spread.params)} in size and ${significant(result.spread.data)} in data`,
        ]
      : []),
    ...result.warnings.map((text) => `warning: ${text}`),
  ].join('\n');
}

function planPage(result: Plan, request: PlanRequest): string {
  const { budget, uniqueData, inferenceData } = request;
  const compute = 'flops' in budget ? budget.flops : (result.allocations[0]?.flops ?? 1);
  const allocated = new Set(result.allocations.map(({ law }) => law));
  const mappings = request.mappings.filter(({ name }) => allocated.has(name));
  const curved = mappings.find(({ rule }) => rule.kind === 'law');
  const factors = [0.01, 0.1, 1, 10];
  const budgetAt = (factor: number): ComputeBudget => ({ flops: compute * factor, uniqueData, inferenceData });
  const lossAt = (mapping: AllocationMapping, { params, data }: AllocationTuple): number =>
    (data > 0 ? predictedLoss(mapping, { params, data, uniqueData }) : null) ?? Number.NaN;
  const isoFlops = (mapping: AllocationMapping) =>
    factors.map((factor) => {
      const budget = budgetAt(factor);
      const best = allocate(mapping, budget).params;
      return {
        name: `${budget.flops.toExponential(1)} FLOPs`,
        kind: 'line' as const,
        points: Array.from({ length: 61 }, (_, i) => {
          const params = best * 2 ** ((i - 30) / 7.5);
          return [params, lossAt(mapping, { params, data: affordableData(budget, params) })] as const;
        }),
      };
    });
  const optima = (mapping: AllocationMapping) => {
    const tuples = factors.map((factor) => allocate(mapping, budgetAt(factor)));
    return {
      name: 'optima',
      kind: 'points' as const,
      points: tuples.map((tuple) => [tuple.params, lossAt(mapping, tuple)] as const),
      titles: tuples.map(
        (tuple) => `N ${amount(tuple.params)}, D ${amount(tuple.data)}, loss ${significant(lossAt(mapping, tuple), 4)}`,
      ),
    };
  };
  const lines = mappings.map((mapping) => ({
    name: mapping.name,
    kind: 'line' as const,
    points: [-3, -2, -1, 0, 1].map((power) => {
      const budget = budgetAt(10 ** power);
      return [budget.flops, allocate(mapping, budget).params] as const;
    }),
  }));
  return tablePage({
    title: `A plan for ${budgetText(request)}`,
    facts: [result.convention],
    warnings: result.warnings,
    sections: [
      {
        title: 'Allocation tuples',
        note: 'Target N and D are the law’s optimum; N and D those of a transformer that can be built.',
        table: { columns: planColumns, rows: result.allocations.map(planRow) },
      },
      {
        title: 'What the laws say',
        figures: [
          curved
            ? xyChart(
                `Loss over model size at four budgets, ${curved.name}`,
                { title: `parameters (${curved.name})`, log: true },
                { title: 'loss (nats)', log: false },
                [...isoFlops(curved), optima(curved)],
              )
            : null,
          xyChart(
            'Model size over compute by every law',
            { title: inferenceData === undefined ? 'training FLOPs' : 'FLOPs of training and inference', log: true },
            { title: 'parameters', log: true },
            lines,
          ),
        ],
      },
      {
        title: 'Where the laws come from',
        table: {
          columns: ['law', 'confirmed', 'N counts', 'source'],
          rows: result.allocations.map(({ law, confirmed, paramsCount, source }) => [
            law,
            confirmed,
            paramsCount,
            source,
          ]),
        },
      },
    ],
  });
}
