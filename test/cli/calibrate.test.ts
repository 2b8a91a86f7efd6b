import { runCommand } from 'citty';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { command } from '../../cli/calibrate.ts';
import { Random } from '../../core/random.ts';
import { fingerprint } from '../../latency/fingerprint.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { draws, observed } from '../latency/synthetic-device.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();
const header = { schema: 1, threads: 1, seed: '0', fingerprint: fingerprint('cpu') };
const observations = draws(12, 'cli').map((network, index) => observed(network, new Random(index)));
const file = 'here.yaml.observations.ndjson';
writeFileSync(join(cwd, file), [header, ...observations].map((line) => `${JSON.stringify(line)}\n`).join(''));

describe('ridgepoint calibrate', () => {
  it('makes a profile of what was observed before, which predict then uses', async () => {
    const made = await ridgepoint(['calibrate', '--budget', '0s', '-o', 'here.yaml', '--json'], cwd);
    expect(made).toMatchObject({ code: 0 });
    const { profile, calibration } = JSON.parse(made.stdout) as { profile: string; calibration: object };
    expect(profile).toBe('here.yaml');
    expect(calibration).toMatchObject({ points: 12, agreement: 1, heldOut: { networks: 12 } });
    expect(existsSync(join(cwd, 'here.yaml.part'))).toBe(false);

    const predicted = await ridgepoint(['predict', 'mobilenet-v2', '--on', 'here.yaml', '--json'], cwd);
    const [row] = (JSON.parse(predicted.stdout) as { predictions: readonly { latency: object }[] }).predictions;
    expect(row?.latency).toMatchObject({ calibrated: true, accelerator: 'here', threads: 1, precision: 'fp32' });

    const threads = await ridgepoint(['predict', 'mobilenet-v2', '--on', 'here.yaml', '--threads', '2'], cwd);
    expect(threads).toMatchObject({ code: 2 });
    expect(threads.stderr).toMatch(/expected --threads 1, for which it was calibrated, got 2/);
  });

  it('measures networks for as long as it may, and keeps them when they are too few', async () => {
    const { code, stderr } = await ridgepoint(['calibrate', '--budget', '1ms', '-o', 'few.yaml'], cwd);
    expect(code).toBe(2);
    expect(stderr).toMatch(/at least 10 networks.*got 1; give it a larger budget/);
    const lines = readFileSync(join(cwd, 'few.yaml.observations.ndjson'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ role: 'random', batch: expect.any(Number) as number });
    expect(existsSync(join(cwd, 'few.yaml'))).toBe(false);
  });

  it('moves a profile by whole networks that a command measures, and does not measure them again', async () => {
    const script = JSON.stringify({ describe: { onThisHost: false }, reference: [1], model: [1, 2, 3] });
    const program = fileURLToPath(new URL('../commands/target-program.mjs', import.meta.url));
    const declared = { board: { command: [process.execPath, program, script, '{request}'] } };
    writeFileSync(join(cwd, 'commands.yaml'), JSON.stringify(declared));
    const args = ['--on', 'command:board', '--like', 't4', '--precision', 'fp16', '--points', '3', '-o', 'board.yaml'];
    const { code, stdout, stderr } = await ridgepoint(['calibrate', ...args, '--json'], cwd);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(JSON.parse(stdout)).toMatchObject({ profile: 'board.yaml', calibration: { points: 3 } });
    const lines = () => readFileSync(join(cwd, 'board.yaml.observations.ndjson'), 'utf8');
    const [before, profile] = [lines(), readFileSync(join(cwd, 'board.yaml'), 'utf8')];
    const [head, one] = before.split('\n').map((line) => JSON.parse(line || '{}') as object);
    expect(head).toMatchObject({ schema: 2, precision: 'fp16', space: 'built-in' });
    expect(one).toMatchObject({ stable: false, sessionP50Ms: expect.any(Array) as number[] });
    expect(profile).toMatch(/calibration:\n +precision: fp16\n/);
    const again = await ridgepoint(['calibrate', ...args], cwd);
    expect(again).toMatchObject({ code: 0 });
    expect(lines()).toBe(before);
    expect(readFileSync(join(cwd, 'board.yaml'), 'utf8')).toBe(profile);
    expect(again.stdout).toMatch(/board\.yaml: command:board, 3 networks/);
  });

  it.each([
    [['-o', 'profile.json'], /--output: expected a \.yaml file/],
    [['-o', 'p.yaml', '--on', 'webgpu'], /--on: expected cpu or command:<name>, got webgpu/],
    [['-o', 'p.yaml', '--on', 'command:board'], /--like: expected the profile nearest to the command/],
    [['-o', 'p.yaml', '--budget', 'soon'], /expected a duration/],
    [['-o', 'here.yaml', '--seed', '5'], /observations of this seed \(5\), got 0; calibrate into another file/],
  ])('refuses %j and writes nothing', async (args, message) => {
    const { code, stderr } = await ridgepoint(['calibrate', ...args], cwd);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(existsSync(join(cwd, 'p.yaml.observations.ndjson'))).toBe(false);
  });

  it.each([
    [['--precision', 'int8'], /--precision: expected --on command:<name> beside it, got cpu/],
    [['--like=t4'], /--like: expected --on command:<name> beside it, got cpu/],
    [['--points', '3'], /--points: expected --on command:<name> beside it, got cpu/],
    [['--on', 'command:board', '--budget', '1m'], /--budget: expected --on cpu beside it, got command:board/],
  ])('refuses %j, which it would ignore', async (args, message) => {
    await expect(runCommand(command, { rawArgs: ['-o', 'p.yaml', ...args] })).rejects.toThrow(message);
  });
});
