import { meanRelativeError, relativeRates, stepWork, type TimedStep } from '../../scaling/step-time.ts';
import type { TimedConvolution } from './timed-steps.ts';

/** What is learnt from timed steps: seconds of any other. */
type Learner<Step> = (steps: readonly Step[]) => (step: Step) => number;

/** Mean relative error on the largest third of steps of what was learnt from the smaller two. */
export function extrapolationError<Step>(
  steps: readonly Step[],
  sizeOf: (step: Step) => number,
  learn: Learner<Step>,
  secondsOf: (step: Step) => number,
): number {
  const ordered = steps.toSorted((a, b) => sizeOf(a) - sizeOf(b));
  const cut = Math.floor((2 * ordered.length) / 3);
  const predict = learn(ordered.slice(0, cut));
  const rest = ordered.slice(cut);
  return meanRelativeError(rest.map(predict), rest.map(secondsOf));
}

/** 6·N·T: what rules of thumb count. */
export function flopsOf(step: TimedStep): number {
  return stepWork({ ...step, recomputes: false }).matrixFlops;
}

/** One rate for the FLOPs of transformers, nothing else counted. */
export const transformerFlops: Learner<TimedStep> = (known) => proportionalTo(known, flopsOf);

/** One rate for the multiply-adds of convolution networks, nothing else counted. */
export const convolutionFlops: Learner<TimedConvolution> = (known) =>
  proportionalTo(known, ({ batch, macs }) => batch * macs);

function proportionalTo<Step extends { readonly seconds: number }>(
  known: readonly Step[],
  workOf: (step: Step) => number,
): (step: Step) => number {
  const [each = 0] = relativeRates(
    [known.map(workOf)],
    known.map(({ seconds }) => seconds),
  );
  return (step) => each * workOf(step);
}
