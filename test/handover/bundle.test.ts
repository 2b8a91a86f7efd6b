import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { digestBytes } from '../../core/digest.ts';
import { ConfigError, InvalidFileError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { handOver, type HandoverFormat } from '../../handover/export.ts';
import type { BundleManifest } from '../../handover/manifest.ts';
import { preprocessingFile } from '../../handover/bundle.ts';
import { nodeProgram, pythonProgram } from '../../handover/programs.ts';
import { ParityError } from '../../handover/python.ts';
import { folderSubjects, specSubject } from '../../handover/subject.ts';
import { type Finding, findBundles, verifyBundle } from '../../handover/verify.ts';
import type { Meter } from '../../latency/isolate.ts';
import type { Latency } from '../../latency/latency.ts';
import { perExample } from '../../latency/setting.ts';
import { exportOnnx } from '../../models/export.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { decodeSafetensors, encodeSafetensors } from '../../models/safetensors.ts';
import { trainNetwork } from '../../study/train/train-network.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { trainedLikeWeights } from '../models/fixture.ts';
import { newFolder, runFake, smallStudy } from '../study/small-study.ts';
import { absent, pythonWith } from './python.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = fileFolder();
const trained = join(folder, 'trained');
const bundle = join(folder, 'bundle');
const data = dataSourceSchema.parse({ format: 'rendered', classes: 3, train: 60, test: 40, resolution: 16 });
const network = parseNetworkSpec(
  {
    name: 'tiny',
    input: { channels: 3, resolution: 16 },
    classes: 3,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 1, squeezeExcite: 0.5 }],
    head: { width: 0 },
  },
  'test',
);

beforeAll(async () => {
  await trainNetwork({
    network,
    data,
    baseDirectory: folder,
    trainer: { batchSize: 8 },
    fidelity: { examples: 240, seed: 1 },
    threads: 1,
    folder: trained,
  });
  await handOver({ subjects: await folderSubjects(trained, {}), format: 'bundle', to: bundle });
  // What a user gets by npm install.
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
});

const manifestOf = (place: string) => JSON.parse(readFileSync(join(place, 'manifest.json'), 'utf8')) as BundleManifest;

/** A copy of the bundle with files changed, their digests set right. */
function altered(name: string, change: (place: string) => void): string {
  const copy = join(folder, name);
  cpSync(bundle, copy, { recursive: true });
  change(copy);
  const manifest = manifestOf(copy);
  for (const [file, entry] of Object.entries(manifest.files))
    entry.sha256 = digestBytes(readFileSync(join(copy, file))).replace('sha256:', '');
  writeFileSync(join(copy, 'manifest.json'), JSON.stringify(manifest));
  return copy;
}

const latency = (p50Ms: number): Latency => ({
  source: 'measured',
  accelerator: 'cpu',
  batch: 1,
  threads: 1,
  precision: 'fp32',
  p50Ms,
  p90Ms: p50Ms,
  p99Ms: null,
  intervalMs: { percentile: 50, level: 0.95, lo: 0.98 * p50Ms, hi: 1.02 * p50Ms },
  sessions: 8,
  samples: 100,
  stable: true,
  drift: 0,
  rejectedBlocks: 0,
  includesIo: true,
  calibrated: true,
  fingerprint: null,
});

/** Where a limit is of the p99. */
const tail = (ms: number): Latency => ({
  ...latency(ms),
  p99Ms: 1.5 * ms,
  intervalMs: { percentile: 99, level: 0.95, lo: 1.4 * ms, hi: 1.6 * ms },
});

const eight = (ms: number): Latency => perExample({ ...latency(ms), batch: 8 });

/** What is found in a bundle by what, where a run takes 2 ms. */
async function verdicts(place: string, changes: object = {}): Promise<Record<string, Finding['verdict']>> {
  const findings = await verifyBundle({
    folder: place,
    accelerator: 'cpu',
    baseDirectory: folder,
    measure: () => Promise.resolve(latency(2)),
    ...changes,
  });
  return Object.fromEntries(findings.map(({ what, verdict }) => [what, verdict]));
}

/** The bundle with a latency that it claims. */
function claiming(name: string, measured: Latency): string {
  return altered(name, (place) => {
    const manifest = manifestOf(place);
    manifest.claims.latency = { measured, how: 'test' };
    writeFileSync(join(place, 'manifest.json'), JSON.stringify(manifest));
  });
}

