import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../cli/exit.ts';
import { ConfigError, EnvironmentError, InterruptedError, InvalidFileError } from '../../core/errors.ts';
import { smallStudyFile } from '../study/small-study.ts';
import { jsonLines } from './interruptions.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { ridgepoint } from './ridgepoint.ts';

const cwd = fileFolder();

function studyFile(name: string, changes: object): string {
  // JSON is YAML.
  writeFileSync(join(cwd, `${name}.yaml`), JSON.stringify({ ...smallStudyFile, study: name, ...changes }));
  return `${name}.yaml`;
}

describe('exit code', () => {
  it('is 2 for input, 5 for the environment and the unforeseen, 130 for an interruption', () => {
    expect(exitCodeOf(new ConfigError('x'))).toBe(2);
    expect(exitCodeOf(new InvalidFileError('x'))).toBe(2);
    expect(exitCodeOf(new EnvironmentError('x'))).toBe(5);
    expect(exitCodeOf(new TypeError('x'))).toBe(5);
    expect(exitCodeOf(new InterruptedError('x'))).toBe(130);
  });

  it.each([
    ['an unknown command', ['serach'], /expected a command \(search, .*\), got serach/],
    ['an unknown option', ['count', 'x.yaml', '--wdith', '2'], /--wdith: expected one of --width, .*--json/],
    ['an argument too many', ['status', 'a', 'b'], /expected folder, got also "b"/],
    ['a missing argument', ['search'], /required positional argument/],
    ['a flag that is no number', ['count', 'x.yaml', '--width', 'wide'], /x\.yaml|--width/],
    ['a missing study file', ['search', 'absent.yaml'], /absent\.yaml: expected a study file, got ENOENT/],
    ['a bad batch', ['measure', 'x.onnx', '--batch', '0'], /--batch: expected a whole number of at least 1, got "0"/],
    [
      'an unknown protocol',
      ['measure', 'x.onnx', '--protocol', 'fast'],
      /--protocol: expected quick, thorough, got "fast"/,
    ],
    [
      'an unknown precision',
      ['measure', 'x.onnx', '--precision', 'fp8'],
      /--precision: expected fp32, .*int8, got "fp8"/,
    ],
    ['a folder without a study', ['report', '.'], /expected the folder of a study/],
  ])('is 2 for %s', async (_what, args, message) => {
    const { code, stderr, stdout } = await ridgepoint(args, cwd);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it('is 2 for a study file with a wrong key, which is named', async () => {
    const { code, stderr } = await ridgepoint(['search', studyFile('wrong', { search: { trails: 3 } })], cwd);
    expect(code).toBe(2);
    expect(stderr).toMatch(/wrong\.yaml: not a study file[\s\S]*trails[\s\S]*search/);
    expect(existsSync(join(cwd, 'runs', 'wrong'))).toBe(false);
  });

  it('is 2 for data that is not there, and the corrected study runs on', async () => {
    const absent = studyFile('data', { data: { format: 'cifar10', path: './absent' } });
    const { code, stderr } = await ridgepoint(['search', absent], cwd);
    expect(code).toBe(2);
    expect(stderr).toContain('absent');
    const targets = { edge: { device: 'simulated', allow: 'predicted', limit: 'p50 < 1us' } };
    expect((await ridgepoint(['search', studyFile('data', { targets })], cwd)).code).toBe(4);
  });

  it('is 2 for a model to compare with that is not there, before anything is trained', async () => {
    const { code, stderr } = await ridgepoint(
      ['search', studyFile('compare', { final: { baselines: [{ onnx: './absent.onnx' }] } })],
      cwd,
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(/final\.baselines: expected an ONNX file, found none at .*absent\.onnx/);
    expect(readFileSync(join(cwd, 'runs', 'compare', 'journal.jsonl'), 'utf8')).not.toContain('"issued"');
  });

  it('is 2 for a model file that is not ONNX', async () => {
    writeFileSync(join(cwd, 'text.onnx'), 'not a model');
    const { code, stderr } = await ridgepoint(['measure', 'text.onnx', '--protocol', 'quick'], cwd);
    expect(stderr).toContain('text.onnx');
    expect(code).toBe(2);
  });

  it('is 4 for a limit nothing can meet, and the nearest is named', async () => {
    // The largest size is 2x, so the base may have half of it.
    const targets = { edge: { device: 'simulated', allow: 'predicted', limit: 'p50 < 1us' } };
    const { code, stderr, stdout } = await ridgepoint(['search', studyFile('fast', { targets }), '--json'], cwd);
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
    expect(stderr).toMatch(/the nearest, t\d{4}, has latency 0\.\d+ against 0\.000500 on edge/);
    const events = jsonLines(stderr) as { type: string; message?: string }[];
    expect(events.map(({ type }) => type)).toContain('issued');
    expect(events.at(-1)).toMatchObject({ type: 'error', exitCode: 4 });
    // The same file again finds the same; a changed one is another study.
    const again = await ridgepoint(['search', 'fast.yaml'], cwd);
    expect(again.code).toBe(4);
    expect(again.stderr).toContain(`error: ${events.at(-1)?.message}`);
    const changed = await ridgepoint(['search', studyFile('fast', { targets, seed: 1 })], cwd);
    expect(changed.code).toBe(2);
    expect(changed.stderr).toMatch(/got a changed seed; give the study another name, or delete the folder/);
  });

  it('is 5 for a study that another process writes', async () => {
    mkdirSync(join(cwd, 'runs', 'busy'), { recursive: true });
    writeFileSync(join(cwd, 'runs', 'busy', 'lease.json'), JSON.stringify({ host: hostname(), pid: process.pid }));
    const { code, stderr } = await ridgepoint(['search', studyFile('busy', {})], cwd);
    expect(code).toBe(5);
    expect(stderr).toContain(`expected no other writer, got process ${process.pid} on ${hostname()}`);
    expect(existsSync(join(cwd, 'runs', 'busy', 'journal.jsonl'))).toBe(false);
  });
});
