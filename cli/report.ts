import { defineCommand } from 'citty';
import { factoryFamilyText } from '../report/factory-family.ts';
import { summaryTable } from '../report/terminal.ts';
import { rebuildResults } from '../study/deliver/results.ts';
import { isFactoryFolder, rebuildFactoryResults } from '../study/factory-results.ts';

/** `ridgepoint report runs/x`: the report and tables again, from the journal. */
export const command = defineCommand({
  args: {
    folder: { type: 'positional', description: "a study's folder, e.g. runs/quickstart", required: true },
    json: { type: 'boolean', description: 'the summary as one JSON object on stdout' },
  },
  async run({ args }) {
    if (isFactoryFolder(args.folder)) {
      const summary = rebuildFactoryResults(args.folder);
      console.log(
        args.json
          ? JSON.stringify({ schema: 1, folder: args.folder, summary })
          : factoryFamilyText(summary, args.folder),
      );
      return;
    }
    const summary = await rebuildResults(args.folder);
    console.log(
      args.json ? JSON.stringify({ schema: 1, folder: args.folder, summary }) : summaryTable(summary, args.folder),
    );
  },
});
