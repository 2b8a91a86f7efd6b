import { defineCommand } from 'citty';
import { existsSync } from 'node:fs';
import { ConfigError } from '../core/errors.ts';
import { dataSourceSchema } from '../data/source.ts';
import { amount, significant } from '../report/format.ts';
import { auditNotes, auditTables } from '../report/proxy-audit.ts';
import { journalPath, readStudyEvents } from '../study/journal/journal.ts';
import { auditWarnings } from '../study/search/proxy-audit.ts';
import { summarise } from '../study/deliver/summarise.ts';
import type { StudySummary } from '../study/deliver/summary.ts';
import { scoreUntrainedNetwork, type UntrainedNetwork } from '../study/evaluation/untrained-network.ts';
import { scoreStudy } from '../study/zero-cost.ts';
import { zeroCostProxies } from '../training/zero-cost-proxies.ts';
import { dataArgument, numberArgument } from './arguments.ts';
import { openReporter, type Reporter, watchedBy } from './progress.ts';

/**
 * `ridgepoint proxies resnet-18`: what can be told of a network without training it. `ridgepoint proxies runs/x`: how far such
 * things could be trusted in a study that is done.
 */
export const command = defineCommand({
  args: {
    of: { type: 'positional', description: "built-in network, spec (YAML) or a study's folder", required: true },
    'zero-cost': {
      type: 'boolean',
      description:
        'of a finished study: score the networks that its search trained first, and keep the scores in its journal',
    },
    data: {
      type: 'string',
      description: 'of a network: data set its batches are from, as for train (default: rendered)',
    },
    seed: { type: 'string', description: 'of a network: seed of weights and batches (default: 0)' },
    starts: { type: 'string', description: 'of a network: initial weights that scores are averaged over (default: 3)' },
    batch: { type: 'string', description: 'of a network: examples in a batch (default: 64)' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const { of, json = false } = args;
    const isStudy = existsSync(journalPath(of));
    for (const flag of ['data', 'seed', 'starts', 'batch'] as const)
      if (isStudy && args[flag] !== undefined)
        throw new ConfigError(`--${flag}: expected a network beside it, got the study ${of}, which has its own`);
    if (!isStudy && args['zero-cost'])
      throw new ConfigError(`--zero-cost: expected the folder of a study, got ${of}; a network is always scored`);
    const reporter = openReporter({ json });
    try {
      if (isStudy) return await auditStudy(of, { json, score: args['zero-cost'] ?? false, reporter });
      const result = await scoreUntrainedNetwork({ ...requestOf(args), ...watchedBy(reporter, 'nothing was kept') });
      reporter.finish();
      console.log(json ? JSON.stringify({ schema: 1, ...result }) : networkText(result));
    } finally {
      reporter.finish();
    }
  },
});

interface NetworkArguments {
  readonly of: string;
  readonly data?: string | undefined;
  readonly seed?: string | undefined;
  readonly starts?: string | undefined;
  readonly batch?: string | undefined;
}

function requestOf({ of, data = 'rendered', seed = '0', starts = '3', batch = '64' }: NetworkArguments) {
  return {
    network: of,
    data: dataArgument(dataSourceSchema, data),
    baseDirectory: process.cwd(),
    seed: numberArgument('--seed', seed),
    starts: numberArgument('--starts', starts, 1),
    batch: numberArgument('--batch', batch, 2),
    threads: 1,
  };
}

function networkText({ count, scores, seconds }: UntrainedNetwork): string {
  const rows = [
    ['parameters', amount(count.params)],
    ['MACs', amount(count.macs)],
    ['activations', amount(count.activations)],
    ...zeroCostProxies.map((name) => [name, spread(scores[name])]),
  ];
  const starts = scores.naswot.length;
  return [
    ...rows.map(([name = '', text = '']) => `${name.padEnd(14)}${text}`),
    `of ${starts === 1 ? 'one start' : `${starts} starts, mean and range`}, in ${seconds.toFixed(1)} s; scores order networks, they have no unit`,
  ].join('\n');
}

function spread(values: readonly number[]): string {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length === 1) return significant(mean);
  return `${significant(mean, 4)} (${significant(Math.min(...values), 4)} to ${significant(Math.max(...values), 4)})`;
}

async function auditStudy(
  folder: string,
  { json, score, reporter }: { readonly json: boolean; readonly score: boolean; readonly reporter: Reporter },
): Promise<void> {
  const summary = score
    ? await scoreStudy(folder, watchedBy(reporter, 'the same command goes on from here'))
    : summarise(readStudyEvents(folder));
  reporter.finish();
  console.log(json ? JSON.stringify({ schema: 1, folder, ...summary.proxyAudit }) : auditText(summary));
}

function auditText({ proxyAudit }: StudySummary): string {
  const tables = auditTables(proxyAudit).map(({ truth, columns, rows }) => {
    const widths = columns.map((name, at) => Math.max(name.length, ...rows.map((row) => (row[at] ?? '').length)));
    const line = (cells: readonly string[]) =>
      cells
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd();
    return [truth, ...[columns, ...rows].map((cells) => `  ${line(cells)}`)].join('\n');
  });
  if (tables.length === 0) return 'no two networks that a proxy could be held against';
  const told = auditWarnings(proxyAudit).map((text) => `warning: ${text}`);
  return [...tables, ...told, ...auditNotes(proxyAudit)].join('\n\n').replaceAll(/[\u00a0\u202f]/g, ' ');
}