describe('a bundle', () => {
  it('holds what running a network elsewhere takes, each file with its digest and what it is', () => {
    const { files, claims, licences, versions } = manifestOf(bundle);
    const names = ['labels.json', 'metrics.json', 'model.onnx', 'parity.safetensors', 'preprocessing.json'];
    expect(Object.keys(files).toSorted()).toEqual([...names, 'run.mjs', 'run.py', 'spec.yaml']);
    expect(readdirSync(bundle).toSorted()).toEqual([...Object.keys(files), 'manifest.json'].toSorted());
    expect(licences).toEqual({ programs: 'Apache-2.0', weights: null, trainingData: null });
    expect(versions.onnxOpset).toBe(17);
    expect(claims.accuracy).toMatchObject({ examples: 40, data: { name: 'rendered-16' } });
    expect(readFileSync(join(bundle, 'model.onnx'))).toEqual(readFileSync(join(trained, 'model.onnx')));
  });

  it('is as claimed where it was made, and says what nobody looked at', async () => {
    expect(await verdicts(bundle, { data })).toEqual({
      files: 'ok',
      parity: 'ok',
      accuracy: 'ok',
      latency: 'skipped',
    });
    expect(await verdicts(bundle)).toMatchObject({ accuracy: 'skipped' });
  });

  it('fails when a file was changed, is missing or is not listed', async () => {
    const changed = join(folder, 'changed');
    cpSync(bundle, changed, { recursive: true });
    writeFileSync(join(changed, 'labels.json'), '[]');
    expect(await verdicts(changed)).toEqual({ files: 'fails' });
    rmSync(join(changed, 'labels.json'));
    expect(await verdicts(changed)).toEqual({ files: 'fails' });
    const unlisted = altered('unlisted', (place) => {
      const { 'parity.safetensors': _, ...files } = manifestOf(place).files;
      writeFileSync(join(place, 'manifest.json'), JSON.stringify({ ...manifestOf(place), files }));
    });
    expect(await verdicts(unlisted)).toEqual({ files: 'fails' });
  });

  it('fails when the network computes something else than its parity vectors', async () => {
    const wrong = altered('wrong-logits', (place) => {
      const path = join(place, 'parity.safetensors');
      const stored = decodeSafetensors(readFileSync(path), path);
      const logits = stored.weights.get('logits') as Float32Array;
      const largest = Math.max(...logits.map(Math.abs));
      logits[0] = (logits[0] as number) + 0.0024 * largest; // The mildest mistake that was tried.
      writeFileSync(path, encodeSafetensors(stored));
    });
    expect(await verdicts(wrong)).toMatchObject({ files: 'ok', parity: 'fails' });
  });

  it('fails when the same data gives another accuracy, and differs on other data', async () => {
    const boasting = altered('boasting', (place) => {
      const manifest = manifestOf(place);
      if (manifest.claims.accuracy) manifest.claims.accuracy.test = 0.99;
      writeFileSync(join(place, 'manifest.json'), JSON.stringify(manifest));
    });
    expect(await verdicts(boasting, { data })).toMatchObject({ accuracy: 'fails' });
    expect(await verdicts(boasting, { data: { ...data, seed: 5 } })).toMatchObject({ accuracy: 'differs' });
  });

  it('differs, and does not fail, where a run takes another time', async () => {
    expect(await verdicts(claiming('same', latency(2)))).toMatchObject({ latency: 'ok' });
    expect(await verdicts(claiming('faster', latency(1)))).toMatchObject({ latency: 'differs' });
  });

  it('compares the percentile that a claimed interval is of, and times of one example where the claim is of one', async () => {
    const measure: Meter['measure'] = ({ percentile, setting: { batch } }) =>
      Promise.resolve({ ...(percentile === 99 ? tail(2) : latency(2)), batch });
    expect(await verdicts(claiming('tail', tail(2)), { measure })).toMatchObject({ latency: 'ok' });
    // Its p99 is where the median is here.
    expect(await verdicts(claiming('fast-tail', tail(2 / 1.5)), { measure })).toMatchObject({ latency: 'differs' });
    expect(await verdicts(claiming('eight', eight(2)), { measure })).toMatchObject({ latency: 'ok' });
    expect(await verdicts(claiming('eight-slow', eight(16)), { measure })).toMatchObject({ latency: 'differs' });
  });

  it('is refused with the place where it is not one, or the data is of other classes', async () => {
    expect(() => findBundles(trained)).toThrow(ConfigError);
    const installed = join(trained, 'node_modules', 'package');
    mkdirSync(installed, { recursive: true });
    writeFileSync(join(installed, 'manifest.json'), '{}');
    expect(() => findBundles(trained)).toThrow(ConfigError);
    expect(findBundles(bundle)).toEqual([bundle]);
    const odd = altered('odd', () => {});
    writeFileSync(join(odd, 'manifest.json'), JSON.stringify({ ...manifestOf(odd), extra: 1 }));
    await expect(verdicts(odd)).rejects.toThrow(InvalidFileError);
    const fewer = dataSourceSchema.parse({ ...data, classes: 2 });
    await expect(verdicts(bundle, { data: fewer })).rejects.toThrow(/expected the bundle's 3 classes .* class 2 is/);
  });
});

/** What a program of a bundle prints. */
interface Answer {
  readonly label: string;
  readonly index: number;
  readonly logit: number;
}

function answer(program: string, args: readonly string[]): Answer {
  return JSON.parse(execFileSync(program, args, { encoding: 'utf8' })) as Answer;
}

/** A picture of the network's own size as preprocessing.json says, by hand. */
async function classified(pixels: Uint8Array): Promise<Answer> {
  const { mean, std } = JSON.parse(readFileSync(join(bundle, 'preprocessing.json'), 'utf8')) as {
    mean: number[];
    std: number[];
  };
  const image = new Float32Array(3 * 256);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < 256; i++)
      image[c * 256 + i] = ((pixels[3 * i + c] as number) / 255 - (mean[c] as number)) / (std[c] as number);
  const session = await onnxRuntimeAccelerator('cpu').open(readFileSync(join(bundle, 'model.onnx')), { threads: 1 });
  const { logits } = await session.run({ image: { dtype: 'float32', dims: [1, 3, 16, 16], data: image } });
  await session.close();
  const values = logits?.data as Float32Array;
  const index = values.indexOf(Math.max(...values));
  const labels = JSON.parse(readFileSync(join(bundle, 'labels.json'), 'utf8')) as string[];
  return { label: labels[index] as string, index, logit: values[index] as number };
}

