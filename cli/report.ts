import { defineCommand } from 'citty';
import { summaryTable } from '../report/terminal.ts';
import { rebuildResults } from '../study/deliver/results.ts';

/** `ridgepoint report runs/x`: the report and tables again, from the journal. */
export const command = defineCommand({
  args: {
    folder: { type: 'positional', description: "a study's folder, e.g. runs/quickstart", required: true },
    json: { type: 'boolean', description: 'the summary as one JSON object on stdout' },
  },
  async run({ args }) {
    const summary = await rebuildResults(args.folder);
    console.log(
      args.json ? JSON.stringify({ schema: 1, folder: args.folder, summary }) : summaryTable(summary, args.folder),
    );
  },
});
