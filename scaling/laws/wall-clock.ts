import type { StepTimeModel, TrainingStep } from '../step-time.ts';
import { stepTimeS } from '../step-time.ts';
import { transformerParams } from '../transformer-shape.ts';
import { lossAt, type LossLaw, type Theta } from './law.ts';

/**
 * Loss from hyperparameters and wall-clock time alone (Inbar & Sernau 2024): a step-time model says how many steps the time
 * buys, a law of the loss what so much data gives. Above some scale only the parameter count matters for the loss, so
 * shapes of one size compete on speed.
 * @returns data seen in `seconds`, in tokens, and the loss in nats. The shape's total parameters are the law's N, or those
 * without embeddings where `paramsCount` says so.
 */
export function lossInTime(
  law: LossLaw,
  theta: Theta,
  stepTime: StepTimeModel,
  step: TrainingStep,
  seconds: number,
  paramsCount: 'total' | 'non-embedding' = 'total',
): { readonly params: number; readonly data: number; readonly loss: number } {
  const params = transformerParams(step.shape)[paramsCount === 'total' ? 'total' : 'nonEmbedding'];
  const data = (seconds / stepTimeS(stepTime, step)) * step.tokens;
  return { params, data, loss: lossAt(law, theta, { params, data }) };
}

/**
 * Exponents of the time-optimal allocation where the time of a token grows as N^γ: N ∝ t^(β ÷ (α + γβ)), D ∝ t^(α ÷ (α + γβ)). γ = 1 is
 * time proportional to FLOPs, and gives Chinchilla's a and b.
 */
export function timeExponents(
  { alpha, beta }: { readonly alpha: number; readonly beta: number },
  gamma: number,
): { readonly params: number; readonly data: number } {
  return { params: beta / (alpha + gamma * beta), data: alpha / (alpha + gamma * beta) };
}
