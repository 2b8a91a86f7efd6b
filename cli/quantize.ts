import { defineCommand } from 'citty';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type ProviderId, providerIds } from '../accelerators/onnxruntime.ts';
import { ConfigError } from '../core/errors.ts';
import { dataSourceSchema } from '../data/source.ts';
import { type ProtocolPreset, protocolPresets } from '../latency/protocol.ts';
import { rangeMethods } from '../models/activation-range.ts';
import { byteSize, percent, signed } from '../report/format.ts';
import { speedText } from '../report/variants.ts';
import { deliveredFiles } from '../study/deliver/export.ts';
import { journalPath } from '../study/journal/journal.ts';
import { variantPrecisions } from '../study/deliver/quantize.ts';
import { quantizeFile, type QuantizedFile, type QuantizeFileRequest } from '../study/deliver/quantize-file.ts';
import { dataArgument, listArgument, numberArgument, oneOf } from './arguments.ts';
import { describeLatency } from './measured-text.ts';
import { openReporter, watchedTogether } from './progress.ts';

/** `ridgepoint quantize model.onnx --data ./photos`: a trained file, or a study's delivered ones, in int8 or fp16, and what that costs and gives. */
export const command = defineCommand({
  args: {
    of: { type: 'positional', description: "ONNX classifier in fp32, or a study's folder", required: true },
    data: { type: 'string', description: "data set it was trained on, as for train; a study's own when left out" },
    precision: { type: 'string', description: variantPrecisions.join(' or '), default: 'int8' },
    calibration: {
      type: 'string',
      description: `of int8, how ranges are found: ${rangeMethods.join(' or ')}`,
      default: 'min-max',
    },
    examples: { type: 'string', description: 'of int8: training examples that ranges are found on', default: '512' },
    'weight-bits': {
      type: 'string',
      description: 'of int8: 7 is right on every CPU; 8 where it has VNNI or is an ARM',
      default: '7',
    },
    mean: { type: 'string', description: 'what the file expects, per channel of pixels in 0–1 (default: as it says)' },
    std: { type: 'string', description: 'the same of the standard deviation' },
    on: { type: 'string', description: 'providers to measure on, comma-separated, or none', default: 'cpu' },
    batch: { type: 'string', description: 'of the measurement', default: '1' },
    threads: { type: 'string', description: 'of the measurement', default: '1' },
    protocol: { type: 'string', description: protocolPresets.join(' or '), default: 'thorough' },
    to: { type: 'string', description: 'new file (default: model-int8.onnx beside model.onnx)' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    const on = listArgument(rawArgs, 'on', args.on);
    const common = {
      precision: oneOf('--precision', variantPrecisions, args.precision),
      method: oneOf('--calibration', rangeMethods, args.calibration),
      examples: numberArgument('--examples', args.examples, 1),
      weightBits: weightBits(args['weight-bits']),
      mean: numbersArgument('--mean', args.mean),
      std: numbersArgument('--std', args.std),
      on: on.includes('none') ? [] : on.map((id) => oneOf<ProviderId>('--on', providerIds, id)),
      batch: numberArgument('--batch', args.batch, 1),
      threads: numberArgument('--threads', args.threads, 1),
      protocol: oneOf<ProtocolPreset>('--protocol', protocolPresets, args.protocol),
      baseDirectory: process.cwd(),
    };
    const files = filesOf(args.of);
    if (files.length > 1 && args.to !== undefined)
      throw new ConfigError(`--to: expected one file to make, got ${files.length} of the study ${args.of}`);
    const data = dataOf(args.of, args.data);
    const reporter = openReporter({ json: args.json ?? false });
    const watched = watchedTogether(reporter, 'files that are whole stay; the same command makes them anew');
    try {
      const results: QuantizedFile[] = [];
      for (const modelFile of files) {
        const to = args.to ?? modelFile.replace(/(\.onnx)?$/, `-${common.precision}.onnx`);
        const result = await quantizeFile({ ...common, modelFile, to, data, ...watched });
        reporter.finish();
        if (!args.json) console.log(describe(modelFile, result));
        results.push(result);
      }
      if (args.json) console.log(JSON.stringify({ schema: 1, files: results }));
    } finally {
      reporter.finish();
    }
  },
});

/** A file alone, or the networks that a study delivered, those that targets share included. */
function filesOf(of: string): readonly string[] {
  if (!existsSync(journalPath(of))) return [of];
  const models = deliveredFiles(of, {}).filter((path) => basename(path) === 'model.onnx');
  return models.map((path) => join(of, path));
}

function dataOf(of: string, text: string | undefined): QuantizeFileRequest['data'] {
  const prepared = join(of, 'data.bin');
  if (text === undefined && existsSync(journalPath(of)) && existsSync(prepared)) return { prepared };
  if (text === undefined) throw new ConfigError(`--data: expected what ${of} was trained on, got none`);
  return dataArgument(dataSourceSchema, text);
}

function describe(from: string, { file, precision, bytes, test, accuracyChange, measured }: QuantizedFile): string {
  return [
    `${file}: ${precision} of ${from}`,
    `  size      ${byteSize(bytes.before)} to ${byteSize(bytes.after)}`,
    `  accuracy  ${percent(test.before.accuracy, 2)} to ${percent(test.after.accuracy, 2)} of ${test.after.examples} test examples (${signed(100 * accuracyChange, 2)} points)`,
    ...measured.flatMap((one) =>
      'refusal' in one
        ? [`  ${one.accelerator}: not run: ${one.refusal}`]
        : [
            `  latency   ${speedText(one.speedUp)}`,
            `    fp32: ${describeLatency(one.before).split('\n').slice(0, 2).join('\n    ')}`,
            `    ${precision}: ${describeLatency(one.after).split('\n').slice(0, 2).join('\n    ')}`,
          ],
    ),
  ].join('\n');
}

function weightBits(text: string): 7 | 8 {
  return oneOf('--weight-bits', ['7', '8'], text) === '7' ? 7 : 8;
}

function numbersArgument(flag: string, text: string | undefined): readonly number[] | undefined {
  const numbers = text?.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  if (numbers?.some((number) => !Number.isFinite(number)))
    throw new ConfigError(`${flag}: expected numbers such as 0.485,0.456,0.406, got ${JSON.stringify(text)}`);
  return numbers;
}
