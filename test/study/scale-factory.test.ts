import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { CommandError } from '../../commands/run.ts';
import { ConfigError, InterruptedError, UnreachableLimitError } from '../../core/errors.ts';
import type { Latency } from '../../latency/latency.ts';
import { readOnnx } from '../../models/onnx.ts';
import type { LatencyMeter } from '../../study/context.ts';
import { VerificationError } from '../../study/deliver/deliver-phase.ts';
import { isFactoryFile, readFactoryFile } from '../../study/factory-file.ts';
import { type FactoryFamily, scaleFactory, type ScaleFactoryOptions } from '../../study/scale-factory.ts';
import { resolveStudy, type TargetConfig } from '../../study/study-file.ts';
import { fileFolder } from '../cases/file-folder.ts';

const program = fileURLToPath(new URL('../commands/factory-program.mjs', import.meta.url));
const folder = fileFolder();
let count = 0;
const newFolder = (): string => join(folder, `runs-${count++}`);

/** A declaration of the test program, with params for its two parts. */
function declared(factory: object = {}, trainer: object = {}, more: object = {}): string {
  const path = join(folder, `factory-${count++}.yaml`);
  const command = [process.execPath, program, '{request}'];
  writeFileSync(
    path,
    stringify({ factory: { command, resolution: 8, params: factory, ...more }, trainer: { command, params: trainer } }),
  );
  return path;
}

const study = (changes: object = {}) =>
  resolveStudy(
    {
      study: 'factory',
      data: { format: 'rendered', classes: 4, train: 200, test: 40, resolution: 16 },
      targets: { cpu: { device: 'cpu' } },
      family: { cpu: ['1x', '2x'] },
      scale: { trials: 2, examples: 60 },
      final: { examples: 120, seeds: 2, baselines: [] },
      ...changes,
    },
    join(folder, 'study.yaml'),
  );

/** Latency that grows with channels and pixels, as a file tells them. */
class FileMeter implements LatencyMeter {
  measured = 0;

  measureSpec(): Promise<Latency> {
    throw new Error('expected files only');
  }

