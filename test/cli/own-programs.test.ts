import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Latency } from '../../latency/latency.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
const program = (name: string) => fileURLToPath(new URL(`../commands/${name}.mjs`, import.meta.url));
const target = (script: object) => [
  process.execPath,
  program('target-program'),
  JSON.stringify({ describe: { onThisHost: false }, reference: [1], model: [1], ...script }),
];

beforeAll(() => {
  const model = encodeOnnx({
    name: 'any',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 3] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['batch', 3] }],
    nodes: [{ opType: 'Relu', name: 'relu', inputs: ['x'], outputs: ['y'] }],
    initializers: [],
  });
  writeFileSync(join(cwd, 'model.onnx'), model);
  const raw = { status: 'infeasible', reason: 'unsupported', detail: 'no Relu' };
  const declared = {
    'lab@2': { command: [...target({}), '{request}'] },
    picky: { command: [...target({ reference: [1, 1, 1, { raw }] }), '{request}'] },
    wrong: { command: ['no-request'] },
  };
  // JSON is YAML.
  const { wrong: _wrong, ...commands } = declared;
  writeFileSync(join(cwd, 'commands.yaml'), JSON.stringify(commands));
  writeFileSync(join(cwd, 'lab.yaml'), JSON.stringify(declared['lab@2']));
  const restless = Array.from({ length: 40 }, (_, call) => 1 + (call % 2));
  const wild = { command: [...target({ reference: restless }), '{request}'] };
  writeFileSync(join(cwd, 'wild.yaml'), JSON.stringify(wild));
  writeFileSync(join(cwd, 'wrong.yaml'), JSON.stringify(declared.wrong));
});

const measure = (...args: string[]) => ridgepoint(['measure', 'model.onnx', '--protocol', 'quick', ...args], cwd);

describe('measuring by the user’s own program', () => {
  it.each([
    ['by its name in commands.yaml', 'command:lab@2', 'command:lab@2'],
    ['by a file of its own', 'lab.yaml', 'command:lab'],
  ])('works %s', async (_what, on, accelerator) => {
    const { code, stdout } = await measure('--on', on, '--precision', 'fp16', '--json');
    expect(code).toBe(0);
    const { schema, latencies } = JSON.parse(stdout) as { schema: number; latencies: Latency[] };
    expect(schema).toBe(1);
    expect(latencies).toMatchObject([{ source: 'command', accelerator, precision: 'fp16', sessions: 3 }]);
  });

  it('does not claim a p99 limit that too few samples leave open: exit code 3', async () => {
    const { code, stdout } = await measure('--on', 'command:lab@2', '--limit', 'p99 < 1h');
    expect(stdout).toMatch(/\n {2}NOT KNOWN to be within p99 < 3600000 ms: its p90 is within it, but \d+ samples/);
    expect(code).toBe(3);
  });

  it('says by exit code 4 that a limit is missed, also where --strict finds the latency unstable', async () => {
    expect((await measure('--on', 'wild.yaml', '--strict')).code).toBe(3);
    expect((await measure('--on', 'wild.yaml', '--strict', '--limit', 'p50 < 0.1ms')).code).toBe(4);
  });

  it.each([
    [
      'a command that is not declared',
      ['--on', 'command:absent'],
      /commands\.yaml: expected a command among lab@2, picky, got "absent"/,
    ],
    [
      'a file of commands that is not there',
      ['--on', 'command:lab@2', '--commands', 'none.yaml'],
      /none\.yaml: .*ENOENT/,
    ],
    [
      'a declaration without {request}',
      ['--on', 'wrong.yaml'],
      /wrong\.yaml: not a file of commands[\s\S]*\{request\}/,
    ],
    ['a precision of a provider', ['--on', 'cpu', '--precision', 'fp16'], /expected fp32 on cpu, got fp16/],
    ['a model that cannot run there', ['--on', 'command:picky'], /cannot run there: unsupported \(no Relu\)/],
  ])('ends with exit code 2 for %s', async (_what, args, message) => {
    const { code, stderr } = await measure(...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});

describe('ridgepoint conform', () => {
  it('prints a line a clause and ends with exit code 2 when one fails', async () => {
    const { code, stdout } = await ridgepoint(['conform', '--', ...target({})], cwd);
    expect(code).toBe(2);
    expect(stdout).toMatch(/^pass {2}describe: says what the program can do: fake 1: describe, measure\n/);
    expect(stdout).toMatch(
      /\nFAIL {2}measure: a file that is no model is refused: expected an exit code other than 0, 75 and 78/,
    );
    expect(stdout).toMatch(/\nit does not keep to 1 of \d clauses\n$/);
  });

  it('prints one object under --json, and leaves options after -- to the program', async () => {
    const { code, stdout } = await ridgepoint(
      ['conform', '--json', '--', process.execPath, program('trainer-program')],
      cwd,
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 1, ok: true });
    const help = await ridgepoint(['conform', '--', process.execPath, '--help'], cwd);
    expect(help.code).toBe(2);
    expect(help.stdout).toMatch(/^FAIL {2}describe/);
  });

  it('expects a program', async () => {
    const { code, stderr } = await ridgepoint(['conform'], cwd);
    expect(code).toBe(2);
    expect(stderr).toContain('expected a program after --, got none');
  });
});
