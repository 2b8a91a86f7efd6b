import { Random } from '../../core/random.ts';
import { dot } from '../../core/linear-algebra.ts';
import { trainingFlopsPerMac } from '../../models/counts.ts';
import { evenExamples, type FamilyBudget, type FamilyPart, leanToEven } from '../../scaling/family-budget.ts';
import { naturalValues } from '../../scaling/laws/law.ts';
import { hoursText, trainingDeviceHours, trainingFlopsLeft, trainingTimeMs } from '../budget.ts';
import type { StudyContext } from '../context.ts';
import { countSpec } from '../evaluation/evaluate.ts';
import {
  designProblem,
  expectedLoss,
  type FamilyLaw,
  fitFamilyLaw,
  forecast,
  gainOfExamples,
  lawTrials,
  type LossForecast,
} from './family-law.ts';
import { finalWork, finalMacsPerExample } from './final-training.ts';
import { familyLine, type Scaling, type SizedScalings } from '../scale/scalings.ts';
import { type StudyConfig, topExamples } from '../study-file.ts';
import { type TrainingSpeed, trainingSpeed } from './training-speed.ts';

/** What one size of the family gets out of the budget. */
export type SizeAllocation = {
  readonly target: string;
  readonly size: string;
  /** Digest of the likeliest network, the first finalist. */
  readonly network: string;
  /** Of every network that is trained for the size. */
  readonly examples: number;
  /** Training FLOPs and seconds of a training slot, of one training of that network. */
  readonly flops: number;
  readonly seconds: number | null;
  /** Hold-out cross-entropy of that network; null without a law. */
  readonly forecast: LossForecast | null;
};

/** The law that divided a budget, as the journal keeps it. */
export type JournalledLaw = {
  readonly name: string;
  /** Natural values by name, N in units of `unitMacs`. */
  readonly values: Readonly<Record<string, number>>;
  readonly unitMacs: number;
  readonly trials: number;
  /** Mean |ln predicted − ln observed| on these. */
  readonly meanError: number;
  /** Σ of the family's expected losses as divided, and if every size got the same examples. */
  readonly expected: { readonly law: number; readonly even: number };
};

/** How many examples the final trainings see: the decision `allocation`. */
export type Allocation = {
  readonly split: 'configured' | 'even' | 'law';
  /** By the digest of the network. */
  readonly examples: Readonly<Record<string, number>>;
  /** Empty where nothing was divided. */
  readonly sizes: readonly SizeAllocation[];
  readonly law: JournalledLaw | null;
  /** Why a budget was not divided by a law. */
  readonly problem: string | null;
};

/** Id of the decision. */
export const allocationId = 'allocation';

/** Largest training amount a budget may decide, in passes over the training split. */
const maxEpochs = 60;

/**
 * Examples that final trainings see: as configured, or what the budgets leave, the tightest of them. A budget is divided over the sizes of
 * the family by the law of the loss that the study's own trials tell, so that the sum of the sizes' losses is least; evenly where they
 * tell none. All networks of a size see the same, for they compete; so do sizes that share a network, which is trained once.
 */
export async function allocate(context: StudyContext, sizes: readonly SizedScalings[]): Promise<Allocation> {
  const { record, onNotice } = context;
  const allocation = upgraded(
    await record.decideOnce<Allocation | number>(allocationId, () => decide(context, sizes)),
    sizes,
  );
  if (allocation.problem !== null) onNotice(allocationId, evenText(allocation.problem));
  return allocation;
}

/** Why the examples are the same for all, for people. */
export function evenText(problem: string): string {
  return `the budget is divided evenly, for the trials do not identify a law of the loss: ${problem}`;
}

/** How the budget of a study will be divided, as far as its file tells; null without one. */
export function divisionOutlook(config: StudyConfig): string | null {
  const { time, deviceHours, flops } = config.budget;
  if (time === undefined && deviceHours === undefined && flops === undefined) return null;
  const problem = designProblem(config);
  return problem === null
    ? 'the budget of the final trainings is divided by a law of the loss, if the trials identify one, and evenly otherwise'
    : `the budget of the final trainings is divided evenly: ${problem}`;
}