describe('the programs of a bundle', () => {
  const picture = join(folder, 'picture.png');
  let expected: Answer;

  beforeAll(async () => {
    const random = new Random('picture');
    const pixels = Uint8Array.from({ length: 16 * 16 * 3 }, () => random.integer(256));
    await sharp(pixels, { raw: { width: 16, height: 16, channels: 3 } })
      .png()
      .toFile(picture);
    expected = await classified(pixels);
  });

  it('in Node says of a picture what the network says', () => {
    const { logit, ...said } = answer(process.execPath, [join(bundle, 'run.mjs'), picture]);
    expect(said).toEqual({ label: expected.label, index: expected.index });
    expect(logit).toBeCloseTo(expected.logit, 4);
  });

  const python = pythonWith('onnxruntime', 'numpy', 'PIL');
  const skip = absent(python, 'onnxruntime', 'numpy', 'PIL');

  it.skipIf(skip)(`in Python says the same, of large pictures too${skip}`, async () => {
    const { logit, ...said } = answer(python as string, [join(bundle, 'run.py'), picture]);
    expect(said).toEqual({ label: expected.label, index: expected.index });
    expect(logit).toBeCloseTo(expected.logit, 4);
    const large = join(folder, 'large.png');
    await sharp(picture).resize(90, 60, { fit: 'fill', kernel: 'cubic' }).toFile(large);
    const [node, other] = [
      answer(process.execPath, [join(bundle, 'run.mjs'), large]),
      answer(python as string, [join(bundle, 'run.py'), large]),
    ];
    // Two libraries resize a little differently.
    expect(Math.abs(node.logit - other.logit)).toBeLessThan(0.1);
  });

  it.each(['grey', 'as-stored'] as const)('take %s input', async (channelOrder) => {
    const channels = channelOrder === 'grey' ? 1 : 2;
    const spec = parseNetworkSpec({ ...network, input: { channels, resolution: 16 } }, 'test');
    const place = join(folder, channelOrder);
    mkdirSync(place);
    const settings = preprocessingFile(spec, {
      channelOrder,
      fit: 'centre-crop',
      mean: Array<number>(channels).fill(0.5),
      std: Array<number>(channels).fill(0.5),
      resizeFilter: 'bilinear',
      classNames: ['a', 'b', 'c'],
    });
    writeFileSync(join(place, 'model.onnx'), exportOnnx(spec, trainedLikeWeights(spec), 'batch'));
    writeFileSync(join(place, 'preprocessing.json'), JSON.stringify(settings));
    writeFileSync(join(place, 'labels.json'), '["a", "b", "c"]');
    writeFileSync(join(place, 'run.mjs'), nodeProgram(settings));
    writeFileSync(join(place, 'run.py'), pythonProgram(settings));
    const bytes = join(place, 'input.bin');
    writeFileSync(bytes, new Uint8Array(2 * 256).fill(70));
    const input = channelOrder === 'grey' ? picture : bytes;
    const said = answer(process.execPath, [join(place, 'run.mjs'), input]);
    expect(['a', 'b', 'c']).toContain(said.label);
    if (python) expect(answer(python, [join(place, 'run.py'), input]).logit).toBeCloseTo(said.logit, 1);
  });
});

