import type { Choices, Metrics } from '../core/trial.ts';
import type { Controller, ObservedTrial } from './controller.ts';
import { completeLosses, lossesOf, type Objective } from './objectives.ts';
import { promotionOrder, type RungResult } from './promotion.ts';
import { calibrateRung } from './rung-calibration.ts';

/** Steers {@link SuccessiveHalving}. */
export interface SuccessiveHalvingOptions {
  /** Proposes new networks. */
  readonly controller: Controller;
  /**
   * Training examples of each rung, each at least twice those of the one before; one rung is a search without halving. A network in
   * so many goes on as the next rung takes more examples (η), so that every rung costs about the same.
   */
  readonly rungs: readonly number[];
  /** Seed of every training, as controllers are told. */
  readonly seed: number;
  /** New networks in all. */
  readonly trials: number;
  /** So many networks reach the top at least, where there are as many. */
  readonly finalists: number;
  /** What is optimised; accuracy first. */
  readonly objectives: readonly Objective[];
  /** The number that the choice of one network maximises, of metrics that are complete. */
  readonly rewardOf: (metrics: Metrics) => number;
}

/** The answer of a network at a rung. */
export type RungAnswer =
  | {
      readonly status: 'ok';
      readonly metrics: Metrics;
      /** Half the width of a loss's interval by metric, on the objective's scale; exact where it has none. */
      readonly tolerances?: Readonly<Record<string, number>>;
    }
  | {
      readonly status: 'infeasible';
      readonly metrics?: Metrics | undefined;
      readonly violation?: number | undefined;
      /** Whether it was trained, so that its place in the rung was paid for. */
      readonly isTrained: boolean;
    }
  /** Nothing is learned from it. */
  | { readonly status: 'failed' };

/** What to train next. */
export type Assignment =
  | { readonly kind: 'proposal'; readonly choices: Choices }
  | {
      readonly kind: 'promotion';
      readonly id: string;
      readonly choices: Choices;
      /** Index of the rung to train at. */
      readonly rung: number;
      /** The reason, for people. */
      readonly because: string;
    };

interface Network {
  readonly id: string;
  readonly choices: Choices;
  /** By rung; undefined while it is trained there, absent where it has not come. */
  readonly answers: (RungAnswer | undefined)[];
}

/**
 * Asynchronous successive halving over several objectives, around any controller: networks begin at the lowest rung, and a network is
 * promoted as soon as it is in the top 1 ÷ η of the results its rung has by then ({@link promotionOrder}), without waiting for
 * the rung to fill. Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", algorithm 2 (ASHA); over
 * several objectives as Schmucker et al. (2021), "Multi-objective Asynchronous Successive Halving". Networks are compared within a rung only.
 *
 * We differ: networks are a number that is given, and when no more come, each rung from the lowest up is completed: at least `finalists` of it
 * go on, by reward. The controller hears of each network once, at the latest rung that any network reached: where a network has
 * no result there, with the accuracy its own promises ({@link calibrateRung}), told anew as that becomes clearer.
 *
 * A pure machine: `next` changes nothing, and equal calls of `begin` and `answer` in equal order give equal assignments.
 */
export class SuccessiveHalving {
  readonly #options: SuccessiveHalvingOptions;
  readonly #networks = new Map<string, Network>();
  /** With one rung: what is answered and told, of which nothing is needed again, and whether it has a result. */
  readonly #over = new Map<string, boolean>();
  #isOpen = true;
  #isOutOfTime = false;
  #isRefused = false;

  /** @throws {RangeError} unless there are rungs, each at least twice the one before. */
  constructor(options: SuccessiveHalvingOptions) {
    const { rungs } = options;
    if (rungs.length === 0 || rungs.some((examples, rung) => examples < 2 * (rungs[rung - 1] ?? 0)))
      throw new RangeError(`expected rungs, each at least twice the one before, got ${rungs.join(', ') || 'none'}`);
    this.#options = options;
  }

  /** How many networks have begun. */
  get size(): number {
    return this.#networks.size + this.#over.size;
  }

