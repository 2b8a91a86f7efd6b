import type { FlatParameters } from './flat-parameters.ts';
import type { PlainGraph } from './lowering/plain-graph.ts';
import type { Recipe } from './trainer.ts';

/** What the optimizer steers by; a {@link Recipe} is one. */
export type OptimizerSettings = Pick<Recipe, 'optimizer' | 'momentum' | 'weightDecay'> & {
  /** Nesterov's look-ahead, for `sgd-momentum`. */
  readonly nesterov?: boolean;
};

/** Names of ONNX values the update reads, all float32: vectors of the parameters' length, scalars. */
export interface UpdateInputs {
  readonly parameters: string;
  readonly gradients: string;
  /** One vector a slot, zero at the start; see {@link slotCount}. */
  readonly slots: readonly string[];
  readonly learningRate: string;
  /** 1 for the first update. */
  readonly step: string;
}

/** Values the update makes. */
export interface UpdateOutputs {
  readonly parameters: string;
  readonly slots: readonly string[];
}

/** Vectors of optimizer state: velocity, or first and second moment. */
export function slotCount(optimizer: Recipe['optimizer']): number {
  return { 'sgd-momentum': 1, adamw: 2 }[optimizer];
}

const adamBeta2 = 0.999;
const adamEpsilon = 1e-8;

/** Appends one update of all parameters. Norms' scales and shifts and all biases do not decay. */
export function lowerUpdate(
  settings: OptimizerSettings,
  flat: FlatParameters,
  inputs: UpdateInputs,
  plain: PlainGraph,
): UpdateOutputs {
  plain.enter('optimizer');
  return settings.optimizer === 'adamw'
    ? adamW(settings, flat, inputs, plain)
    : sgdMomentum(settings, flat, inputs, plain);
}

/**
 * g' = g + decay · w; v' = momentum · v + g'; w' = w − rate · v' (Nesterov: rate · (g' + momentum · v')).
 * @see Sutskever et al. (2013); in PyTorch's form, where the rate is not inside v.
 */
function sgdMomentum(settings: OptimizerSettings, flat: FlatParameters, inputs: UpdateInputs, plain: PlainGraph) {
  const { momentum, nesterov = false } = settings;
  const decayed = decayedParameters(settings.weightDecay, flat, inputs.parameters, plain);
  const gradients = decayed === undefined ? inputs.gradients : plain.op('Add', [inputs.gradients, decayed]);
  const kept = plain.op('Mul', [inputs.slots[0] as string, plain.scalar(momentum)]);
  const velocity = plain.op('Add', [kept, gradients]);
  const ahead = () => plain.op('Add', [gradients, plain.op('Mul', [velocity, plain.scalar(momentum)])]);
  const change = plain.op('Mul', [nesterov ? ahead() : velocity, inputs.learningRate]);
  return { parameters: plain.op('Sub', [inputs.parameters, change]), slots: [velocity] };
}

/**
 * Adam with bias correction, β₁ = momentum, β₂ = .999, ε = 1e-8, and decay apart from the moments:
 * w' = w − rate · (m̂ ÷ (√v̂ + ε) + decay · w).
 * @see Loshchilov & Hutter (2019), "Decoupled Weight Decay Regularization", algorithm 2.
 */
function adamW(settings: OptimizerSettings, flat: FlatParameters, inputs: UpdateInputs, plain: PlainGraph) {
  const { gradients, learningRate } = inputs;
  const blend = (old: string, fresh: string, beta: number): string =>
    plain.op('Add', [plain.op('Mul', [old, plain.scalar(beta)]), plain.op('Mul', [fresh, plain.scalar(1 - beta)])]);
  const correction = (beta: number): string =>
    plain.op('Sub', [plain.scalar(1), plain.op('Pow', [plain.scalar(beta), inputs.step])]);

  const first = blend(inputs.slots[0] as string, gradients, settings.momentum);
  const second = blend(inputs.slots[1] as string, plain.op('Mul', [gradients, gradients]), adamBeta2);
  const deviation = plain.op('Sqrt', [plain.op('Div', [second, correction(adamBeta2)])]);
  const unbiased = plain.op('Div', [first, correction(settings.momentum)]);
  const direction = plain.op('Div', [unbiased, plain.op('Add', [deviation, plain.scalar(adamEpsilon)])]);
  const decayed = decayedParameters(settings.weightDecay, flat, inputs.parameters, plain);
  const whole = decayed === undefined ? direction : plain.op('Add', [direction, decayed]);
  const change = plain.op('Mul', [whole, learningRate]);
  return { parameters: plain.op('Sub', [inputs.parameters, change]), slots: [first, second] };
}

/** decay · w where a parameter decays, 0 elsewhere. */
function decayedParameters(
  weightDecay: number,
  { parameters, sizes, length }: FlatParameters,
  vector: string,
  plain: PlainGraph,
): string | undefined {
  if (weightDecay === 0) return undefined;
  const decay = plain.floats('weight decay', [length], () => {
    const values = new Float32Array(length);
    let offset = 0;
    parameters.forEach(({ role }, index) => {
      const size = sizes[index] as number;
      if (role === 'weight') values.fill(weightDecay, offset, offset + size);
      offset += size;
    });
    return values;
  });
  return plain.op('Mul', [vector, decay]);
}
