import type { Random } from '../core/random.ts';
import { elements, type Graph, type Parameter, type Weights } from './graph.ts';

/**
 * Starting values of every parameter. Weights are normal with variance 2 ÷ fan-in (He et al. 2015),
 * dense layers' 1 ÷ fan-in, embeddings' .02² (Radford et al. 2018, section 4.1); scales and variances 1, the rest 0.
 * Each parameter has its own stream, named by the parameter: adding a layer moves no other's values.
 */
export function initialWeights(graph: Pick<Graph, 'parameters'>, random: Random): Weights {
  return new Map(graph.parameters.map((parameter) => [parameter.name, initialValues(parameter, random)]));
}

const embeddingDeviation = 0.02;

function initialValues(parameter: Parameter, random: Random): Float32Array {
  const values = new Float32Array(elements(parameter.shape));
  if (parameter.role === 'scale' || parameter.role === 'running-variance') return values.fill(1);
  const stream = random.child(parameter.name);
  if (parameter.role === 'embedding') return values.map(() => stream.normal() * embeddingDeviation);
  if (parameter.role !== 'weight') return values;
  const isConv = parameter.shape.length === 4;
  const fanIn = isConv ? elements(parameter.shape.slice(1)) : (parameter.shape[0] as number);
  const deviation = Math.sqrt((isConv ? 2 : 1) / fanIn);
  return values.map(() => stream.normal() * deviation);
}