  /**
   * At most `count` things to train, promotions first and of these the highest: what is due, then new networks. Empty while what
   * is under way must be awaited, or when nothing is under way and the search is over.
   */
  next(count: number): readonly Assignment[] {
    if (this.#isRefused) return [];
    const { controller, trials } = this.#options;
    const due = this.#isOutOfTime ? this.#lastPromotion() : this.#promotions();
    const promotions = due.slice(0, count);
    const wanted = this.#isOpen ? Math.min(count - promotions.length, trials - this.size) : 0;
    const proposals = wanted > 0 ? controller.suggest(wanted) : [];
    return [...promotions, ...proposals.map((choices) => ({ kind: 'proposal' as const, choices }))];
  }

  /** A network begins at a rung; the lowest makes it known. @returns false when it was there before. */
  begin(id: string, choices: Choices, rung = 0): boolean {
    const known = this.#networks.get(id);
    if (this.#over.has(id) || (known && rung < known.answers.length)) return false;
    const network = known ?? { id, choices, answers: [] };
    network.answers.push(undefined);
    this.#networks.set(id, network);
    if (rung === 0) this.#tell([network]);
    return true;
  }

  /** A network's answer at a rung that it began at. */
  answer(id: string, rung: number, answer: RungAnswer): void {
    const network = this.#networks.get(id);
    if (!network || rung !== network.answers.length - 1)
      throw new Error(`expected an answer for a rung that ${id} is at, got one for rung ${rung}`);
    network.answers[rung] = answer;
    // A network at two rungs tells what the lower one promises for all that are there only.
    this.#tell(rung === 0 ? [network] : [...this.#networks.values()]);
    if (this.#options.rungs.length > 1) return;
    this.#over.set(id, this.#resultOf(network, 0) !== undefined);
    this.#networks.delete(id);
  }

  /**
   * No more new networks: what there is goes on. `out-of-time` leaves only what makes one network reach the top, `refused` nothing:
   * whatever was asked for now would not be trained.
   */
  close(why: 'exhausted' | 'out-of-time' | 'refused'): void {
    this.#isOpen = false;
    this.#isOutOfTime ||= why === 'out-of-time';
    this.#isRefused ||= why === 'refused';
  }

  /** Networks with a result at the highest rung that has one, and that rung. */
  top(): { readonly rung: number; readonly ids: readonly string[] } {
    for (let rung = this.#options.rungs.length - 1; rung > 0; rung--) {
      const ids = this.#resultsAt(rung).map(({ id }) => id);
      if (ids.length > 0) return { rung, ids };
    }
    const over = [...this.#over].flatMap(([id, hasResult]) => (hasResult ? id : []));
    return { rung: 0, ids: [...over, ...this.#resultsAt(0).map(({ id }) => id)] };
  }

  /** How many networks began at each rung. */
  counts(): readonly number[] {
    return this.#options.rungs.map((_, rung) => this.#begunAt(rung).length + (rung === 0 ? this.#over.size : 0));
  }

  #begunAt(rung: number): readonly Network[] {
    return [...this.#networks.values()].filter(({ answers }) => answers.length > rung);
  }

  #resultsAt(rung: number): readonly RungResult[] {
    return this.#begunAt(rung).flatMap((network) => this.#resultOf(network, rung) ?? []);
  }

  #resultOf({ id, answers }: Network, rung: number): RungResult | undefined {
    const { objectives, rewardOf } = this.#options;
    const answer = answers[rung];
    if (answer?.status !== 'ok') return undefined;
    const { metrics, tolerances = {} } = answer;
    const losses = completeLosses(lossesOf({ metrics }, objectives));
    if (losses === undefined) return undefined;
    return {
      id,
      losses,
      reward: rewardOf(metrics),
      tolerances: objectives.map(({ metric }) => tolerances[metric] ?? 0),
    };
  }

  /** What is due at every rung, the highest first. */
  #promotions(): readonly Assignment[] {
    const { rungs } = this.#options;
    const due: Assignment[][] = [];
    for (const [rung, examples] of rungs.slice(0, -1).entries()) {
      const results = this.#resultsAt(rung);
      const reduction = (rungs[rung + 1] ?? 0) / examples;
      const quota = Math.floor(this.#paidAt(rung) / reduction);
      const share = `1 in ${Number(reduction.toPrecision(3))} goes on`;
      const own = promotionOrder(results, quota).flatMap(({ id }, place) => {
        const because = `place ${place + 1} of ${results.length} after ${examples} examples, where ${share}`;
        return this.#promotion(id, rung + 1, because);
      });
      if (own.length === 0 && this.#isSettled(rung)) own.push(...this.#finalists(rung, results));
      due.unshift(own);
    }
    return due.flat();
  }

  /** Who else goes on from a rung that gets no more results. */
  #finalists(rung: number, results: readonly RungResult[]): Assignment[] {
    const { finalists, rungs } = this.#options;
    const above = this.#begunAt(rung + 1).filter(({ answers }) => isHopeful(answers[rung + 1])).length;
    return results
      .toSorted((a, b) => b.reward - a.reward)
      .flatMap(({ id }) =>
        this.#promotion(id, rung + 1, `among the best by reward after ${rungs[rung]} examples, for ${finalists} go on`),
      )
      .slice(0, Math.max(0, finalists - above));
  }

  /** The best of the highest rung with results, one rung up, unless that is the top. */
  #lastPromotion(): readonly Assignment[] {
    const { rung, ids } = this.top();
    const isBusy = [...this.#networks.values()].some(({ answers }) => answers.includes(undefined));
    if (rung === this.#options.rungs.length - 1 || ids.length === 0 || isBusy) return [];
    return promotionOrder(this.#resultsAt(rung), ids.length)
      .flatMap(({ id }) => this.#promotion(id, rung + 1, 'the best so far: the time for the search is used'))
      .slice(0, 1);
  }

  /** Nobody is promoted twice. */
  #promotion(id: string, rung: number, because: string): Assignment[] {
    const network = this.#networks.get(id);
    if (!network || network.answers.length > rung) return [];
    return [{ kind: 'promotion', id, choices: network.choices, rung, because }];
  }

  /** Results of a rung, those that diverged counted: what its share is taken of. */
  #paidAt(rung: number): number {
    return this.#begunAt(rung).filter(({ answers }) => {
      const answer = answers[rung];
      return answer?.status === 'ok' || (answer?.status === 'infeasible' && answer.isTrained);
    }).length;
  }

  /** Whether a rung gets no more results. */
  #isSettled(rung: number): boolean {
    if (this.#isOpen && this.size < this.#options.trials) return false;
    return [...this.#networks.values()].every(({ answers }) => !answers.slice(0, rung + 1).includes(undefined));
  }

  #tell(networks: readonly Network[]): void {
    const promise = this.#promises();
    this.#options.controller.observe(networks.flatMap((network) => this.#observed(network, promise)));
  }

  #observed(
    { id, choices, answers }: Network,
    promise: (accuracy: number, rung: number) => number,
  ): readonly ObservedTrial[] {
    const { rungs, seed, rewardOf } = this.#options;
    const rung = Math.max(
      0,
      answers.findLastIndex((answer) => answer !== undefined && answer.status !== 'failed'),
    );
    const answer = answers[rung];
    const told = { id, choices, fidelity: { examples: rungs[rung] ?? 0, seed } };
    if (answer === undefined || answer.status === 'failed') return [{ ...told, status: 'issued' }];
    if (answer.status === 'infeasible') {
      const { metrics, violation } = answer;
      return [
        {
          ...told,
          status: 'infeasible',
          ...(metrics === undefined ? {} : { metrics }),
          ...(violation === undefined ? {} : { violation }),
        },
      ];
    }
    const { accuracy } = answer.metrics;
    const metrics = accuracy === undefined ? answer.metrics : { ...answer.metrics, accuracy: promise(accuracy, rung) };
    return [{ ...told, status: 'ok', metrics, reward: rewardOf(metrics) }];
  }

  /** What an accuracy at a rung promises at the highest that has results. */
  #promises(): (accuracy: number, rung: number) => number {
    const { rungs } = this.#options;
    const steps = rungs.slice(1).map((_, rung) => calibrateRung(this.#pairs(rung)));
    return (accuracy, rung) => steps.slice(rung).reduce((value, step) => step(value), accuracy);
  }

  #pairs(rung: number) {
    return this.#begunAt(rung + 1).flatMap(({ answers }) => {
      const [lower, higher] = [accuracyOf(answers[rung]), accuracyOf(answers[rung + 1])];
      return lower === undefined || higher === undefined ? [] : [{ lower, higher }];
    });
  }
}

/** Whether a network at a rung has a result there, or may still get one. */
function isHopeful(answer: RungAnswer | undefined): boolean {
  return answer === undefined || answer.status === 'ok';
}

function accuracyOf(answer: RungAnswer | undefined): number | undefined {
  return answer?.status === 'ok' ? answer.metrics['accuracy'] : undefined;
}
