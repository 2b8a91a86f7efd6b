import type { Json } from '../core/digest.ts';
import { Random } from '../core/random.ts';
import type { Choices } from '../core/trial.ts';
import type { Controller, ObservedTrial, SearchOptions } from './controller.ts';
import { History } from './history.ts';
import { chooseIndices, indicesOf } from './space.ts';

/** Steers {@link Reinforce}. */
export interface ReinforceOptions extends SearchOptions {
  /** Step of Adam, in logits. Default .15: some tens of trials settle a decision. */
  readonly learningRate?: number;
  /** Decay of the moving average that rewards are compared with. Default .95, as in TuNAS. */
  readonly baselineDecay?: number;
}

/** Adam's decay of squared gradients; there is no momentum, as in TuNAS. */
const secondMomentDecay = 0.999;

/**
 * REINFORCE over independent categorical logits, one vector a decision, all 0 to begin with: Bender et al. (2020),
 * "Can weight sharing outperform random architecture search? An investigation with TuNAS", §3, without the weight sharing that
 * its name stands for. Only decisions that were reachable count in a trial's log-probability. The gradient of a
 * trial is (reward − baseline) · ∇ log p, taken by Adam (β₁ 0, β₂ .999); the baseline is a moving average. Give the study the
 * `absolute` reward, |c ÷ T − 1| (search/reward.ts), to have TuNAS's.
 *
 * We differ: every trial is trained on its own, so there are hundreds of steps and not hundreds of thousands, and the
 * learning rate is larger and constant; the average is corrected for its start; an infeasible trial is as good as the
 * worst seen so far; networks already tried are drawn again, at most 64 times. Maximises the trials' `reward`, whatever
 * the objectives.
 */
export class Reinforce implements Controller {
  readonly #options: ReinforceOptions & { readonly learningRate: number; readonly baselineDecay: number };
  readonly #history: History;

  /** @throws {RangeError} unless the learning rate is positive and the decay in [0, 1). */
  constructor(options: ReinforceOptions) {
    const { learningRate = 0.15, baselineDecay = 0.95 } = options;
    if (!(learningRate > 0 && baselineDecay >= 0 && baselineDecay < 1))
      throw new RangeError(
        `expected a positive learning rate and a decay in [0, 1), got ${learningRate} and ${baselineDecay}`,
      );
    this.#options = { ...options, learningRate, baselineDecay };
    this.#history = new History(options);
  }

  suggest(count: number): readonly Choices[] {
    const { space, seed } = this.#options;
    const logits = this.#policy();
    return this.#history.suggest(count, this.#options, ({ ordinal, drawNew }) => {
      const random = new Random(seed).child('reinforce', ordinal);
      return drawNew((attempt) =>
        chooseIndices(space, (tag, options) => {
          const weights = softmax(logits.get(tag) ?? zeros(options));
          let rest = random.child(attempt, tag).uniform();
          const chosen = weights.findIndex((weight) => (rest -= weight) < 0);
          return chosen < 0 ? options - 1 : chosen;
        }),
      );
    });
  }

  /** Logits by tag, after a step for each finished trial in the order of issue, whenever its result came. */
  #policy(): ReadonlyMap<string, readonly number[]> {
    const { space, learningRate, baselineDecay } = this.#options;
    const logits = new Map<string, number[]>();
    const squares = new Map<string, number[]>();
    let average = 0;
    let weight = 0;
    let steps = 0;
    let worst = Infinity;
    for (const trial of this.#history.finished) {
      const reward = trial.status === 'ok' ? trial.reward : worst;
      if (reward === undefined || !Number.isFinite(reward)) continue;
      worst = Math.min(worst, reward);
      average = baselineDecay * average + (1 - baselineDecay) * reward;
      weight = baselineDecay * weight + (1 - baselineDecay);
      const advantage = reward - average / weight;
      steps++;
      for (const { tag, index, options } of indicesOf(space, trial.choices)) {
        const own = logits.get(tag) ?? zeros(options);
        const moments = squares.get(tag) ?? zeros(options);
        const gradient = softmax(own).map((share, option) => advantage * ((option === index ? 1 : 0) - share));
        for (const [option, slope] of gradient.entries()) {
          const moment = secondMomentDecay * (moments[option] ?? 0) + (1 - secondMomentDecay) * slope ** 2;
          moments[option] = moment;
          const size = Math.sqrt(moment / (1 - secondMomentDecay ** steps)) + 1e-12;
          own[option] = (own[option] ?? 0) + (learningRate * slope) / size;
        }
        logits.set(tag, own);
        squares.set(tag, moments);
      }
    }
    return logits;
  }

  observe(trials: readonly ObservedTrial[]): void {
    this.#history.observe(trials);
  }

  state(): Json {
    const policy = Object.fromEntries([...this.#policy()].map(([tag, logits]) => [tag, softmax(logits)]));
    return { controller: 'reinforce', seed: this.#options.seed, trials: this.#history.toJson(), policy };
  }
}

function zeros(count: number): number[] {
  return Array.from({ length: count }, () => 0);
}

function softmax(logits: readonly number[]): readonly number[] {
  const top = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
