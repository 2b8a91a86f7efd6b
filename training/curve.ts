import { z } from 'zod';
import { curvePointSchema } from '../core/trial.ts';
import type { CurvePoint } from './trainer.ts';

const points = 30;
/** A loss this many times that of guessing, or the first one where that is higher, … */
const lossMultiple = 3;
/** … for this many steps in a row is divergence; a high learning rate may spike for a few. */
const patience = 25;

const sumsSchema = z.strictObject({ steps: z.int(), loss: z.number(), correct: z.number(), gradientNorm: z.number() });

/** All that a curve remembers, as JSON. */
export const curveStateSchema = z.strictObject({
  points: z.array(curvePointSchema),
  step: z.int(),
  /** Loss of the first step. */
  firstLoss: z.number(),
  stepsAbove: z.int(),
  /** Sums over the steps since the last point. */
  pending: sumsSchema,
});
export type CurveState = z.output<typeof curveStateSchema>;

const nothing = { steps: 0, loss: 0, correct: 0, gradientNorm: 0 };

/** Averages losses into a few dozen points and notices divergence. */
export class TrainingCurve {
  /** The loss is not finite, or has stayed far above that of guessing and of where it started. */
  diverged = false;
  readonly #examplesAfter: (step: number) => number;
  readonly #rowsPerExample: number;
  readonly #chanceLoss: number;
  readonly #stepsPerPoint: number;
  readonly #steps: number;
  readonly #onPoint: ((point: CurvePoint) => void) | undefined;
  readonly #points: CurvePoint[] = [];
  #step = 0;
  #firstLoss = 0;
  #stepsAbove = 0;
  #pending = nothing;

  /**
   * @param examplesAfter examples that so many steps have seen.
   * @param classes that a row may be of, all alike to who knows nothing: one easy batch at the start is no measure of what is high.
   * @param onPoint hears of every point as it is made. @param state goes on from here.
   */
  constructor(
    steps: number,
    {
      examplesAfter,
      classes,
      rowsPerExample = 1,
    }: {
      readonly examplesAfter: (step: number) => number;
      readonly classes: number;
      readonly rowsPerExample?: number;
    },
    onPoint?: (point: CurvePoint) => void,
    state?: CurveState,
  ) {
    this.#steps = steps;
    this.#examplesAfter = examplesAfter;
    this.#rowsPerExample = rowsPerExample;
    this.#chanceLoss = Math.log(classes);
    this.#stepsPerPoint = Math.ceil(steps / points);
    this.#onPoint = onPoint;
    if (!state) return;
    this.#points.push(...state.points);
    this.#step = state.step;
    this.#firstLoss = state.firstLoss;
    this.#stepsAbove = state.stepsAbove;
    this.#pending = state.pending;
  }

  get points(): readonly CurvePoint[] {
    return this.#points;
  }

  get state(): CurveState {
    return {
      points: this.#points.slice(),
      step: this.#step,
      firstLoss: this.#firstLoss,
      stepsAbove: this.#stepsAbove,
      pending: this.#pending,
    };
  }

  /** Takes one step's mean loss, how many of its rows were right and, where it is known, its gradients' norm. */
  observe(loss: number, correct: number, gradientNorm = 0): void {
    if (this.#step === 0) this.#firstLoss = loss;
    const start = Math.max(this.#firstLoss, this.#chanceLoss);
    this.#stepsAbove = loss > lossMultiple * start ? this.#stepsAbove + 1 : 0;
    this.#step += 1;
    if (!Number.isFinite(loss) || this.#stepsAbove >= patience) this.diverged = true;
    if (!Number.isFinite(loss)) return;
    const sums = this.#pending;
    this.#pending = {
      steps: sums.steps + 1,
      loss: sums.loss + loss,
      correct: sums.correct + correct,
      gradientNorm: sums.gradientNorm + (Number.isFinite(gradientNorm) ? gradientNorm : 0),
    };
    if (this.#pending.steps === this.#stepsPerPoint || this.#step === this.#steps) this.#close();
  }

  #close(): void {
    const { steps, loss, correct, gradientNorm } = this.#pending;
    const examples = this.#examplesAfter(this.#step);
    const rows = (examples - this.#examplesAfter(this.#step - steps)) * this.#rowsPerExample;
    const point: CurvePoint = {
      examples,
      loss: loss / steps,
      accuracy: correct / rows,
      ...(gradientNorm > 0 ? { gradientNorm: gradientNorm / steps } : {}),
    };
    this.#points.push(point);
    this.#onPoint?.(point);
    this.#pending = nothing;
  }
}
