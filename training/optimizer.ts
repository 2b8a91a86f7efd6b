import { filledVector, type FlatParameters } from './flat-parameters.ts';
import type { OnnxBuilder } from './onnx-builder.ts';
import { stepNames } from './step-names.ts';
import type { Recipe } from './trainer.ts';

/** What the optimizer steers by; a {@link Recipe} is one, of a network that does not grow. */
export interface OptimizerSettings extends Pick<
  Recipe,
  'optimizer' | 'momentum' | 'weightDecay' | 'nesterov' | 'clipNorm'
> {
  /** Updates made before a parameter joined the network, by its name; 0 of those left out. */
  readonly joinedAt?: ReadonlyMap<string, number>;
}

/** A vector of optimizer state, of the parameters' length. */
interface Slot {
  readonly name: string;
  /** Value of every element before the first update. */
  readonly initial: number;
  /** Of the gradient that it remembers: a mean has 1, a mean square 2, steps without the gradient's size 0. */
  readonly gradientPower: number;
}

/** State of each optimizer. */
export const optimizerSlots = {
  'sgd-momentum': [{ name: 'velocity', initial: 0, gradientPower: 1 }],
  rmsprop: [
    { name: 'mean-square', initial: 1, gradientPower: 2 },
    { name: 'velocity', initial: 0, gradientPower: 0 },
  ],
  adamw: [
    { name: 'first-moment', initial: 0, gradientPower: 1 },
    { name: 'second-moment', initial: 0, gradientPower: 2 },
  ],
} as const satisfies Record<Recipe['optimizer'], readonly Slot[]>;

/** What recipes leave as it is. */
export const optimizerConstants = { adamBeta2: 0.999, adamEpsilon: 1e-8, rmsDecay: 0.9, rmsEpsilon: 1e-3 } as const;
const { adamBeta2, adamEpsilon, rmsDecay, rmsEpsilon } = optimizerConstants;

/** Where in a run an update is. */
export interface UpdatePlace {
  readonly learningRate: number;
  /** 1 for the first. */
  readonly update: number;
}

/**
 * What an update's formula is fed, by name: the learning rate and Adam's bias corrections, since 1 − β₂ᵗ in single
 * precision is off by 2e-5 at first. Scalars, or vectors of the parameters' length where these have been there for
 * different numbers of updates.
 */
export function updateFactors(
  { optimizer, momentum, joinedAt = new Map() }: OptimizerSettings,
  flat: FlatParameters,
  { learningRate, update }: UpdatePlace,
): Record<string, number | Float32Array> {
  const rate = { [stepNames.learningRate]: learningRate };
  if (optimizer !== 'adamw') return rate;
  const correction = (decay: number): number | Float32Array => {
    const after = (updates: number) => 1 - decay ** updates;
    return joinedAt.size === 0
      ? after(update)
      : filledVector(flat, ({ name }) => after(update - (joinedAt.get(name) ?? 0)));
  };
  return {
    ...rate,
    [stepNames.firstCorrection]: correction(momentum),
    [stepNames.secondCorrection]: correction(adamBeta2),
  };
}

/** Names of ONNX values an update starts from: vectors of the parameters' length. */
export interface UpdateInputs {
  readonly parameters: string;
  readonly gradients: string;
}

/** Values an update makes. */
export interface Update {
  /** Parameters and slots, by the name of what they replace. */
  readonly moved: Readonly<Record<string, string>>;
  /** Scalar: L2 norm of all gradients before clipping; absent unless the settings clip. */
  readonly gradientNorm?: string;
}

/**
 * Appends one update of all parameters; slots and factors are graph inputs of their own names.
 * Weight decay joins after clipping, and spares the scales and shifts of norms and all biases.
 */
export function lowerUpdate(
  settings: OptimizerSettings,
  flat: FlatParameters,
  { parameters, gradients }: UpdateInputs,
  builder: OnnxBuilder,
): Update {
  builder.enter('optimizer');
  const clipped = settings.clipNorm === undefined ? { gradients } : clip(gradients, settings.clipNorm, builder);
  const { gradients: limited, ...norm } = clipped;
  return { moved: rules[settings.optimizer](settings, flat, { parameters, gradients: limited }, builder), ...norm };
}

type Rule = (
  settings: OptimizerSettings,
  flat: FlatParameters,
  inputs: UpdateInputs,
  builder: OnnxBuilder,
) => Update['moved'];

const rules: Readonly<Record<Recipe['optimizer'], Rule>> = {
  'sgd-momentum': sgdMomentum,
  rmsprop,
  adamw: adamW,
};

/**
 * g · limit ÷ max(‖g‖, limit), ‖g‖ over all parameters together; padding of stored parameters is 0 and counts nothing.
 * @see Pascanu et al. (2013), "On the difficulty of training recurrent neural networks", algorithm 1.
 */
function clip(gradients: string, limit: number, builder: OnnxBuilder): { gradients: string; gradientNorm: string } {
  const gradientNorm = builder.op('ReduceL2', [gradients], { keepdims: 0 });
  const bound = builder.op('Max', [gradientNorm, builder.scalar(limit)]);
  const factor = builder.op('Div', [builder.scalar(limit), bound]);
  return { gradients: builder.op('Mul', [gradients, factor]), gradientNorm };
}

