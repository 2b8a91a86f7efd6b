import type { TrainingAttributes, TrainingNodeOf, TrainingOperator } from '../training-graph.ts';

/** What a gradient rule may ask and do. */
export interface GradientContext {
  shape(tensor: string): readonly number[];
  /** Whether the loss depends on a parameter through this tensor, so that its gradient is needed. */
  wants(tensor: string): boolean;
  /** Adds a node with one output of the given shape, and names both after `name`. */
  emit<Op extends TrainingOperator>(
    op: Op,
    name: string,
    inputs: readonly string[],
    attributes: TrainingAttributes[Op],
    shape: readonly number[],
  ): string;
  /** Adds a node with several outputs, shapes by name. @returns the names, in order. */
  emitMany<Op extends TrainingOperator>(
    op: Op,
    name: string,
    inputs: readonly string[],
    attributes: TrainingAttributes[Op],
    outputs: Readonly<Record<string, readonly number[]>>,
  ): string[];
}

/**
 * The derivative of one kind of operator: from the gradient of its first output to the gradients of
 * its inputs, in their order; `undefined` where none is wanted.
 */
export type GradientRule<Op extends TrainingOperator> = (
  node: TrainingNodeOf<Op>,
  gradient: string,
  context: GradientContext,
) => readonly (string | undefined)[];
