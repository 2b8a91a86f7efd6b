import { canonicalJson, digestBytes, digestJson } from '../core/digest.ts';
import { ridgepointVersion } from '../core/version.ts';
import type { Weights } from '../models/graph.ts';
import type { RunIdentity } from './checkpoint.ts';
import type { TrainingRequest } from './trainer.ts';

/** What a checkpoint of this request belongs to. @param means of its engine. */
export function identityOf(request: TrainingRequest, means: RunIdentity['means']): RunIdentity {
  const { graph, recipe, examples, seed, weights, threads, checkpoint } = request;
  const { inputs, outputs, parameters, nodes } = graph;
  const settings = Object.entries(recipe).filter(([, value]) => value !== undefined);
  return {
    work: {
      network: digestJson({ inputs, outputs, parameters, nodes }),
      ...Object.fromEntries(settings.map(([key, value]) => [`recipe.${key}`, canonicalJson(value)])),
      examples: String(examples),
      seed: String(seed),
      start: weights ? digestOf(weights) : 'drawn',
      ...checkpoint?.task,
    },
    means: { threads: String(threads), ridgepoint: ridgepointVersion(), ...means },
  };
}

function digestOf(weights: Weights): string {
  const digests = [...weights].map(([name, { buffer, byteOffset, byteLength }]) => {
    return [name, digestBytes(new Uint8Array(buffer, byteOffset, byteLength))];
  });
  return digestJson(Object.fromEntries(digests));
}
