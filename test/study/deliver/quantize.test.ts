import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { onnxRuntimeAccelerator } from '../../../accelerators/onnxruntime.ts';
import { InterruptedError, InvalidFileError } from '../../../core/errors.ts';
import { Random } from '../../../core/random.ts';
import { noAugmentation } from '../../../data/augment.ts';
import { readDatasetFile, writeDatasetFile } from '../../../data/cache.ts';
import { loadDataset } from '../../../data/load.ts';
import { dataSourceSchema } from '../../../data/source.ts';
import { buildNetwork } from '../../../models/build.ts';
import { exportOnnx } from '../../../models/export.ts';
import { initialWeights } from '../../../models/initialise.ts';
import { decodeOnnx } from '../../../models/onnx.ts';
import { quantizedActivations } from '../../../models/quantize.ts';
import { parseNetworkSpec } from '../../../models/spec.ts';
import { activationRanges } from '../../../study/deliver/activation-ranges.ts';
import { variantOf } from '../../../study/deliver/quantize.ts';
import { imageTask } from '../../../training/image-task.ts';
import { fileFolder } from '../../cases/file-folder.ts';

const folder = fileFolder();
const [modelFile, dataFile] = [join(folder, 'model.onnx'), join(folder, 'data.bin')];
const side = 16;
const calibrated = 64;

const stage = { operator: 'mbconv', kernel: 3, stride: 2, expansion: 4, width: 8, repeats: 2, activation: 'silu' };
const spec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: side },
    classes: 4,
    stem: { kernel: 3, stride: 1, width: 8, activation: 'relu6' },
    stages: [stage, { ...stage, activation: 'relu', squeezeExcite: 0.25 }],
    head: { width: 16 },
  },
  'variant',
);

beforeAll(async () => {
  const source = dataSourceSchema.parse({ format: 'rendered', classes: 4, train: 200, test: 64, resolution: side });
  await writeDatasetFile(await loadDataset(source, { baseDirectory: folder }), dataFile);
  writeFileSync(modelFile, exportOnnx(spec, initialWeights(buildNetwork(spec, 1), new Random('variant')), 'batch'));
});

/** What a network is fed: the examples of the calibration, and those of the test split. */
async function pictures(): Promise<{ readonly calibration: Float32Array; readonly test: Float32Array }> {
  const dataset = await readDatasetFile(dataFile);
  const task = imageTask(dataset, { resolution: side, scoredSplit: 'test', augmentation: noAugmentation });
  const calibration = task.trainingBatches(calibrated, 0).next().value['image'];
  const [test] = [...task.scoringBatches(64)].map((batch) => batch['image']);
  return { calibration: calibration?.data as Float32Array, test: test?.data as Float32Array };
}

async function logitsOf(model: Uint8Array, images: Float32Array): Promise<Float32Array> {
  const session = await onnxRuntimeAccelerator('cpu').open(model, { threads: 1 });
  const dims = [images.length / (3 * side ** 2), 3, side, side];
  const { logits } = await session.run({ image: { dtype: 'float32', dims, data: images } });
  await session.close();
  return logits?.data as Float32Array;
}

const rootMeanSquare = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, value, index) => sum + (value - (b[index] ?? NaN)) ** 2, 0) / a.length);

const request = { modelFile, dataFile, examples: calibrated };

