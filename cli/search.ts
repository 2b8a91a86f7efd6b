import { defineCommand } from 'citty';
import { dirname, join } from 'node:path';
import { ledgerName } from '../latency/ledger.ts';
import { summaryTable } from '../report/terminal.ts';
import { describePlan } from '../study/plan.ts';
import { runStudy } from '../study/study.ts';
import { readStudyFile, type StudyConfig } from '../study/study-file.ts';
import { interruptible, openReporter } from './progress.ts';

/** `ridgepoint search study.yaml`: the whole job. */
export const command = defineCommand({
  args: {
    study: { type: 'positional', description: 'study file (YAML)', required: true },
    runs: { type: 'string', description: 'folder that holds studies', default: 'runs' },
    'dry-run': {
      type: 'boolean',
      description: 'print the resolved study, the size of its space and what it would cost; run nothing',
    },
    json: { type: 'boolean', description: 'one JSON object on stdout at the end, events as NDJSON on stderr' },
  },
  async run({ args }) {
    const config = readStudyFile(args.study);
    if (args['dry-run']) return console.log(await describePlan(config, { json: args.json ?? false }));
    await runWithProgress(config, {
      folder: join(args.runs, config.study),
      json: args.json ?? false,
      again: `ridgepoint search ${args.study}`,
    });
  },
});

/** Runs a study with a progress display and prints its result. */
export async function runWithProgress(
  config: StudyConfig,
  options: { folder: string; json: boolean; again: string },
): Promise<void> {
  const reporter = openReporter(options);
  const signal = interruptible(reporter, `run "${options.again}" again to go on from here`);
  try {
    const summary = await runStudy(config, {
      folder: options.folder,
      // Beside the studies of one folder: what one has measured, the next need not.
      ledger: join(dirname(options.folder), ledgerName),
      signal,
      onProgress: reporter.progress,
      onNotice: (text) => {
        reporter.finish();
        reporter.notice(text);
      },
      onEvent: reporter.event,
    });
    reporter.finish();
    if (options.json) console.log(JSON.stringify({ schema: 1, folder: options.folder, summary }));
    else console.log(summaryTable(summary, options.folder));
  } finally {
    reporter.finish();
  }
}
