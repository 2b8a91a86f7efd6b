import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { EnvironmentError, InterruptedError } from '../../../core/errors.ts';
import type { EventOf, EventType, JournalEvent } from '../../../study/journal/events.ts';
import { failuresOf } from '../../../study/journal/failure-logs.ts';
import { journalPath } from '../../../study/journal/journal.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { runStudy } from '../../../study/study.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { temporaryFilesIn } from '../../cases/temporary-files.ts';
import { eventsOf, newFolder, runFake, smallStudy, smallStudyFile, story } from '../small-study.ts';

const programFile = (name: string) => fileURLToPath(new URL(`../../commands/${name}.mjs`, import.meta.url));
const records = fileFolder();
temporaryFilesIn(records);

function ofType<Type extends EventType>(events: readonly JournalEvent[], type: Type): EventOf<Type>[] {
  return events.filter((event): event is EventOf<Type> => event.type === type);
}

const trainedByCommand = (params: object) =>
  smallStudy({
    search: { ...smallStudyFile.search, trials: 3, finalists: 1, seeds: 1 },
    commands: { 'nothing@1': { command: [process.execPath, programFile('trainer-program'), '{request}'] } },
    trainer: { command: 'nothing@1', params },
  });

/** Elsewhere: nothing here is measured, so nobody has to wait for it. */
const elsewhere = { describe: { onThisHost: false } };

const measuredByCommand = (script: object, changes: object = {}) =>
  smallStudy({
    search: { ...smallStudyFile.search, trials: 3, round: 3, finalists: 1, seeds: 1 },
    targets: {
      edge: {
        command: [
          process.execPath,
          programFile('target-program'),
          JSON.stringify({ ...elsewhere, ...script }),
          '{request}',
        ],
      },
    },
    family: { edge: ['1x'] },
    final: { ...smallStudyFile.final, baselines: [] },
    ...changes,
  });

const resolve = (changes: object) => resolveStudy({ study: 'x', ...changes }, 'x.yaml');

const requestsIn = (record: string): string[] =>
  readFileSync(record, 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { trial: string }).trial);

describe('a study with the user’s own trainer', () => {
  it('runs to verified files, and resumes without training anything again', async () => {
    const record = join(records, 'whole');
    const config = trainedByCommand({ record });
    const folder = newFolder();
    const controller = new AbortController();
    const stopped = runStudy(config, {
      folder,
      signal: controller.signal,
      onEvent: ({ type }) => {
        if (type === 'outcome' && ofType(eventsOf(folder), 'outcome').length === 3) controller.abort();
      },
    });
    await expect(stopped).rejects.toBeInstanceOf(InterruptedError);
    const summary = await runStudy(config, { folder });
    expect(summary.finished).toBe(true);

    const events = eventsOf(folder);
    const outcomes = ofType(events, 'outcome');
    expect(outcomes.every(({ outcome }) => outcome.status === 'ok')).toBe(true);
    expect(outcomes[0]?.outcome).toMatchObject({ cost: { deviceHours: 0.5, imagesPerS: 321 } });
    const answered = outcomes.map(({ id }) => id);
    expect(new Set(answered).size).toBe(answered.length);
    // One request a trial; one that was cut off in flight, if any, was asked once more.
    const asked = requestsIn(record);
    expect(new Set(asked)).toEqual(new Set(answered));
    expect(asked.length - answered.length).toBeLessThanOrEqual(1);
    for (const id of answered.slice(0, 3)) expect(asked.filter((trial) => trial === id)).toHaveLength(1);

    expect(existsSync(join(folder, 'family', 'edge', '1x', 'model.onnx'))).toBe(true);
    const card = readFileSync(join(folder, 'family', 'edge', '1x', 'card.md'), 'utf8');
    expect(card).not.toContain('Recipe:');

    // Nothing that could be executed is written down.
    for (const path of [journalPath(folder), join(folder, 'resolved.yaml'), join(folder, 'manifest.json')]) {
      const text = readFileSync(path, 'utf8');
      expect(text, path).not.toContain('trainer-program');
      expect(text, path).not.toContain('{request}');
    }
    expect(readFileSync(journalPath(folder), 'utf8')).toContain('nothing@1');
  });

  it('stops at once when the program says that its environment is broken', async () => {
    const folder = newFolder();
    const stopped = runStudy(trainedByCommand({ record: join(records, 'broken'), exit: 78 }), { folder });
    await expect(stopped).rejects.toMatchObject({ code: 'command-environment' });
    expect(requestsIn(join(records, 'broken'))).toHaveLength(1);
  });

  it('journals a crash and tries again', async () => {
    const folder = newFolder();
    const stopped = runStudy(trainedByCommand({ record: join(records, 'crash'), exit: 1 }), { folder });
    await expect(stopped).rejects.toBeInstanceOf(EnvironmentError);
    const outcomes = ofType(eventsOf(folder), 'outcome');
    expect(outcomes.map(({ id, attempt }) => `${id} ${attempt}`)).toEqual([
      't0001 1',
      't0001 2',
      't0001 3',
      't0002 1',
      't0002 2',
      't0002 3',
    ]);
    expect(outcomes[0]?.outcome).toMatchObject({ status: 'failed', code: 'command-exit', retry: true });
    // It took its time, which is charged.
    expect(outcomes[0]?.outcome).toMatchObject({ spentS: expect.any(Number) });
    expect(StudyRecord.replay(eventsOf(folder)).spending.hours).toBeGreaterThan(0);

    const failures = failuresOf(eventsOf(folder), folder, 't0002');
    expect(failures.map(({ trial, attempt, code }) => `${trial} ${attempt} ${code}`)).toEqual([
      't0002 1 command-exit',
      't0002 2 command-exit',
      't0002 3 command-exit',
    ]);
    expect(failures[0]?.logs.map(({ path }) => path)).toHaveLength(3);
    for (const { path, text } of failures[0]?.logs ?? []) expect(readFileSync(path, 'utf8')).toBe(text);
    expect(failuresOf(eventsOf(folder), folder)).toHaveLength(6);
    expect(() => failuresOf(eventsOf(folder), folder, 't9')).toThrow(/expected a trial of the study .*got t9/);
  });
});

