import { createInterface } from 'node:readline';

// A contender is a process that trains one problem and speaks in lines: it prints a `Ready`, then answers
// every line `run <n>` with a `Turn`, both as JSON, and ends when its input does.

/** What a contender says of itself once it could take its first step. */
export interface Ready {
  /** Runtime and version. */
  readonly runtime: string;
  /** Trainable values, as the contender counts them in what it built. */
  readonly parameterCount: number;
  /** Choosing a lowering; once a process. */
  readonly chooseMs?: number;
  /** From the spec to the bytes the runtime takes, in milliseconds. */
  readonly buildMs?: number;
  /** From those bytes to a session, in milliseconds. */
  readonly openMs?: number;
}

/** Some steps in a row: time of each in milliseconds, and the loss before each update. */
export interface Turn {
  readonly stepsMs: readonly number[];
  readonly losses: readonly number[];
}

/** Serves the protocol on standard input and output. @param step one training step; resolves to its loss. */
export async function serveSteps(ready: Ready, step: () => Promise<number>): Promise<void> {
  const say = (message: Ready | Turn): boolean => process.stdout.write(`${JSON.stringify(message)}\n`);
  say(ready);
  for await (const line of createInterface({ input: process.stdin })) {
    const steps = Number(line.replace(/^run /, ''));
    const turn = { stepsMs: new Array<number>(), losses: new Array<number>() };
    for (let index = 0; index < steps; index++) {
      const startMs = performance.now();
      turn.losses.push(await step());
      turn.stepsMs.push(performance.now() - startMs);
    }
    say(turn);
  }
}
