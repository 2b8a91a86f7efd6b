import type { Latency } from '../latency/latency.ts';
import { limitDoubt } from '../latency/setting.ts';
import { minimumRuntime, type Preprocessing } from '../models/export.ts';
import type { MemberSummary, StudySummary, TargetSummary } from '../study/deliver/summary.ts';
import type { Schedule } from '../training/schedule.ts';
import type { Recipe } from '../training/trainer.ts';
import { amount, byteSize, grouped, milliseconds, percent, percentNumber, plural, utcMinute } from './format.ts';
import { limitMetText, verdictText } from './source.ts';
import { limitText } from './headline.ts';
import { type DeliveredVariant, type MadeVariant, variantText } from './variants.ts';

/** What a card is written from. */
export interface CardInput {
  readonly member: MemberSummary;
  readonly target: TargetSummary;
  readonly summary: StudySummary;
  /** What the file's metadata says of its input. */
  readonly preprocessing: Preprocessing;
  /** Of the file, `sha256:…`. */
  readonly digest: string;
  /** How it was trained, and on how many examples; left out of the card when absent. */
  readonly recipe?: Recipe;
  readonly trainingExamples?: number;
  /** Size of the file. */
  readonly bytes?: number;
  /** The same network in other precisions, beside the file. */
  readonly variants?: readonly DeliveredVariant[];
}

/**
 * Model card of one delivered network, in Markdown: what it is, what to feed it, how good and how
 * fast it is and how that is known, how it was trained, what to be careful about, how to run it.
 */
export function modelCard(input: CardInput): string {
  const { member, target, summary } = input;
  const sections = [
    `# ${inline(summary.name)} ${inline(member.size)} for ${inline(target.name)}\n\n${introduction(input)}`,
    `## Input\n\n${inputSection(input)}`,
    `## Results\n\n${resultSection(input)}`,
    `## Latency\n\n${latencySection(member.latency)}`,
    ...(input.variants?.length ? [`## Other precisions\n\n${variantSection(input, input.variants)}`] : []),
    `## Training\n\n${trainingSection(input)}`,
    `## Limits\n\n${limitSection(input)}`,
    `## Run it\n\nNeeds ${inline(minimumRuntime)} or later (ONNX opset 17).\n\n${runSection(input)}`,
  ];
  return `${sections.join('\n\n')}\n`;
}

function introduction({ member, summary, digest, bytes, target }: CardInput): string {
  const { spec, count, multipliers } = member;
  const what = spec
    ? `An image classifier of ${spec.classes} classes at ${spec.input.resolution} × ${spec.input.resolution} pixels`
    : 'An image classifier';
  const size = count ? `, ${amount(count.params)} parameters and ${amount(count.macs)} multiply-adds an image` : '';
  const scaled = multipliers
    ? `, scaled from the study’s base by depth × ${multipliers.depth.toFixed(2)}, width × ${multipliers.width.toFixed(2)}, ` +
      `resolution × ${multipliers.resolution.toFixed(2)} (as realised after rounding)`
    : '';
  const file = bytes === undefined ? '' : ` (${byteSize(bytes)})`;
  return (
    `${what}${size}. It was searched for, scaled and trained by Ridgepoint on \`${code(summary.data.name)}\` ` +
    `for \`${code(target.name)}\`${scaled}.\n\n` +
    `File: \`model.onnx\`${file}, \`${digest}\`. Made ${utcMinute(summary.createdMs)}, seed ${summary.seed}.`
  );
}

function inputSection({ member, preprocessing }: CardInput): string {
  const { channelOrder, fit, mean, std, resizeFilter, classNames } = preprocessing;
  const px = member.spec?.input.resolution;
  const channels = member.spec?.input.channels ?? mean.length;
  const shape = px === undefined ? '' : ` \`[batch, ${channels}, ${px}, ${px}]\``;
  return bullets([
    `Tensor \`image\`, float32${shape}, channels first, order ${channelOrder}.`,
    fit === 'centre-crop' && 'Apply the EXIF orientation, put transparency on black, crop the largest centred square.',
    px !== undefined && `Resize to ${px} × ${px} with the filter \`${code(resizeFilter)}\`.`,
    `Normalise each channel: x = (pixel ÷ 255 − mean) ÷ std, mean [${numbers(mean)}], std [${numbers(std)}].`,
    `Output \`logits\`, float32 \`[batch, ${classNames.length}]\`; classes in order: ${listed(classNames)}.`,
  ]);
}