/**
 * g' = g + decay · w; v' = momentum · v + g'; w' = w − rate · v' (Nesterov: rate · (g' + momentum · v')).
 * @see Sutskever et al. (2013); in PyTorch's form, where the rate is not inside v.
 */
function sgdMomentum(...[settings, flat, inputs, builder]: Parameters<Rule>): ReturnType<Rule> {
  const [velocity] = optimizerSlots['sgd-momentum'];
  const gradients = withPenalty(settings, flat, inputs, builder);
  const moved = builder.op('Add', [scaled(velocity.name, settings.momentum, builder), gradients]);
  const ahead = () => builder.op('Add', [gradients, scaled(moved, settings.momentum, builder)]);
  const change = builder.op('Mul', [settings.nesterov ? ahead() : moved, stepNames.learningRate]);
  return { [stepNames.parameters]: builder.op('Sub', [inputs.parameters, change]), [velocity.name]: moved };
}

/**
 * EfficientNet's, which is TensorFlow's: g' = g + decay · w; s' = .9 · s + .1 · g'², s starting at 1;
 * v' = momentum · v + rate · g' ÷ √(s' + 1e-3); w' = w − v'. PyTorch's form differs in three places: s starts
 * at 0, ε is added after the root, and the rate multiplies v' instead of entering it.
 * @see Tieleman & Hinton (2012), lecture 6.5; Tan & Le (2019), section 5.2, for momentum .9, decay .9 and ε.
 */
function rmsprop(...[settings, flat, inputs, builder]: Parameters<Rule>): ReturnType<Rule> {
  const [meanSquare, velocity] = optimizerSlots.rmsprop;
  const gradients = withPenalty(settings, flat, inputs, builder);
  const square = blend(meanSquare.name, builder.op('Mul', [gradients, gradients]), rmsDecay, builder);
  const deviation = builder.op('Sqrt', [builder.op('Add', [square, builder.scalar(rmsEpsilon)])]);
  const step = builder.op('Mul', [builder.op('Div', [gradients, deviation]), stepNames.learningRate]);
  const moved = builder.op('Add', [scaled(velocity.name, settings.momentum, builder), step]);
  return {
    [stepNames.parameters]: builder.op('Sub', [inputs.parameters, moved]),
    [meanSquare.name]: square,
    [velocity.name]: moved,
  };
}

/**
 * Adam with bias correction, β₁ = momentum, β₂ = .999, ε = 1e-8, and decay apart from the moments:
 * w' = w − rate · (m̂ ÷ (√v̂ + ε) + decay · w).
 * @see Loshchilov & Hutter (2019), "Decoupled Weight Decay Regularization", algorithm 2.
 */
function adamW(...[settings, flat, inputs, builder]: Parameters<Rule>): ReturnType<Rule> {
  const { gradients, parameters } = inputs;
  const [firstMoment, secondMoment] = optimizerSlots.adamw;
  const first = blend(firstMoment.name, gradients, settings.momentum, builder);
  const second = blend(secondMoment.name, builder.op('Mul', [gradients, gradients]), adamBeta2, builder);
  const deviation = builder.op('Sqrt', [builder.op('Div', [second, stepNames.secondCorrection])]);
  const unbiased = builder.op('Div', [first, stepNames.firstCorrection]);
  const direction = builder.op('Div', [unbiased, builder.op('Add', [deviation, builder.scalar(adamEpsilon)])]);
  const decayed = decayedParameters(settings.weightDecay, flat, parameters, builder);
  const whole = decayed === undefined ? direction : builder.op('Add', [direction, decayed]);
  const change = builder.op('Mul', [whole, stepNames.learningRate]);
  return {
    [stepNames.parameters]: builder.op('Sub', [parameters, change]),
    [firstMoment.name]: first,
    [secondMoment.name]: second,
  };
}

function scaled(vector: string, factor: number, builder: OnnxBuilder): string {
  return builder.op('Mul', [vector, builder.scalar(factor)]);
}

/** share · old + (1 − share) · fresh */
function blend(old: string, fresh: string, share: number, builder: OnnxBuilder): string {
  return builder.op('Add', [scaled(old, share, builder), scaled(fresh, 1 - share, builder)]);
}

/** Gradients of the loss with the L2 penalty ½ · decay · w². */
function withPenalty(
  { weightDecay }: OptimizerSettings,
  flat: FlatParameters,
  { parameters, gradients }: UpdateInputs,
  builder: OnnxBuilder,
): string {
  const decayed = decayedParameters(weightDecay, flat, parameters, builder);
  return decayed === undefined ? gradients : builder.op('Add', [gradients, decayed]);
}

/** decay · w where a parameter decays, 0 elsewhere. */
function decayedParameters(
  weightDecay: number,
  flat: FlatParameters,
  vector: string,
  builder: OnnxBuilder,
): string | undefined {
  if (weightDecay === 0) return undefined;
  const decay = builder.floats('weight decay', [flat.length], () => decayVector(weightDecay, flat));
  return builder.op('Mul', [vector, decay]);
}

/** The decay of every stored value: `weightDecay` in weights, 0 in norms' parameters, biases and embeddings. */
export function decayVector(weightDecay: number, flat: FlatParameters): Float32Array {
  return filledVector(flat, ({ role }) => (role === 'weight' ? weightDecay : 0));
}
