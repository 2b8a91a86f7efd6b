import { parseCsv } from '../../core/csv.ts';
import type { ConvolutionStep, TimedStep } from '../../scaling/step-time.ts';
import { parseTimedSteps } from '../../scaling/step-time-runs.ts';
import { transformerParams } from '../../scaling/transformer-shape.ts';

/** A step with the parameters its table gives. */
export type TableStep = TimedStep & { readonly params: number };

function table(text: string): readonly ((name: string) => string)[] {
  return parseCsv(text, 'timed steps').rows.map(
    ({ cells }) =>
      (name) =>
        cells[name] ?? '',
  );
}

/** A finished run: its steps, and the loss it reached. */
export interface FinishedRun extends TableStep {
  readonly steps: number;
  /** Over all devices. */
  readonly data: number;
  /** Validation loss in nats. */
  readonly loss: number;
}

/** Llama-style runs under 400 M parameters: gated, untied, the feed-forward width from the parameter count. */
export function llamaSteps(text: string): readonly FinishedRun[] {
  return table(text).map((cell) => {
    const number = (name: string): number => Number(cell(name));
    const [layers, width, vocabulary, context] = [
      number('num_blocks'),
      number('embed_dim'),
      number('vocab'),
      number('ctx'),
    ];
    const params = number('params');
    const feedForward = Math.round((params - 2 * vocabulary * width - layers * 4 * width ** 2) / (3 * width * layers));
    const shape = {
      layers,
      width,
      heads: width / number('head_dim'),
      feedForward,
      gated: true,
      vocabulary,
      context,
      tiedHead: false,
      learnedPositions: false,
      biases: false,
    };
    const [batch, steps] = [number('gbs') * context, number('steps')];
    return {
      shape,
      params,
      tokens: batch / number('devices'),
      seconds: number('step_time_med'),
      steps,
      data: steps * batch,
      loss: number('val_loss'),
    };
  });
}

/** Layers and widths of MosaicML's MPT configurations; their parameter counts agree to 2 % (positions, norms). */
const mpt: Readonly<Record<string, readonly [number, number]>> = {
  '125m': [12, 768],
  '350m': [24, 1024],
  '760m': [24, 1536],
  '1b': [24, 2048],
  '3b': [32, 2560],
  '7b': [32, 4096],
  '13b': [40, 5120],
  '30b': [48, 7168],
  '70b': [80, 8192],
};

/** MPT trainings on A100s: tied head, learned positions, four-width feed-forward; the throughput is of all devices. */
export function mosaicSteps(text: string): readonly TableStep[] {
  return table(text).map((cell) => {
    const number = (name: string): number => Number(cell(name));
    const [layers = 0, width = 0] = mpt[cell('Model')] ?? [];
    const batch = number('GlobalBatchSize (T)');
    const shape = {
      layers,
      width,
      heads: Math.max(1, width / 128),
      feedForward: 4 * width,
      gated: false,
      vocabulary: 50_368,
      context: number('SeqLen (T)'),
      tiedHead: true,
      learnedPositions: true,
      biases: false,
    };
    return {
      shape,
      params: transformerParams(shape).total,
      tokens: batch / number('# GPUs'),
      seconds: batch / number('Throughput (T/s)'),
      recomputes: cell('Activation Checkpointing') === 'True',
      microBatches: number('GradAccum'),
    };
  });
}

/** A step of a convolution network with its time. */
export type TimedConvolution = ConvolutionStep & { readonly seconds: number };

/** Vision networks on one GPU. */
export function timmSteps(text: string): readonly TimedConvolution[] {
  return table(text).map((cell) => ({
    batch: Number(cell('batch')),
    params: Number(cell('params')),
    activations: Number(cell('acts_fwd')),
    macs: Number(cell('gmacs_fwd_x1e9')),
    seconds: Number(cell('step_time_s')),
  }));
}

/** What `own-steps.ts` timed: of each network the round in which other processes took least. */
export function ownConvolutionSteps(text: string): readonly TimedConvolution[] {
  const steps = table(text).map((cell) => ({
    network: cell('network'),
    batch: Number(cell('batch')),
    params: Number(cell('params')),
    activations: Number(cell('activations')),
    macs: Number(cell('macs')),
    seconds: Number(cell('step_ms')) / 1e3,
  }));
  return fastestRounds(steps, ({ network }) => network);
}

/** The same of transformers. */
export function ownTransformerSteps(text: string): readonly TableStep[] {
  const steps = parseTimedSteps(text, 'own steps').map((step) => ({
    ...step,
    params: transformerParams(step.shape).total,
  }));
  return fastestRounds(steps, ({ shape, tokens }) => JSON.stringify([shape, tokens]));
}

function fastestRounds<Step extends { readonly seconds: number }>(
  steps: readonly Step[],
  nameOf: (step: Step) => string,
): readonly Step[] {
  const fastest = new Map<string, Step>();
  for (const step of steps) {
    const known = fastest.get(nameOf(step));
    if (!known || step.seconds < known.seconds) fastest.set(nameOf(step), step);
  }
  return [...fastest.values()];
}