/** A stand-in for Python: what it says and ends with when it is given a file to run. */
function pretend(name: string, script: string): void {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  process.env['RIDGEPOINT_PYTHON'] = path;
}

/** A path to write to. */
const to = (name: string) => join(folder, name);

describe('handing over', () => {
  const real = process.env['RIDGEPOINT_PYTHON'];
  afterEach(() => {
    if (real === undefined) delete process.env['RIDGEPOINT_PYTHON'];
    else process.env['RIDGEPOINT_PYTHON'] = real;
  });

  const subjects = [specSubject(network, 3)];

  it('says what source differs from the ONNX file by, and that nobody compared it where no Python can', async () => {
    pretend('agrees', 'echo "difference 2.0e-07, tolerance 0.001"');
    const [agreeing] = await handOver({ subjects, format: 'pytorch', to: to('agreeing') });
    expect(agreeing?.check).toEqual({ checked: true, difference: 2e-7 });
    pretend('bare', 'exit 1');
    const [unchecked] = await handOver({ subjects, format: 'keras', to: to('unchecked') });
    expect(unchecked?.check).toMatchObject({ checked: false, because: expect.stringContaining('no keras') });
    expect(readdirSync(to('unchecked')).toSorted()).toEqual(['model.py', 'parity.safetensors', 'weights.safetensors']);
  });

  it('leaves nothing of source that disagrees with the ONNX file', async () => {
    pretend('disagrees', '[ "$1" = -c ] && exit 0; echo "difference 2.0e-01, tolerance 0.001"; exit 1');
    await expect(handOver({ subjects, format: 'pytorch', to: to('wrong') })).rejects.toThrow(ParityError);
    expect(readdirSync(folder).filter((name) => name.startsWith('wrong.') || name === 'wrong')).toEqual([]);
  });

  it('gives source alone of a network without weights, and refuses what needs them', async () => {
    const untrained = [specSubject(network, undefined)];
    const [source] = await handOver({ subjects: untrained, format: 'keras', to: to('source') });
    expect(source?.files).toEqual(['model.py']);
    for (const format of ['onnx', 'safetensors'] satisfies HandoverFormat[])
      await expect(handOver({ subjects: untrained, format, to: to('none') })).rejects.toThrow(/expected weights/);
    await expect(handOver({ subjects, format: 'bundle', to: to('none') })).rejects.toThrow(/nobody has trained/);
    await expect(handOver({ subjects, format: 'onnx', to: bundle })).rejects.toThrow(/does not exist yet/);
    expect(existsSync(to('none'))).toBe(false);
  });

  it('makes a bundle of each network of a study, with the claims of its delivery', async () => {
    const study = newFolder();
    await runFake(smallStudy({ final: { examples: 200, seeds: 1, baselines: [] } }), study);
    const handed = await handOver({ subjects: await folderSubjects(study, {}), format: 'bundle', to: to('family') });
    expect(handed.map(({ place }) => place)).toEqual(['family/edge/1x', 'family/edge/2x']);
    expect(findBundles(to('family'))).toHaveLength(2);
    const place = join(to('family'), 'family/edge/2x');
    const { claims, files } = manifestOf(place);
    expect(claims).toMatchObject({
      accuracy: { examples: 50, data: { digest: expect.stringMatching(/^sha256:/) } },
      latency: { measured: { accelerator: 'simulated' } },
    });
    expect(Object.keys(files)).toContain('card.md');
    const source = dataSourceSchema.parse({ format: 'rendered', classes: 4, train: 200, test: 50, resolution: 16 });
    expect(await verdicts(place, { data: source })).toEqual({
      files: 'ok',
      parity: 'ok',
      accuracy: 'ok',
      latency: 'differs',
    });
    const [weights] = await folderSubjects(study, { size: '1x' });
    expect(weights?.weights?.size).toBeGreaterThan(10);
  });
});
