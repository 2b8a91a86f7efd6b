import { defineCommand } from 'citty';
import { explainTrial } from '../study/explain.ts';
import { readStudyEvents } from '../study/journal/journal.ts';

/** `ridgepoint explain t0007 --study runs/x`: why a trial was proposed and what became of it. */
export const command = defineCommand({
  args: {
    trial: { type: 'positional', description: 'id of a trial, e.g. t0007', required: true },
    study: { type: 'string', description: "the study's folder, e.g. runs/quickstart", required: true },
    json: { type: 'boolean', description: "the trial's journal events as one JSON object on stdout" },
  },
  run({ args }) {
    const explanation = explainTrial(readStudyEvents(args.study), args.trial);
    console.log(args.json ? JSON.stringify({ schema: 1, ...explanation }) : explanation.text);
  },
});
