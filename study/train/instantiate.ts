import type { NetworkSpec } from '../../models/spec.ts';
import { parseTransformerSpec, type TransformerSpec } from '../../models/transformer.ts';
import type { Allocation } from '../../scaling/plan.ts';
import type { FamilyPlanAllocation } from '../../scaling/plan-family.ts';
import {
  type TrainedLanguageModel,
  trainLanguageModel,
  type TrainLanguageModelRequest,
} from './train-language-model.ts';
import { type TrainedNetwork, trainNetwork, type TrainNetworkRequest } from './train-network.ts';

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

/** An allocation of a family carried out: what its law foretold, and what came of it. */
export interface InstantiatedNetwork extends TrainedNetwork {
  readonly network: NetworkSpec;
  readonly examples: number;
  readonly law: string;
  /** Hold-out cross-entropy, nats. */
  readonly predictedNats: number;
  /** Reached ÷ predicted − 1. */
  readonly excess: number;
}

/**
 * Trains the convolution network that an allocation names on the examples that go with it, and compares its hold-out loss with what
 * the law foretold.
 * @throws what {@link trainNetwork} throws, as where the data has other classes than the planned network.
 */
export async function instantiateNetwork(
  { network, data, law, loss: predictedNats }: FamilyPlanAllocation,
  request: Omit<TrainNetworkRequest, 'network' | 'fidelity'> & { readonly seed: number },
): Promise<InstantiatedNetwork> {
  const { seed, ...training } = request;
  const examples = Math.max(1, Math.round(data));
  const trained = await trainNetwork({ ...training, network, fidelity: { examples, seed } });
  const excess = trained.holdout.crossEntropy / predictedNats - 1;
  return { ...trained, network, examples, law, predictedNats, excess };
}
