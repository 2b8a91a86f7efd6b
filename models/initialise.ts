import type { Random } from '../core/random.ts';
import { elements, type Graph, type Parameter, type Weights } from './graph.ts';

/**
 * Starting values of every parameter. Weights are normal with variance 2 ÷ fan-in (He et al. 2015),
 * the classifier's 1 ÷ fan-in; scales and variances 1, the rest 0.
 * Each parameter has its own stream, named by the parameter: adding a layer moves no other's values.
 */
export function initialWeights(graph: Graph, random: Random): Weights {
  return new Map(graph.parameters.map((parameter) => [parameter.name, initialValues(parameter, random)]));
}

function initialValues(parameter: Parameter, random: Random): Float32Array {
  const values = new Float32Array(elements(parameter.shape));
  if (parameter.role === 'scale' || parameter.role === 'running-variance') return values.fill(1);
  if (parameter.role !== 'weight') return values;
  const isConv = parameter.shape.length === 4;
  const fanIn = isConv ? elements(parameter.shape.slice(1)) : (parameter.shape[0] as number);
  const deviation = Math.sqrt((isConv ? 2 : 1) / fanIn);
  const stream = random.child(parameter.name);
  return values.map(() => stream.normal() * deviation);
}