/** Journals from before budgets were divided hold one number for all networks. */
function upgraded(value: Allocation | number, sizes: readonly SizedScalings[]): Allocation {
  return typeof value === 'number' ? sameForAll(sizes, value) : value;
}

/** So many examples for every network, nothing divided. */
function sameForAll(sizes: readonly SizedScalings[], amount: number): Allocation {
  const networks = sizes.flatMap(({ finalists }) => finalists);
  const examples = Object.fromEntries(networks.map(({ digest }) => [digest, amount]));
  return { split: 'configured', examples, sizes: [], law: null, problem: null };
}

async function decide(
  context: StudyContext,
  sizes: readonly SizedScalings[],
): Promise<{ readonly value: Allocation; readonly because: string }> {
  const { config } = context;
  const speed = trainingSpeed(context.record);
  const budgets = budgetsLeft(context, sizes, speed);
  if (budgets.length === 0) {
    const { time, deviceHours } = config.budget;
    const isUnknown = time !== undefined || deviceHours !== undefined;
    const because = `final.examples${isUnknown ? ': no trial tells what training costs' : ''}`;
    return { value: sameForAll(sizes, config.final.examples), because };
  }
  const groups = groupsOf(sizes.filter(({ finalists }) => finalists.length > 0));
  const fitted = await familyLaw(context);
  const law = 'law' in fitted ? fitted.law : null;
  const problem = 'problem' in fitted ? fitted.problem : null;
  const division = divide(context, groups, budgets, law);
  const split = law ? 'law' : 'even';
  return { value: described(context, groups, division, { split, speed, law, problem }), because: division.because };
}

async function familyLaw(context: StudyContext): ReturnType<typeof fitFamilyLaw> {
  const { config, record, data, signal, onProgress } = context;
  const trials = lawTrials(record, config, data.classNames.length);
  return fitFamilyLaw(trials, data.counts.train, config.seed, {
    signal,
    onProgress: (text) => onProgress({ phase: 'allocate', text }),
  });
}

/** Sizes whose networks see the same examples. */
interface Group {
  readonly sizes: readonly SizedScalings[];
  /** Distinct, of all lines. */
  readonly networks: readonly Scaling[];
}

/** The size of the family that a line is compared with: its own, of another line the nearest in latency; itself where its target has none. */
function memberBeside(sized: SizedScalings, sizes: readonly SizedScalings[]): SizedScalings {
  if (sized.line === familyLine) return sized;
  const distance = ({ targetMs }: SizedScalings) => Math.abs(Math.log(targetMs / sized.targetMs));
  const [nearest = sized] = sizes
    .filter(({ line, target }) => line === familyLine && target === sized.target)
    .toSorted((a, b) => distance(a) - distance(b));
  return nearest;
}

/**
 * What is compared sees the same and networks that stand in several sizes are trained once: both join sizes to a group.
 * @param sizes with finalists. A family may have fewer than the lines beside it.
 */
function groupsOf(sizes: readonly SizedScalings[]): readonly Group[] {
  const keysOf = (sized: SizedScalings): readonly string[] => [
    `${sized.target} ${memberBeside(sized, sizes).size.name}`,
    ...sized.finalists.map(({ digest }) => digest),
  ];
  const groups: SizedScalings[][] = [];
  for (const sized of sizes) {
    const keys = new Set(keysOf(sized));
    const joined = groups.filter((group) => group.flatMap(keysOf).some((key) => keys.has(key)));
    for (const group of joined) groups.splice(groups.indexOf(group), 1);
    groups.push([...joined.flat(), sized]);
  }
  return groups.map((members) => ({
    sizes: members,
    networks: [...new Map(members.flatMap(({ finalists }) => finalists).map((each) => [each.digest, each])).values()],
  }));
}

/** One budget: what is left of it for the final trainings, in a unit of its own. */
interface Left {
  readonly total: number;
  /** What one example of a network costs. */
  readonly costOf: (network: Scaling) => number;
  readonly because: string;
}

