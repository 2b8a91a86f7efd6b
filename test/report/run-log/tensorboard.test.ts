import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { crc32c } from '../../../report/run-log/crc32c.ts';
import { tensorBoardLog } from '../../../report/run-log/tensorboard.ts';
import type { WholeRun } from '../../../report/run-log/run-log.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { readRun } from './event-reader.ts';

const startedMs = Date.UTC(2026, 0, 1);
const start = { name: 'study/t0001', startedMs, parameters: { rate: 0.1, optimizer: 'adamw', nesterov: false } };
const points = [
  { step: 32, atMs: startedMs + 1500, values: { 'train/loss': 2.5, 'train/accuracy': 0.25 } },
  { step: 3_000_000_000, atMs: startedMs + 3000, values: { 'train/loss': Number.NaN, 'train/accuracy': 0.5 } },
];
const end = { status: 'finished', endedMs: startedMs + 4000 } as const;
const whole: WholeRun = { ...start, points, ...end };

/** A Python with the package `tensorboard`: the user's, or the one that the variable names. */
const python = [process.env['RIDGEPOINT_TENSORBOARD_PYTHON'], 'python3'].find((candidate) => {
  try {
    execFileSync(candidate ?? '', ['-c', 'import tensorboard.backend.event_processing'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});
if (python === undefined) console.warn('skipped: event files in TensorBoard (no python3 has the package tensorboard)');

test.each([
  // RFC 3720, appendix B.4; the last is the check value of the catalogue of CRCs.
  ['32 zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['0 to 31', Uint8Array.from({ length: 32 }, (_, index) => index), 0x46dd794e],
  ['31 to 0', Uint8Array.from({ length: 32 }, (_, index) => 31 - index), 0x113fdb5c],
  ['the digits 1 to 9', Buffer.from('123456789'), 0xe3069283],
])('the CRC-32C of %s is the published one', (_name, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected);
});

describe('a run in TensorBoard’s files', () => {
  it('reads back as it was told, values that are not finite left out', async () => {
    const folder = fileFolder();
    const run = await tensorBoardLog(folder).open(start, false);
    for (const point of points) await run.point(point);
    await run.end(end);
    const events = readRun(join(folder, 'study', 't0001'));
    expect(events.map(({ wallTimeS }) => wallTimeS)).toEqual(
      [0, 0, 1500, 3000, 4000].map((ms) => (startedMs + ms) / 1000),
    );
    expect(events[0]?.fileVersion).toBe('brain.Event:2');
    expect(Object.keys(events[1]?.plugins ?? {})).toEqual(['_hparams_/session_start_info']);
    expect(events.slice(2, 4).map(({ step, scalars }) => ({ step, scalars }))).toEqual([
      { step: 32, scalars: { 'train/loss': 2.5, 'train/accuracy': 0.25 } },
      { step: 3_000_000_000, scalars: { 'train/accuracy': 0.5 } },
    ]);
    expect(Object.keys(events[4]?.plugins ?? {})).toEqual(['_hparams_/session_end_info']);
  });

  it('that goes on is one run; another of its name gets a number', async () => {
    const folder = fileFolder();
    const log = tensorBoardLog(folder);
    for (const [later, goesOn] of [
      [0, false],
      [1, true],
      [2, false],
      [3, true],
    ] as const)
      await log.open({ ...start, name: 'trained', startedMs: startedMs + later }, goesOn);
    expect(readdirSync(folder).toSorted()).toEqual(['trained', 'trained-2']);
    for (const name of ['trained', 'trained-2']) expect(readdirSync(join(folder, name))).toHaveLength(2);
  });

  it('that is told afterwards appears whole, once', async () => {
    const folder = fileFolder();
    const log = tensorBoardLog(folder);
    await log.add(whole);
    await log.add({ ...whole, points: [] });
    expect(readdirSync(join(folder, 'study', 't0001'))).toHaveLength(1);
    expect(readRun(join(folder, 'study', 't0001'))).toHaveLength(5);
  });

  it('is refused where the folder is a file', async () => {
    const file = join(fileFolder(), 'file');
    writeFileSync(file, '');
    await expect(tensorBoardLog(file).add(whole)).rejects.toThrow(/ENOTDIR/);
  });

  it.skipIf(python === undefined)('is what TensorBoard’s own reader finds', async () => {
    const folder = fileFolder();
    await tensorBoardLog(folder).add(whole);
    const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
run = EventAccumulator(sys.argv[1]); run.Reload()
data = lambda tag: plugin_data_pb2.HParamsPluginData.FromString(run.SummaryMetadata(tag).plugin_data.content)
given = data('_hparams_/session_start_info').session_start_info.hparams
value = lambda v: getattr(v, v.WhichOneof('kind'))
print(json.dumps({
  'scalars': {tag: [[e.wall_time, e.step, e.value] for e in run.Scalars(tag)] for tag in run.Tags()['scalars']},
  'parameters': {key: value(given[key]) for key in given},
  'status': data('_hparams_/session_end_info').session_end_info.status}))`;
    const args = ['-c', script, join(folder, 'study', 't0001')];
    const text = execFileSync(python as string, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    expect(JSON.parse(text.trim().split('\n').at(-1) as string)).toEqual({
      scalars: {
        'train/loss': [[startedMs / 1000 + 1.5, 32, 2.5]],
        'train/accuracy': [
          [startedMs / 1000 + 1.5, 32, 0.25],
          [startedMs / 1000 + 3, 3_000_000_000, 0.5],
        ],
      },
      parameters: start.parameters,
      status: 1,
    });
  });
});
