import type { CurvePoint } from './trainer.ts';

const points = 30;
/** A loss this many times the first one … */
const lossMultiple = 3;
/** … for this many steps in a row is divergence; a high learning rate may spike for a few. */
const patience = 25;

/** Averages losses into a few dozen points and notices divergence. */
export class TrainingCurve {
  readonly points: CurvePoint[] = [];
  /** The loss is not finite, or has stayed far above where it started. */
  diverged = false;
  readonly #batchSize: number;
  readonly #stepsPerPoint: number;
  readonly #steps: number;
  readonly #onPoint: ((point: CurvePoint) => void) | undefined;
  #step = 0;
  #loss = 0;
  #correct = 0;
  #pending = 0;
  #limit = Number.POSITIVE_INFINITY;
  #stepsAbove = 0;

  /** @param onPoint hears of every point as it is made. */
  constructor(steps: number, batchSize: number, onPoint?: (point: CurvePoint) => void) {
    this.#steps = steps;
    this.#batchSize = batchSize;
    this.#stepsPerPoint = Math.ceil(steps / points);
    this.#onPoint = onPoint;
  }

  /** Takes one step's mean loss and how many of its rows were right. */
  observe(loss: number, correct: number): void {
    if (this.#step === 0) this.#limit = loss * lossMultiple;
    this.#stepsAbove = loss > this.#limit ? this.#stepsAbove + 1 : 0;
    this.#step += 1;
    if (!Number.isFinite(loss) || this.#stepsAbove >= patience) this.diverged = true;
    if (!Number.isFinite(loss)) return;
    this.#loss += loss;
    this.#correct += correct;
    this.#pending += 1;
    if (this.#pending === this.#stepsPerPoint || this.#step === this.#steps) this.#close();
  }

  #close(): void {
    const point: CurvePoint = {
      examples: this.#step * this.#batchSize,
      loss: this.#loss / this.#pending,
      accuracy: this.#correct / (this.#pending * this.#batchSize),
    };
    this.points.push(point);
    this.#onPoint?.(point);
    this.#loss = this.#correct = this.#pending = 0;
  }
}
