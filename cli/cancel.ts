import { defineCommand } from 'citty';
import { request, requestArguments } from './request.ts';

/** `ridgepoint cancel runs/x`, `ridgepoint cancel t0007 --study runs/x`: ends a study, or the evaluation of one trial. */
export const command = defineCommand({
  args: {
    what: {
      type: 'positional',
      description: "a study's folder; or with --study a trial, e.g. t0007",
      required: true,
    },
    ...requestArguments,
  },
  run: ({ args }) =>
    args.study === undefined
      ? request(args.what, { action: 'cancel' }, args)
      : request(args.study, { action: 'cancel', trial: args.what }, args),
});
