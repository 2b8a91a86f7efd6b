import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
import { rebuildFactoryResults } from '../../study/factory-results.ts';
import { type FactoryTargetFamily, summariseFactory } from '../../study/factory-summary.ts';
import type { JournalEvent } from '../../study/journal/events.ts';
import { readJournal } from '../../study/journal/journal.ts';
import { scaleFactory, type ScaleFactoryOptions } from '../../study/scale-factory.ts';
import { resolveStudy } from '../../study/resolve-study.ts';
import type { TargetConfig } from '../../study/study-file.ts';
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
/** {@link scale} for its one target. */
const scaleOne = async (...asked: Parameters<typeof scale>): Promise<FactoryTargetFamily> => {
  const { families } = await scale(...asked);
  return families[0] as FactoryTargetFamily;
};

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
  let family: FactoryTargetFamily;

  beforeAll(async () => {
    family = await scaleOne(path, options);
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
    const written: unknown = JSON.parse(readFileSync(join(options.folder, 'family.json'), 'utf8'));
    expect(written).toEqual({ schema: 1, name: 'factory', targets: [family] });
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
    expect(await scaleOne(path, { ...options, makeMeter: () => meter })).toEqual(family);
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
    expect(() => rebuildFactoryResults(copy)).toThrow(/expected a scaling that is finished; the command that began it/);
    expect(await scaleOne(path, { folder: copy })).toEqual(family);
  }, 60_000);

  it('says in its report and its tables what there is, from the journal alone', () => {
    const at = (name: string): string => readFileSync(join(options.folder, name), 'utf8');
    const [page, manifest] = [at('report.html'), at('manifest.json')];
    for (const name of ['report.html', 'manifest.json', 'family.json', 'family.csv'])
      rmSync(join(options.folder, name));
    const summary = rebuildFactoryResults(options.folder);
    expect(at('report.html')).toBe(page);
    expect(at('manifest.json')).toBe(manifest);
    expect(summary.warnings).toEqual([]);
    expect(page).toContain('Test accuracy against latency of one run on cpu');
    expect(page).toContain('Hold-out accuracy against latency of the scalings trained for cpu');
    expect(page).toContain('href="./family/cpu/2x/model.onnx"');
    for (const { digest } of family.members) {
      expect(page).toContain(digest.replace('sha256:', ''));
      expect(manifest).toContain(digest);
    }
    // Of networks that are known by their files alone.
    expect(page).not.toMatch(/params<\/th>|NaN|undefined|<script/);
    expect(at('family.csv').split('\n')[1]).toMatch(/^cpu,family,ridgepoint,1x,/);
    const tried = family.scalings.filter(({ accuracy }) => accuracy !== null);
    expect(tried).toHaveLength(2);
    expect(page.split('not trained').length - 1).toBe(family.scalings.length - tried.length);
  });

  it.each([
    ['1x, 2x', [0.7, 0.8], []],
    ['2x, 1x', [0.8, 0.7], []],
    ['1x, 2x', [0.8, 0.7], ['2x is slower than 1x and less accurate']],
    ['2x, 1x', [0.7, 0.8], ['2x is slower than 1x and less accurate']],
  ])('warns of sizes by their latencies, asked for as %s with accuracies %j: %j', (order, accuracies, warnings) => {
    const events = readJournal(join(options.folder, 'scaling.jsonl')).events.map((event) => {
      if (event.type !== 'decision' || event.id !== 'family cpu') return event;
      const value = event.value as unknown as FactoryTargetFamily;
      const members = order.split(', ').map((name, index) => {
        const member = value.members.find(({ size }) => size === name);
        return { ...member, testAccuracy: { ...member?.testAccuracy, mean: accuracies[index] } };
      });
      return { ...event, value: { ...value, members } } as unknown as JournalEvent;
    });
    expect(summariseFactory(events, 'edited').warnings).toEqual(warnings);
  });

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

describe('scaling it for several targets', () => {
  const two = {
    targets: { near: { device: 'cpu' }, far: { device: 'webgpu', limit: 'p50 < 100ms' } },
    family: { near: ['1x', '2x'], far: ['2x'] },
    scale: { trials: 1, examples: 60 },
    final: { examples: 60, seeds: 1, baselines: [] },
  };

  it('gives each a family of its own; what was built or trained for one is not built or trained again', async () => {
    const record = join(folder, 'several.ndjson');
    const at = newFolder();
    const { families } = await scale(declared({ record }, { record }), { folder: at }, two);
    expect(families.map(({ target, members }) => [target, members.map(({ size }) => size)])).toEqual([
      ['near', ['1x', '2x']],
      ['far', ['2x']],
    ]);
    expect(families.map(({ members }) => members.map(({ limitMet }) => limitMet))).toEqual([[null, null], [true]]);
    for (const { target, members } of families)
      for (const { size } of members) expect(existsSync(join(at, 'family', target, size, 'model.onnx'))).toBe(true);
    // They take as long on both.
    expect(families[1]?.members[0]?.digest).toBe(families[0]?.members[1]?.digest);
    const work = requestsIn(record)
      .filter(({ op }) => op !== 'describe')
      .map(({ op, multipliers, fidelity, seed }) => JSON.stringify([op, multipliers, fidelity?.examples, seed]));
    expect(new Set(work).size).toBe(work.length);
    expect(readFileSync(join(at, 'report.html'), 'utf8')).toContain('href="./family/far/2x/model.onnx"');
  }, 60_000);

  it('ends before anything is trained when the base is above the limit of one', async () => {
    const record = join(folder, 'above.ndjson');
    const above = { ...two, targets: { ...two.targets, far: { device: 'webgpu', limit: 'p50 < 0.1ms' } } };
    await expect(scale(declared({ record }, { record }), {}, above)).rejects.toThrow(UnreachableLimitError);
    expect(requestsIn(record).filter(({ op }) => op === 'train-model')).toEqual([]);
  }, 60_000);
});

describe('what programs answer is judged:', () => {
  it('networks that cannot be had are left out, and nothing larger is asked for again', async () => {
    const record = join(folder, 'refused.ndjson');
    const family = await scaleOne(declared({ widest: 1, record }), {}, small);
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
  it('is refused as the base of a study, which is told what takes it', () => {
    const path = declared();
    expect(() => study({ base: path })).toThrow(ConfigError);
    expect(() => study({ base: path })).toThrow(
      /base: expected a network, got a factory, .*; "ridgepoint scale .*" scales them/,
    );
  });

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
