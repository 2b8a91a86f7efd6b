import { cpus } from 'node:os';
import { runtimeVersion } from '../accelerators/onnxruntime.ts';
import { canonicalJson, digestBytes, digestJson } from '../core/digest.ts';
import { ridgepointVersion } from '../core/version.ts';
import type { Graph, Weights } from '../models/graph.ts';
import type { RunIdentity } from './checkpoint.ts';
import type { Lowering } from './lowering.ts';
import type { TrainingRequest } from './trainer.ts';

/** What a checkpoint of this request belongs to. */
export function identityOf(request: TrainingRequest, lowering: Lowering): RunIdentity {
  const { graph, recipe, examples, seed, weights, threads, checkpoint, stages = [] } = request;
  const settings = Object.entries(recipe).filter(([, value]) => value !== undefined);
  return {
    work: {
      network: networkDigest(graph),
      ...Object.fromEntries(settings.map(([key, value]) => [`recipe.${key}`, canonicalJson(value)])),
      examples: String(examples),
      seed: String(seed),
      start: weights ? digestOf(weights) : 'drawn',
      // A run of one stage is the run without stages.
      ...(stages.length > 1 && { stages: stagesDigest(stages) }),
      ...checkpoint?.task,
    },
    means: {
      lowering: lowering.id,
      threads: [...new Set([...stages.map((stage) => stage.threads), threads])].join(', then '),
      ridgepoint: ridgepointVersion(),
      runtime: runtimeVersion(),
      // Its vector registers choose the runtime's kernels.
      cpu: cpus()[0]?.model ?? 'unknown',
    },
  };
}

function networkDigest({ inputs, outputs, parameters, nodes }: Graph): string {
  return digestJson({ inputs, outputs, parameters, nodes });
}

function stagesDigest(stages: NonNullable<TrainingRequest['stages']>): string {
  return digestJson(
    stages.map(({ graph, recipe, updates, optimization }) => {
      return { network: networkDigest(graph), recipe, updates, optimization };
    }),
  );
}

function digestOf(weights: Weights): string {
  const digests = [...weights].map(([name, { buffer, byteOffset, byteLength }]) => {
    return [name, digestBytes(new Uint8Array(buffer, byteOffset, byteLength))];
  });
  return digestJson(Object.fromEntries(digests));
}
