import type { Latency } from '../../latency/latency.ts';
import type { Controller } from '../../search/controller.ts';
import type { Evaluator } from '../../search/evaluator.ts';
import { accuracyAndLatencies } from '../../search/objectives.ts';
import { type Reward, rewardOf } from '../../search/reward.ts';
import { decode, type SpaceNode } from '../../search/space.ts';
import { type Assignment, type RungAnswer, SuccessiveHalving } from '../../search/successive-halving.ts';
import { isOverBudget, phaseTimeLeft } from '../budget.ts';
import type { StudyContext } from '../context.ts';
import { admit, type Bounds, evaluateAll, latencyId } from '../evaluation/evaluate.ts';
import type { Proposal, Trial } from '../journal/record.ts';
import { rungsOf } from '../study-file.ts';
import { RollingTrainings } from './rolling-trainings.ts';

/** What a search tried, by ids of trials: there may be very many. */
export interface Searched {
  /** A trial for each network, at the lowest rung, in order of issue. */
  readonly tried: readonly string[];
  /** Those with a result at the highest rung that has one, in order of issue. */
  readonly top: readonly string[];
}

interface SearchLoopOptions {
  readonly space: SpaceNode;
  readonly controller: Controller;
  readonly reward: Reward;
  readonly bounds: readonly Bounds[];
  /** The best trial in words, for the progress line; undefined while there is none. */
  readonly describeBest: (trial: string | undefined) => string;
}

/**
 * Proposals and promotions until networks, time or space run out: successive halving over the study's rungs, which with one rung is
 * the controller alone.
 *
 * Here, where a latency is measured while nothing trains, work goes in rounds of `search.round`: promotions and new networks are
 * measured, then trained, and the next round knows all of them; so decisions do not depend on which training ends first. On a fleet
 * trainings at several rungs would leave workers waiting for the longest, so there `search.round` networks are always under way, and
 * whenever one is answered the next is decided. That decision knows the answers up to that one in the order of the journal: the
 * journal's order is all that a resumed study needs to decide alike.
 */
export async function searchNetworks(context: StudyContext, options: SearchLoopOptions): Promise<Searched> {
  const { config, onProgress } = context;
  const halving = openHalving(context, options);
  const underWay = new Map<string, Place>();
  const tried: string[] = [];
  const promoted: Pick<Place, 'id' | 'network' | 'rung'>[] = [];
  let best: Scored | undefined;
  let label = `0/${config.search.trials} tried`;
  const rolling = rollsOn(context) ? new RollingTrainings(context, () => label) : undefined;
  try {
    for (let step = 0; ; step++) {
      const free = (): number => config.search.round - (rolling?.size ?? 0);
      let assignments = halving.next(free());
      if (assignments.length > 0 && !(await phaseTimeLeft(context, 'search', config.budget.split.search, step))) {
        halving.close('out-of-time');
        assignments = halving.next(free());
      }
      if (assignments.length === 0 && !rolling?.size) break;
      const begun = await begin(context, options, halving, assignments);
      for (const place of begun) {
        underWay.set(place.id, place);
        if (place.rung === 0) tried.push(place.id);
        else promoted.push({ id: place.id, network: place.network, rung: place.rung });
      }
      const issued = begun.map(({ trial }) => trial);
      if (!rolling) await evaluateAll(context, issued, { label, keepWeights: false });
      const answered = rolling ? await rolling.next(issued) : issued;
      for (const { id } of answered) {
        const place = underWay.get(id) as Place;
        underWay.delete(id);
        const answer = answerOf(context, place.trial);
        halving.answer(place.network, place.rung, answer);
        best = better(best, place, answer, options.reward);
        if (isOverBudget(context.record.outcome(id))) halving.close('refused');
      }
      label = `${describeRungs(halving)}, ${options.describeBest(best?.id)}`;
      onProgress({ phase: 'search', text: label });
    }
  } finally {
    await rolling?.close();
  }
  const { rung: highest, ids } = halving.top();
  const networks = new Set(ids);
  const atTop = promoted.flatMap(({ id, network, rung }) => (rung === highest && networks.has(network) ? id : []));
  return { tried, top: highest === 0 ? tried.filter((id) => networks.has(id)) : atTop };

  function describeRungs(of: SuccessiveHalving): string {
    const [first = 0, ...others] = of.counts();
    const promoted = others.length === 0 ? '' : `, promoted ${others.join(' and ')}`;
    return `${first}/${config.search.trials} tried${promoted}`;
  }
}