function resultSection({ member, summary, target }: CardInput): string {
  const { testAccuracy, holdoutAccuracy, limitMet } = member;
  const rows: readonly (readonly [string, string])[] = [
    [`top-1, test (${grouped(summary.data.test)} images, read once)`, accuracyText(testAccuracy)],
    ...(holdoutAccuracy
      ? ([[`top-1, hold-out (${grouped(summary.data.holdout)} images)`, accuracyText(holdoutAccuracy)]] as const)
      : []),
    ...(member.freshAccuracy === undefined
      ? []
      : ([['the same by seeds that did not choose this network', percent(member.freshAccuracy, 2)]] as const)),
    ...(member.delivered
      ? ([
          [
            `top-1 of this file, seed ${member.delivered.seed} (the best on the hold-out), test`,
            percent(member.delivered.testAccuracy, 2),
          ],
        ] as const)
      : []),
    ...(target.limit && limitMet !== null
      ? ([[`limit ${limitText(target.limit)}`, limitMet === true ? 'met' : `**${limitMetText(limitMet)}**`]] as const)
      : []),
  ];
  const each = testAccuracy.values.map((value) => percentNumber(value, 2)).join(', ');
  const spread =
    testAccuracy.sd === null
      ? 'One training seed: how much another seed would differ is not known.'
      : `± is one standard deviation over ${plural(testAccuracy.values.length, 'training seed')} (test: ${each}).`;
  return `${markdownTable(['measure', 'value'], rows)}\n\n${spread}`;
}

function latencySection(latency: Latency): string {
  const { intervalMs, sessions, samples, stable, fingerprint, source, reported = false } = latency;
  const p99 =
    latency.p99Ms === null
      ? reported
        ? 'not reported'
        : `not given: ${grouped(samples)} runs are too few (300 are needed) to tell a p99 from a maximum`
      : milliseconds(latency.p99Ms);
  const rows: readonly (readonly [string, string])[] = [
    ['p50', milliseconds(latency.p50Ms)],
    [
      `${percent(intervalMs.level, 0)} interval of the p${intervalMs.percentile}`,
      `${milliseconds(intervalMs.lo)} to ${milliseconds(intervalMs.hi)}`,
    ],
    ['p90', milliseconds(latency.p90Ms)],
    ['p99', p99],
    ['one run', `batch ${latency.batch}, ${plural(latency.threads, 'thread')}, ${latency.precision}`],
    ['verdict', stable ? verdictText(latency) : '**unstable**: take the interval, not the p50'],
  ];
  const protocol = reported
    ? `Percentiles as the user’s own program reported them, in ${plural(sessions, 'session')}; nobody saw the runs they are of.`
    : source !== 'predicted'
      ? `The delivered file, measured ${source === 'command' ? 'by the user’s own program ' : ''}in ${plural(sessions, 'fresh session')} (${plural(samples, 'run')} in all); the interval ` +
        `comes from the spread between sessions. ${plural(latency.rejectedBlocks, 'block')} rejected, drift of the reference kernel ` +
        `${percent(latency.drift)}. Copies to and from the device are ${latency.includesIo ? '' : 'not '}included.`
      : `Predicted, not measured${latency.calibrated ? '' : `; the profile was never calibrated in ${latency.precision}: good for ranking only`}.`;
  const software = fingerprint?.software;
  const emulation = software === undefined ? '' : ` (emulated on the CPU by ${inline(software)}: no GPU’s latency)`;
  const place = fingerprint
    ? `Where: ${inline(fingerprint.cpu)}${fingerprint.cores > 0 ? ` (${plural(fingerprint.cores, 'core')})` : ''}, ${inline(fingerprint.os)}, host ` +
      `${inline(fingerprint.host)}; ${inline(fingerprint.runtime)}, provider ${inline(fingerprint.provider)}${emulation}, Node ${inline(fingerprint.node)}.`
    : 'Where: no fingerprint was recorded.';
  return `${markdownTable(['', latency.per === 'example' ? 'time of one example' : 'time of one run'], rows)}\n\n${protocol}\n\n${place}`;
}

