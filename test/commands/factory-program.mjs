// A factory and trainer for the tests that needs nothing: networks are one convolution whose channels grow with depth
// and width, mean pooling and a classifier, written as ONNX by hand. Training fits the classifier to the classes' mean colours,
// so it really learns a little; `params` of the request say what it does instead.
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const request = JSON.parse(readFileSync(process.argv.at(-1), 'utf8'));
const { result, out } = request.paths;

function answer(value) {
  writeFileSync(`${result}.part`, JSON.stringify(value));
  renameSync(`${result}.part`, result);
}

// Protocol buffers, as much of them as a file of ONNX takes.
const varint = (value) => {
  const bytes = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
};
const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, value) => {
  const content = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
};
const message = (...parts) => Buffer.concat(parts);
const tensor = (name, dims, values) =>
  message(
    ...dims.map((extent) => number(1, extent)),
    number(2, 1),
    bytes(8, name),
    bytes(9, Buffer.from(Float32Array.from(values).buffer)),
  );
const value = (name, dims) => {
  const extents = dims.map((extent) => bytes(1, typeof extent === 'number' ? number(1, extent) : bytes(2, extent)));
  return message(bytes(1, name), bytes(2, bytes(1, message(number(1, 1), bytes(2, message(...extents))))));
};
const ints = (name, list) => message(bytes(1, name), ...list.map((item) => number(8, item)), number(20, 7));
const node = (opType, inputs, outputs, attributes = []) =>
  message(
    ...inputs.map((name) => bytes(1, name)),
    ...outputs.map((name) => bytes(2, name)),
    bytes(3, outputs[0]),
    bytes(4, opType),
    ...attributes.map((attribute) => bytes(5, attribute)),
  );

/** Channels 0 to 2 are the picture's; the others repeat them, for the time they take. */
function network({ multipliers, resolution, channels, classes }, classifier) {
  const hidden = channels * Math.max(1, Math.round(4 * multipliers.depth * multipliers.width));
  const identity = Array.from({ length: hidden * channels }, (_, at) =>
    Math.floor(at / channels) % channels === at % channels ? 1 : 0,
  );
  const weights = Array.from({ length: hidden * classes }, (_, at) =>
    Math.floor(at / classes) < channels ? (classifier?.weights[at] ?? 0) : 0,
  );
  const graph = message(
    bytes(1, node('Conv', ['image', 'w'], ['features'], [ints('kernel_shape', [1, 1])])),
    bytes(1, node('GlobalAveragePool', ['features'], ['pooled'])),
    bytes(1, node('Flatten', ['pooled'], ['flat'])),
    bytes(1, node('Gemm', ['flat', 'c', 'b'], ['logits'])),
    bytes(2, 'tiny'),
    bytes(5, tensor('w', [hidden, channels, 1, 1], identity)),
    bytes(5, tensor('c', [hidden, classes], weights)),
    bytes(5, tensor('b', [classes], classifier?.bias ?? Array.from({ length: classes }, () => 0))),
    bytes(11, value('image', ['batch', channels, resolution, resolution])),
    bytes(12, value('logits', ['batch', classes])),
  );
  return message(number(1, 8), bytes(7, graph), bytes(8, number(2, 17)));
}

/** Mean colours, normalised, and labels of a split in a prepared data set. */
function colours(path, split) {
  const file = readFileSync(path);
  const headerEnd = 16 + file.readUInt32LE(8);
  const header = JSON.parse(file.toString('utf8', 16, headerEnd));
  const { channels, height, width, splits } = header;
  const plane = height * width;
  const start = headerEnd + (split === 'train' ? 0 : splits.train.count * (2 + channels * plane));
  const { count } = splits[split];
  return Array.from({ length: count }, (_, example) => {
    const at = start + 2 * count + example * channels * plane;
    const means = Array.from({ length: channels }, (_, channel) => {
      const pixels = file.subarray(at + channel * plane, at + (channel + 1) * plane);
      return (pixels.reduce((sum, pixel) => sum + pixel, 0) / plane / 255 - header.mean[channel]) / header.std[channel];
    });
    return { label: file.readUInt16LE(start + 2 * example), means };
  });
}

/** The nearest class mean as a linear classifier: x · 2m − |m|². */
function nearestMean(examples, channels, classes) {
  const sums = Array.from({ length: classes }, () => ({ count: 0, means: Array.from({ length: channels }, () => 0) }));
  for (const { label, means } of examples) {
    sums[label].count++;
    means.forEach((mean, channel) => (sums[label].means[channel] += mean));
  }
  const centres = sums.map(({ count, means }) => means.map((sum) => sum / Math.max(1, count)));
  const weights = Array.from(
    { length: channels * classes },
    (_, at) => 2 * centres[at % classes][Math.floor(at / classes)],
  );
  return { weights, bias: centres.map((centre) => -centre.reduce((sum, mean) => sum + mean ** 2, 0)) };
}

function accuracyOf({ weights, bias }, examples) {
  const classes = bias.length;
  const right = examples.filter(({ label, means }) => {
    const logits = bias.map((start, k) => means.reduce((sum, mean, c) => sum + mean * weights[c * classes + k], start));
    return logits.indexOf(Math.max(...logits)) === label;
  });
  return right.length / examples.length;
}

const { params = {} } = request;
if (params.record) appendFileSync(params.record, `${JSON.stringify(request)}\n`);
if (request.op === 'describe') {
  answer({
    status: 'ok',
    name: 'tiny-factory',
    version: '1',
    operations: ['describe', ...(process.argv[2] === 'only-build' ? ['build'] : ['build', 'train-model'])],
    onThisHost: false,
  });
} else if (request.op === 'build') {
  if (params.widest && request.multipliers.width > params.widest)
    answer({ status: 'infeasible', reason: 'invalid-shape', detail: 'wider than it can be' });
  else {
    writeFileSync(join(out, 'network.onnx'), network(request));
    answer({ status: 'ok', onnx: 'network.onnx' });
  }
} else if (request.op === 'train-model') {
  if (request.data.file === undefined || readFileSync(request.model.onnx).length === 0) process.exit(1);
  console.log(`@ridgepoint ${JSON.stringify({ t: 'progress', examples: request.fidelity.examples })}`);
  const train = colours(request.data.file, 'train').slice(0, request.fidelity.examples);
  const classifier = nearestMean(train, request.channels, request.classes);
  const holdout = colours(request.data.file, 'holdout');
  const file = network(request, classifier);
  writeFileSync(join(out, 'trained.onnx'), file);
  answer({
    status: 'ok',
    metrics: {
      accuracy: { value: params.accuracy ?? accuracyOf(classifier, holdout), split: 'holdout', n: holdout.length },
    },
    artefacts: [{ kind: 'onnx', path: 'trained.onnx', sha256: createHash('sha256').update(file).digest('hex') }],
  });
} else process.exit(2);
