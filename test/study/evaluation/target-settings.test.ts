import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import { ConfigError, InfeasibleModelError } from '../../../core/errors.ts';
import type { Latency } from '../../../latency/latency.ts';
import { filePrecision } from '../../../latency/file-precision.ts';
import { type RunSetting, settingsOf } from '../../../latency/setting.ts';
import { specDigest, type NetworkSpec } from '../../../models/spec.ts';
import { summaryTable } from '../../../report/terminal.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import type { EventPayload, JournalEvent } from '../../../study/journal/events.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import type { TargetConfig } from '../../../study/study-file.ts';
import { measureAtSettings } from '../../../study/evaluation/target-settings.ts';
import type { StudySummary } from '../../../study/deliver/summary.ts';
import { FakeMeter } from '../fake-meter.ts';
import { eventsOf, newFolder, runFake, smallStudy, smallStudyFile, story } from '../small-study.ts';

/** A start-up time, then a time an example that fp16 halves on the one device and doubles on the other. */
function latencyMs(spec: NetworkSpec, { device, batch, precision }: TargetConfig): number {
  const exampleMs = 0.05 + countSpec(spec).macs / 2e7;
  const factor = precision === 'fp16' ? (device === 'webgpu' ? 0.5 : 2) : 1;
  return 0.4 + batch * exampleMs * factor;
}

class SettingsMeter extends FakeMeter {
  readonly asked: string[] = [];
  constructor() {
    super(() => 1);
  }
  override async measureSpec(spec: NetworkSpec, target: TargetConfig): Promise<Latency> {
    expect(target.settings, 'a meter is asked for one setting').toBeUndefined();
    this.asked.push(`${target.device} b${target.batch} ${target.precision} ${specDigest(spec)}`);
    if (target.device === 'webgpu' && target.batch === 32) throw unsupported(target.device);
    const p50Ms = latencyMs(spec, target);
    const latency = await super.measureSpec(spec, target);
    return {
      ...latency,
      p50Ms,
      p90Ms: p50Ms,
      p99Ms: p50Ms,
      intervalMs: { ...latency.intervalMs, lo: p50Ms, hi: p50Ms },
    };
  }
}

function unsupported(device: string): InfeasibleModelError {
  return new InfeasibleModelError(`${device}: expected a batch it runs, got 32`, { reason: 'unsupported' });
}

const file = {
  targets: {
    cpu: { device: 'cpu', batch: [1, 8], precision: ['fp32', 'fp16'], limit: 'p50 < 3ms' },
    gpu: { device: 'webgpu', batch: [32, 1, 4], precision: ['fp32', 'fp16'] },
  },
  family: { cpu: ['1x', '2x'], gpu: ['1x', '2x'] },
  search: { ...smallStudyFile.search, trials: 3, finalists: 1, seeds: 1 },
  final: { examples: 200, seeds: 1, baselines: [] },
};
const config = smallStudy(file);
const folder = newFolder();
let summary: StudySummary;
let asked: readonly string[];

beforeAll(async () => {
  const meter = new SettingsMeter();
  ({ summary } = await runFake(config, folder, { makeMeter: () => meter }));
  asked = meter.asked;
});

const members = (target: string) =>
  summary.targets.find(({ name }) => name === target)?.lines.find(({ kind }) => kind === 'family')?.members ?? [];