/** What the budgets leave; none where none is given, or no trial tells what training costs. */
function budgetsLeft(
  context: StudyContext,
  sizes: readonly SizedScalings[],
  { secondsPerExample, deviceHoursPerExample }: TrainingSpeed,
): readonly Left[] {
  const members = sizes.reduce((sum, { finalists }) => sum + Math.min(1, finalists.length), 0);
  const { config } = context;
  const { seeds } = config.final;
  const timeMs = trainingTimeMs(context, members);
  const deviceHours = trainingDeviceHours(context);
  const flops = trainingFlopsLeft(context);
  const left: Left[] = [];
  if (timeMs !== undefined && secondsPerExample) {
    const { slots } = context.evaluator;
    left.push({
      total: (timeMs / 1e3) * slots,
      costOf: ({ spec }) => seeds * secondsPerExample(finalWork(config, spec)),
      because: `${(timeMs / 1e3).toFixed(0)} s are left on ${slots} training ${slots === 1 ? 'slot' : 'slots'}`,
    });
  }
  // Trainings that cost no device hours are bounded by none.
  if (deviceHours !== undefined && deviceHoursPerExample)
    left.push({
      total: deviceHours,
      costOf: ({ spec }) => seeds * deviceHoursPerExample(finalWork(config, spec)),
      because: `${hoursText(deviceHours)} device hours are left`,
    });
  if (flops !== undefined)
    left.push({
      total: flops,
      costOf: ({ spec }) => seeds * trainingFlopsPerMac * finalMacsPerExample(config, spec),
      because: `${flops.toPrecision(3)} training FLOPs are left`,
    });
  return left;
}

/** What groups get, and what all would get of the same budget evenly. */
interface Division {
  readonly examples: readonly number[];
  readonly even: number;
  readonly because: string;
}

/** Examples of each group: the best of what dividing each budget alone gives, less of all where that passes another one, and of the same for all. */
function divide(
  { config, data }: StudyContext,
  groups: readonly Group[],
  budgets: readonly Left[],
  law: FamilyLaw | null,
): Division {
  const least = topExamples(config.search);
  const most = Math.max(least, maxEpochs * data.counts.train);
  const limits = budgets.map(({ total, costOf, because }) => {
    const costs = groups.map(({ networks }) => networks.reduce((sum, each) => sum + costOf(each), 0));
    const budget: FamilyBudget = { total, least, most };
    return { costs, budget, because, even: evenExamples(costs, budget) };
  });
  const tightest = limits.reduce((a, b) => (b.even < a.even ? b : a));
  const { even } = tightest;
  const networks = groups.reduce((sum, group) => sum + group.networks.length, 0);
  const because = `${tightest.because} for ${networks} networks × ${config.final.seeds} seeds`;
  const evenly = groups.map(() => even);
  if (!law) return { examples: evenly, even, because };
  const divided = limits.map(({ costs, budget }) => {
    const parts = groups.map(({ sizes }, k): FamilyPart => ({ cost: costs[k] ?? 0, gain: gainOf(sizes, law) }));
    const { examples, lean } = leanToEven(parts, budget, keepsLeads(groups, even, law));
    const excess = Math.max(1, ...limits.map((limit) => dot(limit.costs, examples) / limit.budget.total));
    return {
      examples: examples.map((amount) => Math.max(least, Math.floor(amount / excess))),
      how: lean === 0 ? '' : `, leaning ${lean} of the way to even so that larger sizes keep their lead`,
    };
  });
  // A division that passes another budget is lowered until it does not, and may then be no better than the same for all.
  const { examples, how } = [...divided, { examples: evenly, how: ': the same for all is best' }].reduce((a, b) =>
    expectedSum(groups, b.examples, law) < expectedSum(groups, a.examples, law) ? b : a,
  );
  return {
    examples,
    even,
    because: `${because}, divided by ${law.law.name}'s law of ${law.trials.length} trials${how}`,
  };
}

/** Share of its lead over the next smaller size, with the same examples for all, that a size must keep. */
const keptLead = 0.5;

/**
 * Whether every size of a target keeps half its lead over the next smaller one. The least sum of losses alone favours small networks,
 * whose examples are cheap, and under a small budget would leave larger ones behind them.
 */
