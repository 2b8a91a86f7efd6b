import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type Clause, conform } from '../../study/conform.ts';
import { fileFolder } from '../cases/file-folder.ts';

const directory = fileFolder();

/** Verdicts of a test program, by clause. */
async function check(program: string, ...args: string[]): Promise<ReadonlyMap<string, Clause>> {
  const file = fileURLToPath(new URL(`../commands/${program}.mjs`, import.meta.url));
  const command = [process.execPath, file, ...args, '{request}'];
  const clauses = await conform({ name: program, directory, command, limits: { grace: 1000 } });
  return new Map(clauses.map((clause) => [clause.clause, clause]));
}
/** A model without a spec is the reference to this fake, and conform's have none. */
const target = (script: object) => check('target-program', JSON.stringify({ model: [], reference: [0.5], ...script }));
const failed = (clauses: ReadonlyMap<string, Clause>) =>
  [...clauses.values()].filter(({ verdict }) => verdict === 'fail').map(({ clause }) => clause);

describe('conform', () => {
  it('passes a target that keeps to the protocol, clause by clause', async () => {
    const clauses = await target({ describe: { operations: ['describe', 'prepare', 'measure'] } });
    const verdicts = [...clauses.values()].map(({ clause, verdict }) => `${verdict} ${clause}`);
    // It answers whatever the model: the one thing this fake gets wrong.
    expect(verdicts).toEqual([
      'pass describe: says what the program can do',
      'pass an unknown operation is refused',
      'pass a request that cannot be read is refused',
      'pass prepare: gives what it made of a model',
      'pass measure: gives the times of single runs, in milliseconds',
      'fail measure: a file that is no model is refused',
      'pass measure: stops on SIGTERM',
      'pass nothing is left running',
      'pass every event is well formed',
    ]);
    expect(clauses.get('measure: gives the times of single runs, in milliseconds')?.detail).toMatch(
      /^20 samples, p50 0\.49\d ms$/,
    );
    expect(clauses.get('measure: stops on SIGTERM')?.detail).toBe('ended with SIGTERM');
  });

  it('passes a trainer whose weights do what it says', async () => {
    const clauses = await check('trainer-program');
    expect(failed(clauses)).toEqual([]);
    expect([...clauses.keys()].filter((clause) => clause.startsWith('train'))).toHaveLength(4);
  });

  it('finds a trainer whose weights do not', async () => {
    const accuracy = { value: 0.987, split: 'holdout', n: 50 };
    const clauses = await check('trainer-program', JSON.stringify({ accuracy }));
    expect(failed(clauses)).toEqual(['train: the weights, exported, reach that accuracy']);
    expect(clauses.get('train: the weights, exported, reach that accuracy')?.detail).toMatch(
      /^expected 98\.7 %, as the program says, got [\d.]+ %$/,
    );
  });

  it('finds a program that ignores SIGTERM, and one that answers what it cannot know', async () => {
    const clauses = await target({ stubborn: true });
    expect(clauses.get('measure: stops on SIGTERM')).toMatchObject({
      verdict: 'fail',
      detail: 'expected the program to end within graceS = 1 s of SIGTERM, got one that had to be killed',
    });
    const any = await check('program', 'describe');
    expect(failed(any)).toEqual(['an unknown operation is refused']);
  });

  it('finds times in microseconds', async () => {
    const clauses = await target({ reference: [{ samplesMs: Array(20).fill(1e6) }] });
    expect(clauses.get('measure: gives the times of single runs, in milliseconds')).toMatchObject({
      verdict: 'fail',
      detail: expect.stringContaining('expected samples in milliseconds'),
    });
  });

  it('goes no further with a program that does not say what it can do', async () => {
    const clauses = await check('program', 'garbage');
    expect([...clauses.values()]).toMatchObject([
      { verdict: 'fail', detail: expect.stringContaining('a valid result') },
    ]);
  });

  it('finds what is left running and events that are none', async () => {
    expect(failed(await check('program', 'leave-child'))).toContain('nothing is left running');
    expect(failed(await check('program', 'events'))).toContain('every event is well formed');
  });
});