describe('ranges of activations', () => {
  it('hold every value that the examples give, and the least-error ones lie within them', async () => {
    const { ranges: whole, examples } = await activationRanges({ ...request, method: 'min-max' });
    expect(examples).toBe(calibrated);
    const { calibration } = await pictures();
    expect([...whole.keys()]).toEqual(quantizedActivations(decodeOnnx(readFileSync(modelFile), 'model')));
    expect(whole.get('image')).toEqual({ lo: Math.min(...calibration), hi: Math.max(...calibration) });
    const { ranges: drawnIn } = await activationRanges({ ...request, method: 'mse' });
    for (const [activation, { lo, hi }] of whole) {
      const inner = drawnIn.get(activation);
      expect(inner?.lo).toBeGreaterThanOrEqual(lo);
      expect(inner?.hi).toBeLessThanOrEqual(hi);
    }
    expect([...drawnIn.values()]).not.toEqual([...whole.values()]);
    const { examples: all } = await activationRanges({ ...request, examples: 1e6, method: 'min-max' });
    expect(all).toBe(180); // Of 200 a tenth is held out.
  });

  it('are looked for until somebody interrupts', async () => {
    const controller = new AbortController();
    const call = activationRanges(
      { ...request, method: 'mse', examples: 1e6 },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    await expect(call).rejects.toThrow(InterruptedError);
  });
});

describe('a file turned into another precision', () => {
  it('is nearer in fp16 than in int8, and nearer to itself than the logits are spread', async () => {
    const { test } = await pictures();
    const single = await logitsOf(readFileSync(modelFile), test);
    const errorOf = async (precision: 'fp16' | 'int8') =>
      rootMeanSquare(single, await logitsOf(await variantOf({ ...request, precision }), test));
    const [half, int8] = [await errorOf('fp16'), await errorOf('int8')];
    const spread = rootMeanSquare(
      single,
      new Float32Array(single.length).fill(single.reduce((a, b) => a + b, 0) / single.length),
    );
    expect(half).toBeLessThan(0.01 * spread);
    expect(half).toBeLessThan(int8);
    expect(int8).toBeLessThan(0.15 * spread);
  });

  it('is the same file again from the same file and data', async () => {
    const [once, again] = [
      await variantOf({ ...request, precision: 'int8' }),
      await variantOf({ ...request, precision: 'int8' }),
    ];
    expect(again).toEqual(once);
  });

  it('is refused when it is in another precision already', async () => {
    for (const precision of ['int8', 'fp16'] as const) {
      const made = join(folder, `${precision}.onnx`);
      writeFileSync(made, await variantOf({ ...request, precision }));
      await expect(variantOf({ ...request, modelFile: made, precision })).rejects.toThrow(InvalidFileError);
    }
  });
});

/** A Python with onnxruntime and onnx: the one that benches use, or what the PATH has. */
const python = [process.env['RIDGEPOINT_BENCH_PYTHON'], 'python3'].find(
  (command) => command && spawnSync(command, ['-c', 'import onnx, onnxruntime.quantization']).status === 0,
);
if (!python) console.warn('skipped: int8 beside onnxruntime.quantization (no python3 has onnx and onnxruntime)');

const quantizeInPython = `
import sys, numpy, onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
model, ours, images, side, out = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
onnx.checker.check_model(onnx.load(ours), full_check=True)
class Reader(CalibrationDataReader):
    batches = iter(numpy.fromfile(images, dtype=numpy.float32).reshape(-1, 8, 3, side, side))
    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {'image': batch}
quantize_static(model, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
`;

describe.skipIf(python === undefined)('beside the quantiser of onnxruntime in Python', () => {
  it('the file passes the checker of ONNX, and errs no more than a quarter above theirs', async () => {
    const { calibration, test } = await pictures();
    const [ours, theirs, images] = ['ours.onnx', 'theirs.onnx', 'images.f32'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(images, new Uint8Array(calibration.buffer, calibration.byteOffset, calibration.byteLength));
    writeFileSync(ours, await variantOf({ ...request, precision: 'int8', weightBits: 8 }));
    execFileSync(python as string, ['-c', quantizeInPython, modelFile, ours, images, String(side), theirs], {
      stdio: 'pipe',
    });
    const single = await logitsOf(readFileSync(modelFile), test);
    const errorOf = async (path: string) => rootMeanSquare(single, await logitsOf(readFileSync(path), test));
    expect(await errorOf(ours)).toBeLessThan(1.25 * (await errorOf(theirs)));
  });
});