function keepsLeads(groups: readonly Group[], even: number, law: FamilyLaw): (examples: readonly number[]) => boolean {
  const wanted = leadsOf(
    groups,
    groups.map(() => even),
    law,
  );
  // What has no lead evenly has none to keep.
  const isKept = (lead: number, k: number) => (wanted[k] ?? 0) <= 0 || lead >= keptLead * (wanted[k] ?? 0);
  return (examples) => leadsOf(groups, examples, law).every(isKept);
}

/** How much lower the expected loss of each size is than that of the next smaller one of its target. */
function leadsOf(groups: readonly Group[], examples: readonly number[], law: FamilyLaw): readonly number[] {
  const sizes = groups.flatMap((group, k) =>
    likeliest(group.sizes).map(({ target, targetMs, network }) => {
      return { target, targetMs, loss: expectedLoss(law, asked(network), examples[k] ?? 0) };
    }),
  );
  const ordered = sizes.toSorted((a, b) => a.targetMs - b.targetMs);
  return ordered.flatMap((size, k) => {
    const smaller = ordered.slice(0, k).findLast(({ target }) => target === size.target);
    return smaller ? [smaller.loss - size.loss] : [];
  });
}

/** The network that a size of the family will most likely hold, its first finalist; other lines are only compared. */
function likeliest(sizes: readonly SizedScalings[]): readonly (SizedScalings & { readonly network: Scaling })[] {
  return sizes.flatMap((sized) => {
    const [network] = sized.finalists;
    return sized.line === familyLine && network ? [{ ...sized, network }] : [];
  });
}

/** What a further example of a group takes off the sum of the family's losses. */
function gainOf(sizes: readonly SizedScalings[], law: FamilyLaw): FamilyPart['gain'] {
  const gains = likeliest(sizes).map(({ network }) => gainOfExamples(law, asked(network)));
  return (examples) => gains.reduce((sum, gain) => sum + gain(examples), 0);
}

function asked({ digest, spec }: Scaling): { readonly digest: string; readonly macs: number } {
  return { digest, macs: countSpec(spec).macs };
}

function described(
  { config }: StudyContext,
  groups: readonly Group[],
  { examples, even }: Division,
  how: Pick<Allocation, 'split' | 'problem'> & { readonly speed: TrainingSpeed; readonly law: FamilyLaw | null },
): Allocation {
  const { split, problem, speed, law } = how;
  const luck = new Random(config.seed).child('allocation');
  const sizes = groups.flatMap((group, k) => {
    const amount = examples[k] ?? 0;
    return likeliest(group.sizes).map(({ target, size, network }): SizeAllocation => {
      const work = finalWork(config, network.spec);
      return {
        target,
        size: size.name,
        network: network.digest,
        examples: amount,
        flops: trainingFlopsPerMac * work.macs * amount,
        seconds: speed.secondsPerExample && speed.secondsPerExample(work) * amount,
        forecast: law && forecast(law, asked(network), amount, luck),
      };
    });
  });
  return {
    split,
    examples: Object.fromEntries(
      groups.flatMap(({ networks }, k) => networks.map(({ digest }) => [digest, examples[k] ?? 0])),
    ),
    sizes,
    law: law && journalled(law, groups, { examples, even }),
    problem,
  };
}

/** Σ of the family's expected losses, with so many examples for each group. */
function expectedSum(groups: readonly Group[], examples: readonly number[], law: FamilyLaw): number {
  return groups
    .flatMap(({ sizes }, k) =>
      likeliest(sizes).map(({ network }) => expectedLoss(law, asked(network), examples[k] ?? 0)),
    )
    .reduce((sum, loss) => sum + loss, 0);
}

function journalled(
  law: FamilyLaw,
  groups: readonly Group[],
  { examples, even }: Pick<Division, 'examples' | 'even'>,
): JournalledLaw {
  return {
    name: law.law.name,
    values: naturalValues(law.law, law.theta),
    unitMacs: law.unitMacs,
    trials: law.trials.length,
    meanError: law.residuals.reduce((sum, value) => sum + Math.abs(value), 0) / law.residuals.length,
    expected: {
      law: expectedSum(groups, examples, law),
      even: expectedSum(
        groups,
        groups.map(() => even),
        law,
      ),
    },
  };
}