/** A trial with a result. */
interface Scored {
  readonly id: string;
  readonly rung: number;
  readonly reward: number;
}

/** The best so far: of the highest rung, the first of the highest reward. */
function better(best: Scored | undefined, { id, rung }: Place, answer: RungAnswer, by: Reward): Scored | undefined {
  if (answer.status !== 'ok') return best;
  const reward = rewardOf(by, answer.metrics);
  const isBetter = !best || rung > best.rung || (rung === best.rung && reward > best.reward);
  return isBetter && !Number.isNaN(reward) ? { id, rung, reward } : best;
}

/** Where a trial stands: its network, named by the trial at the lowest rung, and its rung. */
interface Place {
  readonly id: string;
  readonly network: string;
  readonly rung: number;
  readonly trial: Trial;
}

/** Whether trainings are decided one by one: several rungs, and an evaluator that a queue stands before. */
function rollsOn({ config, evaluator }: { config: StudyContext['config']; evaluator: Pick<Evaluator, 'inFlight'> }) {
  return rungsOf(config.search).length > 1 && evaluator.inFlight !== undefined;
}

function openHalving({ config }: StudyContext, { controller, reward }: SearchLoopOptions): SuccessiveHalving {
  const { search, seed, targets } = config;
  return new SuccessiveHalving({
    controller,
    rungs: rungsOf(search),
    seed,
    trials: search.trials,
    finalists: search.finalists,
    objectives: accuracyAndLatencies(Object.keys(targets)),
    rewardOf: (metrics) => rewardOf(reward, metrics),
  });
}

/** Issues and admits assignments, one after the other; those of networks that were there before are left out. */
async function begin(
  context: StudyContext,
  { space, bounds }: SearchLoopOptions,
  halving: SuccessiveHalving,
  assignments: readonly Assignment[],
): Promise<Place[]> {
  const places: Place[] = [];
  for (const assignment of assignments) {
    const [trial] = await admit(context, [proposalOf(context, space, assignment, halving.size)], bounds);
    if (!trial) throw new Error('one proposal gives one trial');
    const [network, rung] = assignment.kind === 'promotion' ? [assignment.id, assignment.rung] : [trial.id, 0];
    if (halving.begin(network, assignment.choices, rung)) places.push({ id: trial.id, network, rung, trial });
  }
  // Everything proposed was tried before: the space is exhausted.
  if (assignments.length > 0 && places.length === 0) halving.close('exhausted');
  return places;
}

function proposalOf({ config }: StudyContext, space: SpaceNode, assignment: Assignment, before: number): Proposal {
  const { controller, round } = config.search;
  const { choices } = assignment;
  const rung = assignment.kind === 'promotion' ? assignment.rung : 0;
  return {
    phase: 'search',
    choices,
    spec: decode(space, choices),
    fidelity: { examples: rungsOf(config.search)[rung] ?? 0, seed: config.seed },
    origin:
      assignment.kind === 'promotion'
        ? { by: 'successive halving', because: `${assignment.id} goes on: ${assignment.because}` }
        : { by: controller, because: `round ${Math.floor(before / round) + 1} of the search` },
  };
}

/**
 * Half the width of a latency's interval, in logarithms: what differs by less may be luck. None of a predicted one, whose interval
 * is about the device and nearly the same error for every network: a prediction has no luck.
 */
export function latencyTolerance({ source, intervalMs: { lo, hi } }: Pick<Latency, 'source' | 'intervalMs'>): number {
  return source !== 'predicted' && lo > 0 && hi > lo ? Math.log(hi / lo) / 2 : 0;
}

/** A trial's outcome as promotion and controller see it. */
function answerOf({ config, record }: StudyContext, trial: Trial): RungAnswer {
  const outcome = record.outcome(trial.id);
  if (outcome?.status === 'ok') {
    const tolerances = Object.keys(config.targets).map((target) => {
      const latency = record.latency(latencyId(target, trial.specDigest));
      return [`latencyMs.${target}`, latency ? latencyTolerance(latency) : 0] as const;
    });
    return { status: 'ok', metrics: outcome.metrics, tolerances: Object.fromEntries(tolerances) };
  }
  if (outcome?.status !== 'infeasible') return { status: 'failed' };
  const { metrics, limit, observed, cost } = outcome;
  const violation = limit !== undefined && observed !== undefined && limit > 0 ? observed / limit - 1 : undefined;
  return { status: 'infeasible', metrics, violation, isTrained: cost !== undefined };
}
