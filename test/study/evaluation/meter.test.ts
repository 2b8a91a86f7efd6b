import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../../core/clock.ts';
import { fingerprint } from '../../../latency/fingerprint.ts';
import type { MeterRequest } from '../../../latency/isolate.ts';
import { type Latency, latencySchema } from '../../../latency/latency.ts';
import { Ledger } from '../../../latency/ledger.ts';
import { loadNetwork } from '../../../scaling/built-in-networks.ts';
import type { LatencyMeter } from '../../../study/context.ts';
import { openLatencyMeter } from '../../../study/evaluation/meter.ts';
import { resolveStudy } from '../../../study/resolve-study.ts';
import type { TargetConfig } from '../../../study/study-file.ts';

const fixture = latencySchema.parse(
  JSON.parse(readFileSync(new URL('../../fixtures/latency.json', import.meta.url), 'utf8')) as unknown,
);
const spec = { ...loadNetwork('mobilenet-v3-small'), input: { channels: 3, resolution: 32 } };
const config = resolveStudy(
  {
    study: 's',
    targets: { median: { device: 'cpu' }, tail: { device: 'cpu', limit: 'p99 < 9ms' }, none: { device: 'simulated' } },
  },
  'study.yaml',
);
const target = (name: string): TargetConfig => config.targets[name] as TargetConfig;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ridgepoint-meter-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A study's meter whose measurements are answered from a list, and what it asked for. */
function meterOn(
  ledger: Ledger | undefined,
  answers: Partial<Latency>[] = [{}],
  own: { readonly software?: string } = {},
) {
  const asked: MeterRequest[] = [];
  const waiting = [...answers];
  const meter: LatencyMeter = openLatencyMeter(config, new AbortController().signal, {
    ...(ledger ? { ledger } : {}),
    clock: new SimulatedClock(Date.UTC(2026, 10, 21)),
    meter: {
      measure: async (request) => {
        asked.push(request);
        const { accelerator } = request.setting;
        return { ...fixture, accelerator, fingerprint: { ...fingerprint(accelerator), ...own }, ...waiting.shift() };
      },
      fingerprint: async (accelerator) => ({ ...fingerprint(accelerator), ...own }),
      close: async () => {},
    },
  });
  return { meter, asked };
}
const ledgerOf = (): Ledger => new Ledger(join(folder, 'ledger.ndjson'));

describe('a study with a ledger', () => {
  it('measures a network once, and the next study takes it from there and says since when', async () => {
    const first = meterOn(ledgerOf(), [{ p50Ms: 1.5 }]);
    const measured = await first.meter.measureSpec(spec, target('median'));
    expect(measured.reusedFrom).toBeUndefined();
    const second = meterOn(ledgerOf());
    const reused = await second.meter.measureSpec(spec, target('median'));
    expect(reused).toEqual({ ...measured, reusedFrom: '2026-11-21T00:00:00.000Z' });
    expect(latencySchema.parse(reused)).toEqual(reused);
    expect([first.asked.length, second.asked.length]).toEqual([1, 0]);
  });

  it('measures again what was unstable, or is asked by another protocol', async () => {
    const { meter, asked } = meterOn(ledgerOf(), [{ stable: false }, {}, {}]);
    await meter.measureSpec(spec, target('median'));
    await meter.measureSpec(spec, target('median'));
    await meter.measureSpec(spec, target('median'), 'thorough');
    await meter.measureSpec(spec, target('median'));
    expect(asked).toHaveLength(3);
  });

  it('knows a device that is emulated again, by what the measuring process says of it', async () => {
    const emulated = { ...target('median'), device: 'webgpu' };
    const first = meterOn(ledgerOf(), [{}], { software: 'SwiftShader' });
    await first.meter.measureSpec(spec, emulated);
    const second = meterOn(ledgerOf(), [{}], { software: 'SwiftShader' });
    expect(await second.meter.measureSpec(spec, emulated)).toMatchObject({ reusedFrom: '2026-11-21T00:00:00.000Z' });
    const onGpu = meterOn(ledgerOf());
    await onGpu.meter.measureSpec(spec, emulated);
    expect([first.asked.length, second.asked.length, onGpu.asked.length]).toEqual([1, 0, 1]);
  });

  it('tells the meter how fast the reference was when this host was quiet', async () => {
    const { meter, asked } = meterOn(
      ledgerOf(),
      [1, 2, 3, 4].map(() => ({ referenceMs: 0.4, stable: false })),
    );
    for (const _ of [1, 2, 3, 4]) await meter.measureSpec(spec, target('median'));
    expect(asked.map(({ quietReferenceMs }) => quietReferenceMs)).toEqual([undefined, undefined, undefined, 0.4]);
  });
});

it('measures without one as well', async () => {
  const { meter, asked } = meterOn(undefined, [{}, {}]);
  await meter.measureSpec(spec, target('median'));
  await meter.measureSpec(spec, target('median'));
  expect(asked).toHaveLength(2);
});

it("measures a delivered file by its limit's percentile, and candidates by their median", async () => {
  const path = join(folder, 'm.onnx');
  writeFileSync(path, 'bytes');
  const { meter, asked } = meterOn(ledgerOf(), [{}, {}, {}]);
  await meter.measureSpec(spec, target('tail'));
  await meter.measureFile(path, target('tail'), spec);
  await meter.measureFile(path, target('median'), spec);
  expect(asked.map(({ percentile }) => percentile)).toEqual([50, 99, 50]);
});

it('computes what is simulated, and enters it nowhere', async () => {
  const ledger = ledgerOf();
  const { meter, asked } = meterOn(ledger);
  await expect(meter.measureSpec(spec, target('none'))).resolves.toMatchObject({ source: 'predicted' });
  expect([asked.length, ledger.entries.length]).toEqual([0, 0]);
});

describe('a network that is measured thoroughly', () => {
  it('is known well enough by the percentile of the limit; in a search, and without a limit, by the median', async () => {
    const { meter, asked } = meterOn(undefined);
    await meter.measureSpec(spec, target('tail'), 'thorough');
    await meter.measureSpec(spec, target('tail'));
    await meter.measureSpec(spec, target('median'), 'thorough');
    expect(asked.map(({ percentile }) => percentile)).toEqual([99, 50, 50]);
  });
});