describe('a target with several batches and precisions', () => {
  it('lets every network run at the setting that takes least time an example within the limit of a run', () => {
    for (const name of ['cpu', 'gpu']) {
      const target = config.targets[name] as TargetConfig;
      expect(members(name)).toHaveLength(2);
      for (const { spec, latency } of members(name)) {
        const settings = (target.settings ?? []).filter(({ batch }) => name === 'cpu' || batch < 32);
        const times = settings.map((setting) => ({
          setting,
          ms: latencyMs(spec as NetworkSpec, { ...target, ...setting }),
        }));
        const admissible = times.filter(({ ms }) => ms <= (target.limit?.ms ?? Infinity));
        const best = admissible.reduce((a, b) => (b.ms / b.setting.batch < a.ms / a.setting.batch ? b : a));
        expect(latency).toMatchObject({ ...best.setting, per: 'example' });
        expect(latency.p50Ms).toBeCloseTo(best.ms / best.setting.batch, 12);
      }
    }
  });

  it('takes fp16 where it is faster, and says what it took where it is not', () => {
    expect(members('gpu').every(({ latency }) => latency.precision === 'fp16')).toBe(true);
    for (const { latency, chosenFrom } of members('cpu')) {
      expect(latency.precision).toBe('fp32');
      const half = chosenFrom.find(({ batch, precision }) => batch === latency.batch && precision === 'fp16');
      expect(half?.p50Ms ?? Infinity).toBeGreaterThan(latency.batch * latency.p50Ms);
    }
  });

  it('delivers the file in the precision that was chosen, and scores that file', () => {
    const read = (path: string) => filePrecision(readFileSync(join(folder, path)));
    expect(read('family/cpu/2x/model.onnx')).toBe('fp32');
    expect(read('family/gpu/2x/model.onnx')).toBe('fp16');
    const scored = eventsOf(folder).filter((event) => event.type === 'decision' && event.id.endsWith(' fp16'));
    expect(scored.length).toBeGreaterThanOrEqual(2);
    // What all targets share is there in both.
    expect(read('shared/2x/model.onnx')).toBe('fp32');
    expect(read('shared/2x/model-fp16.onnx')).toBe('fp16');
  });

  it('leaves out what the device refuses, asks it once only, and tells why', () => {
    for (const { chosenFrom } of members('gpu'))
      expect(chosenFrom.filter(({ batch }) => batch === 32)).toEqual(
        ['fp32', 'fp16'].map((precision) => ({
          batch: 32,
          precision,
          p50Ms: null,
          runMs: null,
          refusal: 'webgpu: expected a batch it runs, got 32',
        })),
      );
    const refused = asked.filter((call) => call.startsWith('webgpu b32'));
    expect(new Set(refused).size).toBe(refused.length);
  });

  it('compares trials per example, and reports the setting of each member', () => {
    const [trial] = summary.trials.filter(({ status }) => status === 'ok');
    const target = config.targets['gpu'] as TargetConfig;
    const best = Math.min(
      ...[1, 4].map((batch) => latencyMs(trial?.spec as NetworkSpec, { ...target, batch, precision: 'fp16' }) / batch),
    );
    expect(trial?.latencyMs['gpu']).toBeCloseTo(best, 12);
    const terminal = summaryTable(summary);
    expect(terminal).toContain('gpu: batch 1, 4 or 32, fp32 or fp16');
    expect(terminal).toMatch(/2x b4 fp16/);
    const report = readFileSync(join(folder, 'report.html'), 'utf8');
    expect(report).toContain('Batch and precision');
    expect(report).toContain('p50 ms / example');
    expect(readFileSync(join(folder, 'family.csv'), 'utf8')).toMatch(/,example,/);
  });

  it('is the same when the study is resumed', async () => {
    const before = story(eventsOf(folder));
    const meter = new SettingsMeter();
    await runFake(config, folder, { makeMeter: () => meter });
    expect(story(eventsOf(folder))).toEqual(before);
    expect(meter.asked).toEqual([]);
  });
});

/** What is asked for, and the answer, of a target that takes `batch` milliseconds. */
async function measured(target: Partial<TargetConfig>, bytesAt?: (setting: RunSetting) => number) {
  const calls: string[] = [];
  const events: JournalEvent[] = [];
  const append = (payload: EventPayload): JournalEvent => {
    const event = { ...payload, schema: 1, seq: events.length, tMs: 0 } as JournalEvent;
    events.push(event);
    return event;
  };
  const record = new StudyRecord({ path: 'memory', events, append });
  const meter = new FakeMeter((_spec, call) => Number(calls[call - 1]?.split(' ')[0]));
  const config = { ...smallStudy().targets['edge'], settings: settingsOf([1, 8, 32], ['fp32', 'fp16']), ...target };
  const ask = () =>
    measureAtSettings(
      { config: smallStudy(), record, meter, clock: new SimulatedClock(), signal: new AbortController().signal },
      {
        id: 'n',
        target: 'edge',
        config: config as TargetConfig,
        ...(bytesAt && { bytesAt }),
        measure: (at) => {
          calls.push(`${at.batch} ${at.precision}`);
          return meter.measureSpec({} as NetworkSpec, at);
        },
      },
    );
  const latency = await ask();
  // Everything is known by now.
  await expect(ask()).resolves.toEqual(latency);
  return { calls, latency };
}

