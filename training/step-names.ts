/** Names of a lowered step's own inputs and outputs, beside the task's inputs, the masks and the optimizer's slots. */
export const stepNames = {
  parameters: 'parameters',
  learningRate: 'learning-rate',
  /** Adam's 1 − β₁ᵗ and 1 − β₂ᵗ. */
  firstCorrection: 'first-correction',
  secondCorrection: 'second-correction',
  loss: 'loss.value',
  correct: 'loss.correct',
  /** Of one batch; where micro-batches are accumulated, their sum so far. */
  gradients: 'gradients',
  gradientNorm: 'gradient-norm',
  statistics: 'statistics',
  /** Name under which an updated input comes out. */
  updated: (input: string): string => `${input}.updated`,
} as const;