describe('a study with the user’s own target', () => {
  it('measures by the program, and learns what cannot run there and what crashed it', async () => {
    const raw = { status: 'infeasible', reason: 'unsupported', detail: 'no depthwise convolutions' };
    const folder = newFolder();
    const config = measuredByCommand({ model: [{ raw }, 'crash', 'crash', 'crash', 'by-size'] });
    const { summary } = await runFake(config, folder);
    expect(summary.finished).toBe(true);
    const [first, second, third] = ofType(eventsOf(folder), 'outcome').map(({ outcome }) => outcome);
    expect(first).toMatchObject({ status: 'infeasible', reason: 'unsupported' });
    expect(second).toMatchObject({ status: 'failed', code: 'command-exit', retry: false });
    expect(third).toMatchObject({ status: 'ok', metrics: { 'latencyMs.edge': expect.any(Number) } });
    const latencies = ofType(eventsOf(folder), 'measured').map(({ latency }) => latency);
    expect(latencies.length).toBeGreaterThan(2);
    for (const latency of latencies)
      expect(latency).toMatchObject({ source: 'command', accelerator: 'command:edge', includesIo: false });

    const before = story(eventsOf(folder));
    await runFake(config, folder);
    expect(story(eventsOf(folder))).toEqual(before);
  });

  it('stops when the program crashes on every network', async () => {
    const always = measuredByCommand({ model: ['crash'] }, { failures: { stopAfterFirst: 2 } });
    await expect(runFake(always, newFolder())).rejects.toThrow('2 of 2 evaluations failed');
  });
});

describe('commands in a study file', () => {
  const argv = ['run', '{request}'];

  it('may be declared by name or where they are used', () => {
    const named = resolve({
      commands: { 'gpu@2': { command: argv, env: { A: 'b' }, limits: { wall: '2h' } } },
      targets: { a: { command: 'gpu@2', precision: 'fp16' }, b: { device: 'command:gpu@2' }, c: { command: argv } },
    });
    expect(Object.values(named.targets).map(({ device }) => device)).toEqual([
      'command:gpu@2',
      'command:gpu@2',
      'command:c',
    ]);
    expect(named.commands).toMatchObject({
      'gpu@2': { env: { A: 'b' }, limits: { wall: 7_200_000 } },
      c: { command: argv },
    });
  });

  it.each([
    [{ targets: { a: {} } }, 'targets.a: expected either a device or a command, got neither'],
    [{ targets: { a: { device: 'cpu', command: argv } } }, 'got both'],
    [{ targets: { a: { command: 'gpu' } } }, 'targets.a.command: expected a command among none, got "gpu"'],
    [{ targets: { a: { device: 'command:gpu' } } }, 'targets.a.device: expected a command among none, got "gpu"'],
    [{ targets: { a: { command: ['run'] } } }, '{request}'],
    [{ targets: { a: { device: 'cpu', precision: 'bf16' } } }, 'targets.a.precision: expected fp32 on cpu, got bf16'],
    [
      { trainer: { command: argv, learningRate: 1 } },
      'expected only params and parallel beside a command, got also learningRate',
    ],
    [{ trainer: { params: { a: 1 } } }, 'trainer.params: expected a command'],
    [{ commands: { a: { command: argv } }, targets: { a: { command: argv } } }, 'there is one called a'],
    [{ commands: { 'a b': { command: argv } } }, 'commands'],
  ])('are refused as %j', (changes, message) => {
    expect(() => resolve(changes)).toThrow(message);
  });
});