/** The file in other precisions beside it, all of one target and the same test split. */
function variantSection({ member, bytes }: CardInput, variants: readonly DeliveredVariant[]): string {
  const { latency, delivered } = member;
  const made = variants.filter((variant): variant is MadeVariant => 'file' in variant);
  const rows = [
    [
      'model.onnx',
      latency.precision,
      sizeText(bytes),
      delivered ? percent(delivered.testAccuracy, 2) : '–',
      medianText(latency),
    ],
    ...made.map((variant) => [
      inline(variant.file.split('/').at(-1) ?? variant.file),
      variant.precision,
      sizeText(variant.bytes),
      percent(variant.testAccuracy, 2),
      medianText(variant.latency),
    ]),
  ];
  const table = markdownTable(['file', 'precision', 'size', 'top-1, test', 'p50'], rows);
  const lines = bullets(variants.map((variant) => inline(variantText(variant))));
  return `${table}\n\n${lines}\n\nMade from the fp32 file without training; inputs and outputs are float32 as before.`;
}

function sizeText(bytes: number | undefined): string {
  return bytes === undefined ? '–' : byteSize(bytes);
}

function medianText({ p50Ms, intervalMs: { percentile, lo, hi }, stable }: Latency): string {
  const interval = `p${percentile} ${milliseconds(lo)} to ${milliseconds(hi)}`;
  return `${milliseconds(p50Ms)} (${interval})${stable ? '' : ' **unstable**'}`;
}

function trainingSection({ member, summary, recipe, trainingExamples }: CardInput): string {
  const { data } = summary;
  const last = member.curve?.at(-1);
  return bullets([
    `Data: \`${code(data.name)}\`, ${grouped(data.train)} training images of ${data.classes} classes, native ${data.native}, ` +
      `\`${data.digest}\`.`,
    recipe && `Recipe: ${recipeText(recipe)}.`,
    summary.schedule !== null && `Training schedule: ${inline(summary.schedule)}.`,
    trainingExamples !== undefined &&
      `Examples seen: ${grouped(trainingExamples)}` +
        (data.train > 0 ? ` (${(trainingExamples / data.train).toFixed(1)} times the training split).` : '.'),
    last !== undefined && `Training loss at the end: ${last.loss.toFixed(3)} nats, as trained.`,
    'Decisions were made on the hold-out; the test split was read at delivery only. Batch norm is folded into the file.',
  ]);
}

function recipeText(recipe: Recipe): string {
  const { learningRate, weightDecay, labelSmoothing, batchSize, microBatches = 1, clipNorm, emaDecay } = recipe;
  const parts = [
    optimizerText(recipe),
    microBatches > 1 ? `batch ${batchSize} in ${microBatches} parts` : `batch ${batchSize}`,
    `peak learning rate ${learningRate} (${scheduleText(recipe)})`,
    `weight decay ${weightDecay}`,
    `label smoothing ${labelSmoothing}`,
    clipNorm !== undefined && `gradients clipped to a norm of ${clipNorm}`,
    emaDecay !== undefined && `weights averaged with a decay of ${emaDecay}`,
  ];
  return parts.filter(Boolean).join(', ');
}

function optimizerText({ optimizer, momentum, nesterov }: Recipe): string {
  if (optimizer === 'adamw') return 'AdamW';
  if (optimizer === 'rmsprop') return `RMSprop with momentum ${momentum}`;
  return `SGD with ${nesterov ? 'Nesterov ' : ''}momentum ${momentum}`;
}

function scheduleText({ warmup, schedule = { kind: 'cosine' } }: Recipe): string {
  return `linear warm-up over ${percent(warmup, 0)} of the steps, then ${afterWarmup(schedule)}`;
}

function afterWarmup(schedule: Schedule): string {
  switch (schedule.kind) {
    case 'constant':
      return 'constant';
    case 'cosine':
      return 'cosine to zero';
    case 'exponential':
      return `times ${schedule.factor} after every ${percent(schedule.every, 2)} of the steps`;
    case 'warmup-stable-decay': {
      const shape = schedule.shape === 'linear' ? 'linearly' : 'by 1 − √x';
      return `constant until it falls ${shape} to zero over the last ${percent(schedule.decay, 0)}`;
    }
    default:
      return schedule satisfies never;
  }
}

