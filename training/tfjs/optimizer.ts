import type * as tfc from '@tensorflow/tfjs-core';
import type { FlatParameters } from '../flat-parameters.ts';
import { decayVector, optimizerConstants, type OptimizerSettings, optimizerSlots } from '../optimizer.ts';
import { stepNames } from '../step-names.ts';
import type { Recipe } from '../trainer.ts';
import type { TensorFlow } from './load.ts';

// The updates of `../optimizer.ts`, whose docstrings have the formulas and their sources, on TensorFlow.js's tensors.

/** Flat vectors by the state's name: parameters and the optimizer's slots. */
export type StateTensors = Readonly<Record<string, tfc.Tensor1D>>;

/** One update of all parameters. */
export interface MovedTensors {
  readonly moved: StateTensors;
  /** L2 norm of all gradients before clipping, a scalar; absent unless the settings clip. */
  readonly gradientNorm?: tfc.Tensor;
}

/** Moves a state by gradients. @param factors see `updateFactors`. */
export function moveState(
  tf: TensorFlow,
  settings: OptimizerSettings,
  flat: FlatParameters,
  { state, gradients, factors }: Omit<UpdateTerms, 'decayed'>,
): MovedTensors {
  const clipped = settings.clipNorm === undefined ? { gradients } : clip(tf, gradients, settings.clipNorm);
  const { gradients: limited, ...norm } = clipped;
  const parameters = state[stepNames.parameters] as tfc.Tensor1D;
  const decay = tf.tensor1d(decayVector(settings.weightDecay, flat));
  const terms = { state, factors, gradients: limited, decayed: tf.mul<tfc.Tensor1D>(parameters, decay) };
  const { change, slots } = rules[settings.optimizer](tf, settings, terms);
  return { moved: { [stepNames.parameters]: tf.sub(parameters, change), ...slots }, ...norm };
}

interface UpdateTerms {
  readonly state: StateTensors;
  readonly gradients: tfc.Tensor1D;
  readonly factors: Readonly<Record<string, number | Float32Array>>;
  /** decay · w where a parameter decays, 0 elsewhere. */
  readonly decayed: tfc.Tensor1D;
}

/** @returns what is taken off the parameters, and the slots as they become. */
type Rule = (
  tf: TensorFlow,
  settings: OptimizerSettings,
  terms: UpdateTerms,
) => { readonly change: tfc.Tensor1D; readonly slots: StateTensors };

const rules: Readonly<Record<Recipe['optimizer'], Rule>> = {
  'sgd-momentum': sgdMomentum,
  rmsprop,
  adamw: adamW,
};

function clip(
  tf: TensorFlow,
  gradients: tfc.Tensor1D,
  limit: number,
): { gradients: tfc.Tensor1D; gradientNorm: tfc.Tensor } {
  const gradientNorm = tf.sqrt(tf.sum(tf.square(gradients)));
  return { gradients: tf.mul(gradients, tf.div(limit, tf.maximum(gradientNorm, limit))), gradientNorm };
}

function sgdMomentum(...[tf, { momentum, nesterov }, terms]: Parameters<Rule>): ReturnType<Rule> {
  const [velocity] = optimizerSlots['sgd-momentum'];
  const gradients = tf.add<tfc.Tensor1D>(terms.gradients, terms.decayed);
  const moved = tf.add<tfc.Tensor1D>(tf.mul(slot(terms, velocity), momentum), gradients);
  const direction = nesterov ? tf.add<tfc.Tensor1D>(gradients, tf.mul(moved, momentum)) : moved;
  return { change: tf.mul(direction, rateOf(terms)), slots: { [velocity.name]: moved } };
}

function rmsprop(...[tf, { momentum }, terms]: Parameters<Rule>): ReturnType<Rule> {
  const [meanSquare, velocity] = optimizerSlots.rmsprop;
  const { rmsDecay, rmsEpsilon } = optimizerConstants;
  const gradients = tf.add<tfc.Tensor1D>(terms.gradients, terms.decayed);
  const square = blend(tf, slot(terms, meanSquare), tf.mul(gradients, gradients), rmsDecay);
  const step = tf.mul(tf.div(gradients, tf.sqrt(tf.add(square, rmsEpsilon))), rateOf(terms));
  const moved = tf.add<tfc.Tensor1D>(tf.mul(slot(terms, velocity), momentum), step);
  return { change: moved, slots: { [meanSquare.name]: square, [velocity.name]: moved } };
}

function adamW(...[tf, { momentum }, terms]: Parameters<Rule>): ReturnType<Rule> {
  const [firstMoment, secondMoment] = optimizerSlots.adamw;
  const { adamBeta2, adamEpsilon } = optimizerConstants;
  const { gradients, factors, decayed } = terms;
  const first = blend(tf, slot(terms, firstMoment), gradients, momentum);
  const second = blend(tf, slot(terms, secondMoment), tf.mul(gradients, gradients), adamBeta2);
  const deviation = tf.sqrt(tf.div(second, factors[stepNames.secondCorrection] as tfc.TensorLike));
  const unbiased = tf.div(first, factors[stepNames.firstCorrection] as tfc.TensorLike);
  const direction = tf.add<tfc.Tensor1D>(tf.div(unbiased, tf.add(deviation, adamEpsilon)), decayed);
  return {
    change: tf.mul(direction, rateOf(terms)),
    slots: { [firstMoment.name]: first, [secondMoment.name]: second },
  };
}

function slot({ state }: UpdateTerms, { name }: { readonly name: string }): tfc.Tensor1D {
  return state[name] as tfc.Tensor1D;
}

function rateOf({ factors }: UpdateTerms): number {
  return factors[stepNames.learningRate] as number;
}

/** share · old + (1 − share) · fresh */
function blend(tf: TensorFlow, old: tfc.Tensor1D, fresh: tfc.Tensor1D, share: number): tfc.Tensor1D {
  return tf.add(tf.mul(old, share), tf.mul(fresh, 1 - share));
}
