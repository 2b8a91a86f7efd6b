import { join } from 'node:path';
import { type Clock, systemClock } from '../core/clock.ts';
import type { Command } from './declaration.ts';
import type { Operation } from './protocol.ts';
import { type Answer, CommandError, type RequestBody, runCommand, type RunOptions } from './run.ts';

/** Failures that are tried again before the last one is thrown. */
const maxFailures = 3;
/** Being preempted is nobody's fault and costs no attempt, but a program that only says so must end, too. */
const maxPreemptions = 20;
/** Pause after a preemption: doubled each time, up to the second. */
const pauseMs = { first: 1000, longest: 60_000 };

export interface AskOptions extends Omit<RunOptions, 'folder'> {
  /** Every attempt gets a new folder below it, named by its number. */
  readonly folder: string;
  /** Number of the first attempt, 1 by default. */
  readonly firstAttempt?: number;
  readonly clock?: Clock;
  /** Failures that are tried again; 3 by default. */
  readonly attempts?: number;
}

/**
 * Asks until there is an answer: again after a failure that may pass, and again, after a pause, whenever
 * the program was preempted. A result with status `failed` is an answer once it has been tried again.
 * @throws what {@link runCommand} throws the last time.
 */
export async function askCommand<Op extends Operation>(
  command: Command,
  body: (attempt: number) => RequestBody<Op> & { readonly op: Op },
  { folder, clock = systemClock, firstAttempt = 1, attempts = maxFailures, ...options }: AskOptions,
): Promise<Answer<Op>> {
  let failures = 0;
  let preemptions = 0;
  for (;;) {
    try {
      const attempt = firstAttempt + failures + preemptions;
      const run = { ...options, folder: join(folder, String(attempt)) };
      const answer = await runCommand(command, body(attempt), run);
      const { result } = answer;
      if (result.status === 'failed' && result.retry && ++failures < attempts) continue;
      return answer;
    } catch (error) {
      if (!(error instanceof CommandError) || !error.retry) throw error;
      if (error.failure !== 'preempted') {
        if (++failures >= attempts) throw error;
      } else {
        if (++preemptions > maxPreemptions) throw error;
        const ms = Math.min(pauseMs.first * 2 ** (preemptions - 1), pauseMs.longest);
        // An abort ends the pause; the next run then says so.
        await clock.sleep(ms, options.signal).catch(() => {});
      }
    }
  }
}
