import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { oneRatio, repeats, sweep } from '../../bench/laws/page-data.ts';
import { figures } from '../../bench/laws/page-figures.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const cwd = fileFolder();
cpSync(join(root, 'examples/laws'), join(cwd, 'examples/laws'), { recursive: true });

/** Commands of a block, and the lines that the page shows of their output. */
interface Shown {
  readonly commands: readonly string[];
  readonly lines: readonly string[];
}
const blocks: readonly Shown[] = [
  ...read('docs/laws.md').matchAll(/```sh\n(?<commands>[\s\S]*?)```\s+```text\n(?<output>[\s\S]*?)```/g),
].map(({ groups }) => ({
  commands: (groups?.['commands'] ?? '').trim().split('\n'),
  lines: (groups?.['output'] ?? '').trimEnd().split('\n'),
}));

async function output(command: string): Promise<string> {
  const [, program, ...args] = command.split(' ');
  if (program === 'ridgepoint') {
    const { code, stdout, stderr } = await ridgepoint(args, cwd);
    expect(stderr).not.toMatch(/error:/);
    expect(code).toBe(0);
    return stdout;
  }
  const [script = '', ...rest] = args;
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), join(root, script), ...rest],
    { cwd, encoding: 'utf8' },
  );
  expect(status).toBe(0);
  return stdout;
}

/** Whether `line` has the parts of `shown` between its ellipses, in their order. Kinds and numbers of spaces do not count. */
function has(line: string, shown: string): boolean {
  const plain = line.trim().replaceAll(/\s+/gu, ' ');
  let from = 0;
  return shown
    .trim()
    .replaceAll(/\s+/gu, ' ')
    .split('…')
    .every((part) => {
      const at = plain.indexOf(part.trim(), from);
      from = at + part.trim().length;
      return at >= 0;
    });
}

describe('docs/laws.md', () => {
  it('shows the output of every command in it', () => {
    expect(blocks.length).toBeGreaterThan(10);
    expect(read('docs/laws.md').match(/```sh/g)).toHaveLength(blocks.length);
  });

  for (const { commands, lines } of blocks)
    it(`prints what the page shows: ${commands.at(-1)}`, async () => {
      let printed = '';
      for (const command of commands) printed += await output(command);
      const all = printed.split('\n');
      expect(lines.filter((shown) => !all.some((line) => has(line, shown)))).toEqual([]);
    });

  it('has the tables and plots that bench/laws/page.ts writes', async () => {
    expect(read('examples/laws/runs.csv')).toBe(sweep());
    expect(read('examples/laws/repeats.csv')).toBe(repeats());
    expect(read('examples/laws/one-ratio.csv')).toBe(oneRatio());
    const plots = await figures();
    for (const [name, svg] of plots) expect(read(`docs/laws/${name}`), name).toBe(svg);
    const shown = [...read('docs/laws.md').matchAll(/\(laws\/(?<name>[\w-]+\.svg)\)/g)].map(
      (match) => match.groups?.['name'],
    );
    expect(shown.toSorted()).toEqual([...plots.keys()].toSorted());
  });
});
