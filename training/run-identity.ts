import { canonicalJson, digestBytes, digestJson } from '../core/digest.ts';
import { ridgepointVersion } from '../core/version.ts';
import type { Augmentation } from '../data/augment.ts';
import type { Graph, Weights } from '../models/graph.ts';
import type { RunIdentity } from './checkpoint.ts';
import type { Recipe, TrainingRequest } from './trainer.ts';

/** What a checkpoint of this request belongs to. @param means of its engine. */
export function identityOf(request: TrainingRequest, means: RunIdentity['means']): RunIdentity {
  const { graph, recipe, examples, seed, weights, threads, checkpoint, stages = [] } = request;
  const settings = Object.entries(workOf(recipe)).filter(([, value]) => value !== undefined);
  return {
    work: {
      network: networkDigest(graph),
      ...Object.fromEntries(settings.map(([key, value]) => [`recipe.${key}`, canonicalJson(value)])),
      examples: String(examples),
      seed: String(seed),
      start: weights ? digestOf(weights) : 'drawn',
      ...(!isWithoutStages(request) && { stages: stagesDigest(stages) }),
      ...checkpoint?.task,
    },
    means: {
      threads: [...new Set([...stages.map((stage) => stage.threads), threads])].join(', then '),
      ridgepoint: ridgepointVersion(),
      ...means,
      ...providersOf(request),
    },
  };
}

/** What the augmentation of a run of pictures adds to the work of its checkpoint. @param plans of its stages, if it has any. */
export function augmentationIdentity(
  augmentation: Augmentation,
  plans: readonly { readonly augmentation: Augmentation }[] = [],
): Record<string, string> {
  const whole = canonicalJson(augmentation);
  const isPlain = plans.length < 2 && plans.every((plan) => canonicalJson(plan.augmentation) === whole);
  return {
    augmentation: whole,
    ...(!isPlain && { augmentations: digestJson(plans.map((plan) => plan.augmentation)) }),
  };
}

/** A run of one stage that changes nothing is the run without stages. */
function isWithoutStages({ graph, recipe, stages = [] }: TrainingRequest): boolean {
  const [only, ...others] = stages;
  if (!only) return true;
  return (
    others.length === 0 &&
    only.optimization === undefined &&
    networkDigest(only.graph) === networkDigest(graph) &&
    canonicalJson(workOf(only.recipe)) === canonicalJson(workOf(recipe))
  );
}

/** Where stages run, if not all where the run ends: an engine’s means are of that. */
function providersOf({ recipe, stages = [] }: TrainingRequest): Record<string, string> {
  const providers = [...new Set([...stages.map((stage) => stage.recipe.provider), recipe.provider])];
  return providers.length > 1 ? { providers: providers.map((id) => id ?? 'the trainer’s').join(', then ') } : {};
}

/** A recipe without what changes nothing that is computed: bits not at all, or only by what computes them. */
function workOf({
  rematerialise: _again,
  provider: _where,
  ...recipe
}: Recipe): Omit<Recipe, 'rematerialise' | 'provider'> {
  return recipe;
}

function networkDigest({ inputs, outputs, parameters, nodes }: Graph): string {
  return digestJson({ inputs, outputs, parameters, nodes });
}

function stagesDigest(stages: NonNullable<TrainingRequest['stages']>): string {
  return digestJson(
    stages.map(({ graph, recipe, updates, optimization }) => {
      return { network: networkDigest(graph), recipe: workOf(recipe), updates, optimization };
    }),
  );
}

function digestOf(weights: Weights): string {
  const digests = [...weights].map(([name, { buffer, byteOffset, byteLength }]) => {
    return [name, digestBytes(new Uint8Array(buffer, byteOffset, byteLength))];
  });
  return digestJson(Object.fromEntries(digests));
}