/** A megabyte an example, half of it in fp16. */
const bytesAt = ({ batch, precision }: RunSetting): number => batch * (precision === 'fp16' ? 5e5 : 1e6);

describe('measuring at every setting', () => {
  it('goes on to larger batches only while a run keeps the limit', async () => {
    const { calls, latency } = await measured({ limit: { percentile: 50, ms: 5 } });
    expect(calls).toEqual(['1 fp32', '1 fp16', '8 fp32', '8 fp16']);
    expect(latency.chosenFrom?.map(({ refusal }) => refusal).slice(4)).toEqual(
      ['fp32', 'fp16'].map(() => 'a smaller batch is over the limit already'),
    );
    expect(latency.batch).toBe(1);
  });

  it('leaves out what memory does not hold, without measuring it', async () => {
    const { calls, latency } = await measured({ memory: 9e6 }, bytesAt);
    expect(calls).toEqual(['1 fp32', '1 fp16', '8 fp32', '8 fp16']);
    expect(latency.chosenFrom?.at(-1)?.refusal).toBe('needs 16.0 MB of 9.00');
  });

  it('is infeasible when no setting fits', async () => {
    await expect(measured({ memory: 1 }, () => 2)).rejects.toMatchObject({ reason: 'memory', limit: 1, observed: 2 });
  });
});

const study = (target: object, rest: object = {}) =>
  resolveStudy({ study: 'lists', targets: { a: { device: 'cpu', ...target } }, ...rest }, 'lists.yaml');

describe('a target’s lists', () => {
  it('of one value are that value', () => {
    expect(study({ batch: [4], precision: ['fp16'] }).targets['a']).toEqual(
      study({ batch: 4, precision: 'fp16' }).targets['a'],
    );
    expect(study({}).targets['a']).toMatchObject({ batch: 1, precision: 'fp32' });
    expect(study({}).targets['a']).not.toHaveProperty('settings');
  });

  it.each([
    [{ batch: [] }, {}, /targets\.a\.batch/],
    [{ batch: [2, 2] }, {}, /expected different values/],
    [{ batch: 'x' }, {}, /expected a number of examples, or a list[^]*targets\.a\.batch/],
    [{ precision: ['fp17'] }, {}, /expected fp32, fp16, bf16 or int8, or a list[^]*targets\.a\.precision/],
    [{ batch: [0, 1] }, {}, /targets\.a\.batch/],
    [{ precision: ['fp32', 'bf16'] }, {}, /targets\.a\.precision: expected fp32 on cpu, got bf16: .*fp32 or fp16/],
    [{ device: 'tpu-v5e', precision: ['bf16', 'int8'] }, {}, /targets\.a\.precision: expected no int8 beside others/],
    [{ device: 'tensorrt', precision: ['fp32', 'fp16'] }, {}, /expected fp32 on tensorrt, got fp16/],
    [{ batch: [1, 8], profile: './mine.yaml' }, {}, /targets\.a\.profile: expected none beside a list/],
    [{ batch: [1, 8] }, { family: { a: ['1x', '9ms'] } }, /family\.a: expected multiples such as 2x .* got 9ms/],
    [
      { batch: [1, 8], limit: 'p50 < 9ms' },
      { search: { reward: 'absolute' } },
      /search\.reward: expected product, .* targets\.a/,
    ],
  ])('%j with %j is refused with a reason', (target, rest, message) => {
    expect(() => study(target, rest)).toThrow(ConfigError);
    expect(() => study(target, rest)).toThrow(message);
  });
});
