import { defineCommand } from 'citty';
import { ConfigError } from '../core/errors.ts';
import { request, requestArguments } from './request.ts';

/** `ridgepoint retry t0007 --study runs/x`: has a trial that failed, or was cancelled, evaluated again. */
export const command = defineCommand({
  args: {
    trial: { type: 'positional', description: 'a trial that failed or was cancelled, e.g. t0007', required: true },
    ...requestArguments,
  },
  run({ args }) {
    if (args.study === undefined) throw new ConfigError('--study: expected the study of the trial, got none');
    return request(args.study, { action: 'retry', trial: args.trial }, args);
  },
});