function limitSection({ member, summary, target }: CardInput): string {
  const classes = summary.data.classes;
  return bullets([
    `It knows ${plural(classes, 'class', 'classes')} of \`${code(summary.data.name)}\` and answers with one of them whatever it is shown. ` +
      'Images that differ from the training data, in source, lighting or framing, may score far lower.',
    'The logits are not calibrated probabilities.',
    target.predictedBy
      ? `The latency is what the profile ${inline(target.predictedBy.profile)} predicts; measure it where it will run before you rely on it.`
      : `Latency holds for ${inline(target.device)} as fingerprinted above, with nothing else running; measure again where it will run: ` +
        `\`ridgepoint measure model.onnx --on ${code(target.device)}\`.`,
    !member.latency.stable && 'The latency was unstable when measured.',
    member.limitMet === false && 'It misses the latency limit of its study.',
    member.limitMet === 'unknown' &&
      `Whether it keeps the latency limit of its study is not known: ${limitDoubt(member.latency)}.`,
    member.testAccuracy.sd === null && 'One training seed: small differences from other networks mean little.',
    summary.warnings.length > 0 && `The study gave ${plural(summary.warnings.length, 'warning')}: see its report.html.`,
  ]);
}

/** Node code for three-channel images; other inputs come as bytes, for no image library knows their layout. */
function runSection({ member, preprocessing }: CardInput): string {
  const px = member.spec?.input.resolution ?? 0;
  const channels = member.spec?.input.channels ?? preprocessing.mean.length;
  const image = preprocessing.channelOrder === 'RGB' && channels === 3;
  const grey = preprocessing.channelOrder === 'grey' && channels === 1;
  const read =
    image || grey
      ? [
          `const image = sharp(process.argv[2]).autoOrient().flatten({ background: '#000' }).toColourspace('${image ? 'srgb' : 'b-w'}');`,
          `const pixels = await image.resize(${px}, ${px}, { fit: '${preprocessing.fit === 'centre-crop' ? 'cover' : 'fill'}' }).raw().toBuffer(); // height, width, channel`,
        ]
      : [`const pixels = readFileSync(process.argv[2]); // ${channels} × ${px} × ${px} bytes, channel first`];
  const index = image || grey ? `(i % ${px * px}) * ${channels} + c` : 'i';
  const lines = [
    "import ort from 'onnxruntime-node';",
    image || grey ? "import sharp from 'sharp';" : "import { readFileSync } from 'node:fs';",
    `const [mean, std] = [[${numbers(preprocessing.mean)}], [${numbers(preprocessing.std)}]];`,
    ...read,
    `const input = Float32Array.from({ length: ${channels * px * px} }, (_, i) => {`,
    `  const c = Math.floor(i / ${px * px});`,
    `  return (pixels[${index}] / 255 - mean[c]) / std[c];`,
    '});',
    "const session = await ort.InferenceSession.create('model.onnx');",
    `const { logits } = await session.run({ image: new ort.Tensor('float32', input, [1, ${channels}, ${px}, ${px}]) });`,
    'console.log(logits.data.indexOf(Math.max(...logits.data))); // index of the class',
  ];
  const filter =
    image || grey
      ? `\n\nsharp’s resize stands in for the training filter \`${code(preprocessing.resizeFilter)}\`; ` +
        'exact scores need the latter, or images that already have the right size.'
      : '';
  return `\`\`\`js\n${lines.join('\n')}\n\`\`\`${filter}`;
}

function accuracyText({ mean, sd }: MemberSummary['testAccuracy']): string {
  return sd === null ? percent(mean) : `${percentNumber(mean)} ± ${percent(sd)}`;
}

function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, header.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

function bullets(items: readonly (string | false | undefined)[]): string {
  return items
    .filter((item) => item !== false && item !== undefined)
    .map((item) => `- ${item}`)
    .join('\n');
}

function numbers(values: readonly number[]): string {
  return values.map((value) => Number(value.toPrecision(7))).join(', ');
}

/** All class names up to 50; a list of a thousand is in the file's metadata. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 50).map((name) => `\`${code(name)}\``);
  const more = names.length > 50 ? ` and ${names.length - 50} more, in the file’s metadata \`class_names\`` : '';
  return shown.join(', ') + more;
}

/** Text as Markdown shows it: nothing in it starts emphasis, a link, a table cell or HTML. */
function inline(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\`*_[\]<>|#]/g, '\\$&');
}

/** Text for a code span, which has no escapes. */
function code(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('`', "'");
}
