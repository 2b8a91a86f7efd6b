import { defineCommand } from 'citty';
import { availableParallelism } from 'node:os';
import { SimulatedClock } from '../core/clock.ts';
import { median, quantile } from '../core/quantile.ts';
import { bestOf, bestReward, type Replay, replaySearch, studyTable, tableTransfer } from '../study/search/replay.ts';
import { readStudyFile } from '../study/resolve-study.ts';
import { rungsOf, type StudyConfig } from '../study/study-file.ts';
import { numberArgument } from './arguments.ts';
import { interruptible, openReporter } from './progress.ts';

/** `ridgepoint replay study.yaml`: what a search would find and cost, over a table of known results. */
export const command = defineCommand({
  args: {
    study: { type: 'positional', description: 'study file (YAML) with trainer.table', required: true },
    seeds: { type: 'string', description: 'searches, each with its own seed', default: '10' },
    workers: { type: 'string', description: 'trainings at once (default: trainer.parallel, or the number of cores)' },
    rolling: {
      type: 'boolean',
      description:
        'decide whenever a training ends, as a fleet does where there are several rungs (default: in rounds)',
    },
    json: { type: 'boolean', description: 'one JSON object on stdout at the end, events as NDJSON on stderr' },
  },
  async run({ args }) {
    const config = readStudyFile(args.study);
    const seeds = numberArgument('--seeds', args.seeds, 1);
    const workers =
      args.workers === undefined
        ? (config.trainer.parallel ?? availableParallelism())
        : numberArgument('--workers', args.workers, 1);
    const table = studyTable(config);
    const rolling = args.rolling ?? false;
    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'nothing was written, and replaying again starts over');
    const replays: Replay[] = [];
    try {
      for (let index = 0; index < seeds; index++) {
        const seed = config.seed + index;
        replays.push(
          await replaySearch(config, table, { seed, workers, clock: new SimulatedClock(), signal, rolling }),
        );
        reporter.progress({ phase: 'search', text: `${index + 1}/${seeds} searches replayed` });
        // Signals are heard between searches.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      reporter.finish();
    }
    const best = bestReward(config, table);
    const transfer = tableTransfer(config, table);
    if (args.json) {
      const ofTable = { tableBest: best ?? null, ...(transfer && { tableTransfer: transfer }) };
      console.log(JSON.stringify({ schema: 1, study: config.study, workers, ...ofTable, replays }));
    } else {
      console.log(describe(config, replays, { workers, best }));
      if (transfer) console.log(describeTransfer(Object.keys(config.targets), transfer));
    }
  },
});

/** What the searches found after a quarter, a half and all trials of the longest. */
function describe(
  config: StudyConfig,
  replays: readonly Replay[],
  { workers, best }: { readonly workers: number; readonly best: number | undefined },
): string {
  const { study, search, targets } = config;
  const rungs = rungsOf(search);
  const shares = [0.25, 0.5, 1];
  const most = Math.max(...replays.map(({ trials }) => trials.length));
  const marks = [...new Set(shares.map((share) => Math.ceil(share * most)))];
  const rows = marks.map((mark) => {
    const parts = replays.map(({ trials }) => trials.slice(0, mark));
    const winners = parts.flatMap((trials) => bestOf(config, trials) ?? []);
    const metric = (name: string): string => spread(winners.map(({ metrics }) => metrics[name] ?? NaN));
    const hours = parts.map((trials) => Math.max(0, ...trials.map(({ endedS }) => endedS)) / 3600);
    const found =
      winners.length === 0
        ? ['nothing within the limits']
        : [
            `reward ${spread(winners.map(({ reward = NaN }) => reward))}`,
            `accuracy ${metric('accuracy')}`,
            ...Object.keys(targets).map((target) => `${target} ${metric(`latencyMs.${target}`)} ms`),
          ];
    const missed =
      winners.length < parts.length && winners.length > 0 ? [`${parts.length - winners.length} found nothing`] : [];
    return `  ${String(mark).padStart(6)} trials  ${spread(hours)} h  ${[...found, ...missed].join(', ')}`;
  });
  const infeasible = replays.reduce(
    (sum, { trials }) => sum + trials.filter(({ status }) => status !== 'ok').length,
    0,
  );
  const asked = replays.reduce((sum, { trials }) => sum + trials.length, 0);
  return [
    `${study}: ${replays.length} searches by ${search.controller}, ${workers} trainings at once, rounds of ${search.round}; median (10th … 90th percentile)`,
    ...rows,
    ...(rungs.length > 1 ? [rungsLine(rungs, replays)] : []),
    `  ${((100 * infeasible) / Math.max(1, asked)).toFixed(0)} % of trials were infeasible; training took ${spread(replays.map(({ workS }) => workS / 3600))} h of work`,
    best === undefined
      ? '  no row of the table is within the limits'
      : `  the best within the limits that the table holds has reward ${best.toPrecision(5)}`,
  ].join('\n');
}

/** How many networks each rung trained. */
function rungsLine(rungs: readonly number[], replays: readonly Replay[]): string {
  const counts = rungs.map((examples, rung) => {
    const trained = replays.map(
      ({ trials }) => trials.filter((trial) => trial.rung === rung && trial.status === 'ok').length,
    );
    return `${examples} examples: ${spread(trained)} networks`;
  });
  return `  rungs: ${counts.join('; ')}; what was found is of the highest reached`;
}

/** What one target's front of the table costs on another. */
function describeTransfer(names: readonly string[], transfer: NonNullable<ReturnType<typeof tableTransfer>>): string {
  const rows = transfer.flatMap((row, from) =>
    row.flatMap(({ overlap, meanLoss, worstLoss, slowdown }, to) =>
      from === to
        ? []
        : `  ${names[from]} on ${names[to]}: overlap ${overlap.toFixed(2)}, accuracy lost at equal latency ${meanLoss.toFixed(4)} (at most ${worstLoss.toFixed(4)}), ${slowdown.toFixed(2)} times as long for equal accuracy`,
    ),
  );
  return ['one target’s Pareto front of the table on another:', ...rows].join('\n');
}

const text = (value: number): string => value.toPrecision(4);

function spread(values: readonly number[]): string {
  const sorted = Float64Array.from(values).sort();
  return `${text(median(values))} (${text(quantile(sorted, 0.1))} … ${text(quantile(sorted, 0.9))})`;
}
