import { parseTransformerSpec, type TransformerSpec } from '../models/transformer.ts';
import type { Allocation } from '../scaling/plan.ts';
import {
  type TrainedLanguageModel,
  trainLanguageModel,
  type TrainLanguageModelRequest,
} from './train-language-model.ts';

/** An allocation carried out: what its law foretold, and what came of it. */
export interface Instantiated extends TrainedLanguageModel {
  readonly network: TransformerSpec;
  readonly law: string;
  /** Nats a token; null for a law that knows none. */
  readonly predictedNats: number | null;
  /** Reached ÷ predicted − 1. */
  readonly excess: number | null;
}

/** The model of an allocation's shape, without biases, its norms with a mean. */
export function networkOf({ shape, law }: Allocation): TransformerSpec {
  return parseTransformerSpec({ kind: 'transformer', ...shape }, law);
}

/** Sequences that hold an allocation's data, at least one. Texts with fewer are repeated. */
export function sequencesOf({ data, shape }: Allocation): number {
  return Math.max(1, Math.round(data / shape.context));
}

/**
 * Builds the model that an allocation names, has it see the amount of data that goes with it, and compares its loss with
 * what the law foretold. Laws of other text and tokens are off by as much as those differ: fit one to trials on this text first.
 * @throws what {@link trainLanguageModel} throws.
 */
export async function instantiate(
  allocation: Allocation,
  request: Omit<TrainLanguageModelRequest, 'network' | 'fidelity'> & { readonly seed: number },
): Promise<Instantiated> {
  const { seed, ...training } = request;
  const network = networkOf(allocation);
  const fidelity = { examples: sequencesOf(allocation), seed };
  const trained = await trainLanguageModel({ ...training, network, fidelity });
  const { law, loss: predictedNats } = allocation;
  const excess = predictedNats === null ? null : trained.crossEntropyNats / predictedNats - 1;
  return { ...trained, network, law, predictedNats, excess };
}
