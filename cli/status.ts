import { defineCommand } from 'citty';
import { readStudyEvents } from '../study/results.ts';
import { statusOf } from '../study/status.ts';

/** `ridgepoint status runs/x`: where a study stands, running or not. */
export const command = defineCommand({
  args: {
    folder: { type: 'positional', description: "a study's folder, e.g. runs/quickstart", required: true },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  run({ args }) {
    const status = statusOf(readStudyEvents(args.folder), Date.now());
    console.log(args.json ? JSON.stringify({ schema: 1, ...status }) : status.text);
  },
});
