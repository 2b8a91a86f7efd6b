import type { Random } from '../core/random.ts';
import { elements, type Parameter, type Weights } from './graph.ts';
import type { Growth } from './growth.ts';
import { inheritedGradients, type InheritedParameter, inheritedValues } from './inherited-parameter.ts';

/** Deviation of the noise on copied weights, relative to each: enough for copies to part, little for the function. */
export const copyNoiseDeviation = 0.02;

interface GrownWeightsOptions {
  /** Values of the parameters that are drawn, at least. */
  readonly drawn: Weights;
  /** Of the noise that tells copies of weights apart, by parameter; without it the function stays exactly. */
  readonly noise?: { readonly random: Random; readonly deviation: number };
}

/**
 * Weights by which the larger network computes what the smaller one does, to rounding and noise.
 * @param parameters of the larger network, those wanted; `weights` has their origins.
 */
export function grownWeights(
  growth: Growth,
  parameters: readonly Parameter[],
  weights: Weights,
  { drawn, noise }: GrownWeightsOptions,
): Weights {
  return grown(growth, parameters, {
    inherited: (inherited, { name, role }) => {
      const isNoisy = noise !== undefined && (role === 'weight' || role === 'embedding');
      const copyNoise = isNoisy ? { deviation: noise.deviation, random: noise.random.child(name) } : undefined;
      return inheritedValues(inherited, valuesOf(weights, name), copyNoise);
    },
    added: ({ name, shape }, origin) =>
      origin === 'zero' ? new Float32Array(elements(shape)) : valuesOf(drawn, name).slice(),
  });
}

/**
 * What an optimizer remembers of gradients, as the larger network's gradients would have made it.
 * @param power of the gradient that is remembered: 1 of a mean, 2 of a mean square, 0 of steps that no longer have its size.
 * @param initial of parameters that the smaller network does not have.
 */
export function grownMoments(
  growth: Growth,
  parameters: readonly Parameter[],
  moments: Weights,
  { power, initial }: { readonly power: number; readonly initial: number },
): Weights {
  return grown(growth, parameters, {
    inherited: (inherited, { name }) => inheritedGradients(inherited, valuesOf(moments, name), power),
    added: ({ shape }) => new Float32Array(elements(shape)).fill(initial),
  });
}

interface Makers {
  readonly inherited: (inherited: InheritedParameter, parameter: Parameter) => Float32Array;
  readonly added: (parameter: Parameter, origin: 'drawn' | 'zero') => Float32Array;
}

function grown(growth: Growth, parameters: readonly Parameter[], { inherited, added }: Makers): Weights {
  return new Map(
    parameters.map((parameter) => {
      const origin = growth.parameters.get(parameter.name);
      if (origin === undefined) throw new RangeError(`no parameter named ${parameter.name} in the larger network`);
      return [parameter.name, typeof origin === 'string' ? added(parameter, origin) : inherited(origin, parameter)];
    }),
  );
}

function valuesOf(weights: Weights, name: string): Float32Array {
  const values = weights.get(name);
  if (!values) throw new RangeError(`expected values of ${name}, got none`);
  return values;
}
