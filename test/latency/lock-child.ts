import { appendFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { serveChild } from '../../core/child.ts';
import { type LockMode, withHostLock } from '../../latency/host-lock.ts';

/** Takes the lock again and again, writing `enter` and `leave` lines to a log; or takes it and never lets go. */
export interface LockTask {
  readonly directory: string;
  readonly log: string;
  readonly modes: readonly LockMode[];
  readonly hang?: boolean;
}

serveChild<LockTask, number, 'held'>(async ({ directory, log, modes, hang }, { emit }) => {
  for (const mode of modes)
    await withHostLock(
      mode,
      async () => {
        await appendFile(log, `enter ${mode}\n`);
        emit('held');
        if (hang) await new Promise(() => {});
        for (let turn = 0; turn < 50; turn++) await setImmediate();
        await appendFile(log, `leave ${mode}\n`);
      },
      { directory },
    );
  return modes.length;
});