  measureFile(path: string, { device, batch, threads, precision }: TargetConfig): Promise<Latency> {
    this.measured++;
    const { constants, inputs } = readOnnx(readFileSync(path), path);
    const channels = constants.get('w')?.dims[0] ?? 0;
    const side = Number(inputs[0]?.shape[2]);
    const ms = (channels / 12) * (side / 8) ** 2;
    return Promise.resolve({
      source: 'measured',
      accelerator: device,
      batch,
      threads,
      precision,
      p50Ms: ms,
      p90Ms: ms,
      p99Ms: ms,
      intervalMs: { percentile: 50, level: 0.95, lo: ms, hi: ms },
      sessions: 5,
      samples: 500,
      stable: true,
      drift: 0,
      rejectedBlocks: 0,
      includesIo: true,
      calibrated: true,
      fingerprint: null,
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const scale = (path: string, options: Partial<ScaleFactoryOptions> = {}, changes: object = {}) =>
  scaleFactory(study(changes), readFactoryFile(path), {
    folder: newFolder(),
    makeMeter: () => new FileMeter(),
    ...options,
  });

interface Asked {
  readonly op: string;
  /** Of a `describe` none. */
  readonly multipliers?: { readonly depth: number; readonly width: number; readonly resolution: number };
  readonly resolution: number;
  readonly classes: number;
  readonly fidelity?: { readonly examples: number };
  readonly seed?: number;
}
const requestsIn = (record: string): readonly Asked[] =>
  readFileSync(record, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Asked);

describe('scaling a base of the user’s own programs', () => {
  const record = join(folder, 'requests.ndjson');
  const path = declared({ record }, { record });
  const options = { folder: newFolder() };
  let family: FactoryFamily;

  beforeAll(async () => {
    family = await scale(path, options);
  }, 60_000);

  it('delivers a file for each size: the base, and a network within its latency that uses it', () => {
    expect(family.members.map(({ size }) => size)).toEqual(['1x', '2x']);
    const [base, double] = family.members;
    expect(base).toMatchObject({ multipliers: { depth: 1, width: 1, resolution: 1 }, trained: 0, resolution: 8 });
    expect(double?.latency.p50Ms).toBeLessThanOrEqual(2 * family.baseMs);
    expect(double?.latency.p50Ms).toBeGreaterThan(1.6 * family.baseMs);
    expect(double?.trained).toBe(2);
    for (const { file, resolution, testAccuracy } of family.members) {
      const { inputs } = readOnnx(readFileSync(join(options.folder, file)), file);
      expect(inputs[0]?.shape.slice(1)).toEqual([3, resolution, resolution]);
      expect(testAccuracy.values).toHaveLength(2);
    }
    expect(JSON.parse(readFileSync(join(options.folder, 'family.json'), 'utf8'))).toEqual(family);
  });

  it('asks for networks of the data’s classes, none above its resolution, and each once', () => {
    const asked = requestsIn(record);
    const built = asked.filter(({ op }) => op === 'build');
    expect(new Set(built.map(({ multipliers }) => JSON.stringify(multipliers))).size).toBe(built.length);
    expect(built.every(({ classes, resolution }) => classes === 4 && resolution <= 16)).toBe(true);
    const trained = asked.filter(({ op }) => op === 'train-model');
    expect(trained.map(({ fidelity, seed }) => [fidelity?.examples, seed])).toEqual([
      [60, 0],
      [60, 0],
      [120, 0],
      [120, 1],
      [120, 0],
      [120, 1],
    ]);
  });

  it('begun again, asks for nothing and measures nothing', async () => {
    const before = requestsIn(record).length;
    const meter = new FileMeter();
    expect(await scale(path, { ...options, makeMeter: () => meter })).toEqual(family);
    const after = requestsIn(record).slice(before);
    expect(after.every(({ op }) => op === 'describe')).toBe(true);
    expect(meter.measured).toBe(0);
  });

  it('killed in the middle, goes on from there to the same family', async () => {
    const copy = newFolder();
    cpSync(options.folder, copy, { recursive: true });
    const journal = join(copy, 'scaling.jsonl');
    const lines = readFileSync(journal, 'utf8').split('\n');
    writeFileSync(journal, `${lines.slice(0, Math.floor(0.6 * lines.length)).join('\n')}\n`);
    expect(await scale(path, { folder: copy })).toEqual(family);
  }, 60_000);

  it('refuses to go on as another one', async () => {
    const call = scale(path, options, { seed: 1 });
    await expect(call).rejects.toThrow(ConfigError);
    await expect(call).rejects.toThrow(/expected to go on with the scaling that was begun there/);
  });

  it('stops when interrupted, and says so', async () => {
    const controller = new AbortController();
    const stop = { signal: controller.signal, onProgress: () => controller.abort() };
    await expect(scale(path, stop)).rejects.toThrow(InterruptedError);
  });
});

const small = {
  family: { cpu: ['2x'] },
  scale: { trials: 1, examples: 60 },
  final: { examples: 60, seeds: 1, baselines: [] },
};

describe('what programs answer is judged:', () => {
  it('networks that cannot be had are left out, and nothing larger is asked for again', async () => {
    const record = join(folder, 'refused.ndjson');
    const family = await scale(declared({ widest: 1, record }), {}, small);
    expect(family.members.map(({ multipliers }) => multipliers.width <= 1)).toEqual([true]);
    const wide = requestsIn(record).flatMap(({ multipliers }) =>
      multipliers && multipliers.width > 1 ? [multipliers] : [],
    );
    expect(wide.length).toBeGreaterThan(0);
    for (const [index, { depth, width, resolution }] of wide.entries())
      for (const refused of wide.slice(0, index))
        expect(depth >= refused.depth && width >= refused.width && resolution >= refused.resolution).toBe(false);
  }, 60_000);

  it('an accuracy that the file does not reach ends it', async () => {
    const call = scale(declared({}, { accuracy: 1 }), {}, small);
    await expect(call).rejects.toThrow(VerificationError);
    await expect(call).rejects.toThrow(/expected the trained file to reach the 100\.00 % that its trainer reported/);
  }, 60_000);

  it('a program that fails ends it, its last words quoted', async () => {
    const path = join(folder, 'failing.yaml');
    const command = [process.execPath, '-e', 'console.error("no licence"); process.exit(78)', '{request}'];
    writeFileSync(path, stringify({ factory: { command, resolution: 8 }, trainer: { command } }));
    const call = scale(path);
    await expect(call).rejects.toThrow(CommandError);
    await expect(call).rejects.toThrow(/no licence/);
  });

  it('one that cannot train what it builds is refused before anything is built', async () => {
    const path = join(folder, 'only-build.yaml');
    const command = [process.execPath, program, 'only-build', '{request}'];
    writeFileSync(path, stringify({ factory: { command, resolution: 8 }, trainer: { command } }));
    await expect(scale(path)).rejects.toThrow(
      /command trainer: expected a program that can train-model, got one that can describe, build/,
    );
  });

  it('a base above its size ends it, and nothing is trained', async () => {
    const at = newFolder();
    await expect(scale(declared(), { folder: at }, { family: { cpu: ['0.5ms'] } })).rejects.toThrow(
      UnreachableLimitError,
    );
    expect(existsSync(join(at, 'family'))).toBe(false);
  });
});

describe('the declaration of a factory', () => {
  it('is told from a network’s by its key', () => {
    expect(isFactoryFile(declared())).toBe(true);
    expect(isFactoryFile('efficientnet-b0')).toBe(false);
    expect(isFactoryFile(join(folder, 'none.yaml'))).toBe(false);
  });

  it.each([
    [{ resolution: 10, resolutionMultiple: 4 }, /expected a multiple of resolutionMultiple 4, got 10/],
    [{ resolutions: 8 }, /"resolutions"/],
    [{ resolution: 'large' }, /factory\.resolution/],
  ])('is refused with %j', (more, message) => {
    const path = declared({}, {}, more);
    expect(() => readFactoryFile(path)).toThrow(ConfigError);
    expect(() => readFactoryFile(path)).toThrow(message);
  });
});
