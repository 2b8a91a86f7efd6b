// A training program for the tests that learns nothing: it returns the weights it was given, and the accuracy they
// have on the hold-out. `params` of the request say what it does instead.
import { createHash } from 'node:crypto';
import { appendFileSync, copyFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const request = JSON.parse(readFileSync(process.argv.at(-1), 'utf8'));
const { result, state, out } = request.paths;
// Without a study, arguments say what params do.
const params = { ...request.params, ...(process.argv.length > 3 ? JSON.parse(process.argv[2]) : {}) };

function answer(value) {
  writeFileSync(`${result}.part`, JSON.stringify(value));
  renameSync(`${result}.part`, result);
}
const event = (value) => console.log(`@ridgepoint ${JSON.stringify(value)}`);

/** How often a thing happened on this state, this time included. */
function times(what) {
  const file = join(state, what);
  appendFileSync(file, '.');
  return readFileSync(file).length;
}

/** Images and labels of the hold-out in a prepared data set. */
function readHoldout(path) {
  const bytes = readFileSync(path);
  const headerEnd = 16 + bytes.readUInt32LE(8);
  const header = JSON.parse(bytes.toString('utf8', 16, headerEnd));
  const { channels, height, width, splits } = header;
  const values = channels * height * width;
  const start = headerEnd + splits.train.count * (2 + values);
  const { count } = splits.holdout;
  const pixels = bytes.subarray(start + 2 * count, start + (2 + values) * count);
  const labels = Array.from({ length: count }, (_, index) => bytes.readUInt16LE(start + 2 * index));
  return { ...header, values, count, pixels, labels };
}

async function holdoutAccuracy() {
  const { channels, height, width, values, count, pixels, labels } = readHoldout(request.data.file);
  const { mean, std } = request.data;
  const spec = JSON.parse(readFileSync(request.spec.file, 'utf8'));
  if (spec.input.resolution !== height) throw new Error(`expected ${spec.input.resolution} px, got ${height}`);
  const images = Float32Array.from(pixels, (pixel, index) => {
    const channel = Math.floor(index / (height * width)) % channels;
    return (pixel / 255 - mean[channel]) / std[channel];
  });
  if (images.length !== values * count) throw new Error(`expected ${values * count} pixels, got ${images.length}`);
  // Only where it is needed: loading it takes longer than everything else here.
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const session = await InferenceSession.create(request.files.onnx, { intraOpNumThreads: 1 });
  const { logits } = await session.run({ image: new Tensor('float32', images, [count, channels, height, width]) });
  const classes = logits.dims[1];
  const right = labels.filter((label, row) => {
    const scores = logits.data.subarray(row * classes, (row + 1) * classes);
    return scores.indexOf(Math.max(...scores)) === label;
  });
  return { value: right.length / count, split: 'holdout', n: count };
}

/** A file among the results, with its digest. */
function artefact(bytes) {
  writeFileSync(join(out, 'weights.safetensors'), bytes);
  return { kind: 'weights', path: 'weights.safetensors', sha256: createHash('sha256').update(bytes).digest('hex') };
}

if (request.op === 'describe') {
  // Elsewhere: it uses no time worth waiting for.
  answer({ status: 'ok', name: 'learns-nothing', version: '1', operations: ['describe', 'train'], onThisHost: false });
} else if (request.op !== 'train') {
  process.exit(2);
} else {
  if (params.record) appendFileSync(params.record, `${JSON.stringify(request)}\n`);
  event({ t: 'progress', examples: request.fidelity.examples / 2, metrics: { loss: 2 }, imagesPerS: 100 });
  if (params.handle) event({ t: 'handle', handle: { job: `${request.trial}-${request.attempt}` } });
  if (params.preempted && times(`preempted-${request.trial}`) <= params.preempted) process.exit(75);
  if (params.crashes && times(`crashed-${request.trial}`) <= params.crashes) process.exit(1);
  if (params.exit) process.exit(params.exit);
  if (request.fidelity.examples >= 1e9) {
    // Long enough to be stopped.
    setInterval(() => {}, 1000);
  } else if (params.hang && !existsSync(join(state, 'hung'))) {
    writeFileSync(join(state, 'hung'), '');
    setInterval(() => {}, 1000);
  } else if (params.answer) {
    answer(params.answer);
  } else {
    if (params.weights) copyFileSync(params.weights, request.files.weights);
    const accuracy = params.accuracy ?? (await holdoutAccuracy());
    const artefacts = request.keepWeights ? [artefact(readFileSync(request.files.weights))] : [];
    if (params.sha256 && artefacts[0]) artefacts[0].sha256 = params.sha256;
    answer({ status: 'ok', metrics: { accuracy }, cost: { deviceHours: 0.5, imagesPerS: 321 }, artefacts });
  }
}
