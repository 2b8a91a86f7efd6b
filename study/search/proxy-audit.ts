import { Random } from '../../core/random.ts';
import type { Count } from '../../models/counts.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { identity, type Multipliers } from '../../scaling/multipliers.ts';
import { fitAccuracy } from '../../scaling/surrogate.ts';
import { leftOutExpectations } from '../../search/left-out.ts';
import { type ProxyPair, type ProxyQuality, proxyQuality } from '../../search/proxy-quality.ts';
import { type ZeroCostProxy, zeroCostProxies } from '../../training/zero-cost-proxies.ts';
import { countSpec, latencyId } from '../evaluation/evaluate.ts';
import type { StudyRecord, Trial } from '../journal/record.ts';
import { predictionId } from '../evaluation/screening.ts';
import { rungsOf, type StudyConfig } from '../study-file.ts';

/** A cheap stand-in for something that this study found out, held against it. */
export interface AuditedProxy {
  /** `MACs`, `gradient norm`, `p50 on gpu`, … */
  readonly proxy: string;
  /** What it stands for, e.g. `accuracy after 6000 examples` or `p50 on cpu`. */
  readonly truth: string;
  readonly kind: 'accuracy' | 'latency';
  /** What this study decided by it; null where it only could have. */
  readonly decided: string | null;
  /** Whether what it decided was only what to try next, its own doubt weighed: one that knows nothing proposes at random, which does no harm. */
  readonly proposes?: boolean;
  /** Regrets are of accuracy, 0–1; there are none for latencies. */
  readonly quality: ProxyQuality;
}

/** Every proxy that a study used, or could have used, on the networks of its own that it was tried on. */
export interface ProxyAudit {
  readonly proxies: readonly AuditedProxy[];
  /** Standard deviation of accuracy between seeds at the search's fidelity, pooled; null where no network was trained twice. */
  readonly seedSd: number | null;
  /** What the zero-cost proxies took; null where nobody asked for them. */
  readonly zeroCost: {
    readonly networks: number;
    readonly secondsPerNetwork: number;
    /** As a share of the mean search training of the same networks. */
    readonly shareOfTraining: number | null;
  } | null;
}

/** Zero-cost proxies of one network as the journal holds them: means over starts, null where one is not finite. */
export type JournalledZeroCost = Readonly<Record<ZeroCostProxy, number | null>> & { readonly seconds: number };

/** Id of the decision that holds them. */
export function zeroCostId(specDigest: string): string {
  return `zero-cost ${specDigest}`;
}

/** Fewest networks that a proxy's failure to order them is warned of; of fewer nothing can be said. */
export const fewestWarned = 8;
/** Accuracy lost that is warned of, unless the seeds alone make that much. */
export const warnedRegret = 0.01;

/** What chose in a study without support of the study's own results. */
export function auditWarnings({ proxies, seedSd }: ProxyAudit): string[] {
  const tolerated = Math.max(warnedRegret, 2 * (seedSd ?? 0));
  return proxies.flatMap(({ proxy, truth, decided, proposes, quality: { networks, kendall, regrets } }) => {
    if (decided === null || proposes || networks < fewestWarned) return [];
    const what = `${proxy} decided ${decided}`;
    const top = regrets[0];
    if (top && top.value > tolerated)
      return [
        `${what}, but the network it likes best is ${(100 * top.value).toFixed(1)} points below the best in ${truth}`,
      ];
    if (kendall?.interval && kendall.interval.lo > 0) return [];
    const found = kendall?.interval
      ? `Kendall’s τ ${kendall.value.toFixed(2)}, ${kendall.interval.lo.toFixed(2)} to ${kendall.interval.hi.toFixed(2)}`
      : 'it is the same for all';
    return [`${what}, but on these ${networks} networks it tells ${truth} no better than chance would (${found})`];
  });
}

/** Networks that a search trained, each once: at the study's first seed, and the lowest rung, where all are, unless another is asked for. */
export function searchedTrials(record: StudyRecord, config: StudyConfig, rung = 0): readonly Trial[] {
  const examples = rungsOf(config.search)[rung];
  return record.trials.filter(
    ({ id, phase, fidelity }) =>
      phase === 'search' &&
      fidelity.seed === config.seed &&
      fidelity.examples === examples &&
      record.outcome(id)?.status === 'ok',
  );
}

/** Nothing but the journal is read. */
export function auditProxies(record: StudyRecord, config: StudyConfig): ProxyAudit {
  const audits = [
    ...accuracyAudits(record, config),
    ...searchSurrogate(record, config),
    ...rungsAbove(record, config),
    ...otherSeeds(record, config),
    ...longerTraining(record, config),
    ...scalingSurrogate(record, config),
    ...latencyAudits(record, config),
  ];
  const random = new Random(config.seed).child('proxy-audit');
  return {
    proxies: audits.flatMap(({ pairs, ...audit }) => {
      if (pairs.length < 2) return [];
      const quality = proxyQuality(pairs, random.child(audit.proxy, audit.truth));
      return [{ ...audit, quality: audit.kind === 'latency' ? { ...quality, regrets: [] } : quality }];
    }),
    seedSd: pooledSeedSd(record),
    zeroCost: zeroCostSpent(record, config),
  };
}

type Gathered = Omit<AuditedProxy, 'quality'> & { readonly pairs: readonly ProxyPair[] };

function accuracyOf(record: StudyRecord, trial: string): number | undefined {
  const outcome = record.outcome(trial);
  return outcome?.status === 'ok' ? outcome.metrics['accuracy'] : undefined;
}

/** The first trial of every network. */
function oneANetwork(trials: readonly Trial[]): Trial[] {
  return [...new Map(trials.toReversed().map((trial) => [trial.specDigest, trial])).values()].toReversed();
}

/** Pairs of those things that both values are known of. */
function pairsOf<Thing>(
  things: readonly Thing[],
  proxy: (thing: Thing) => number | null | undefined,
  truth: (thing: Thing) => number | undefined,
  group: (thing: Thing) => string | undefined = () => undefined,
): ProxyPair[] {
  return things.flatMap((thing) => {
    const [x, y, within] = [proxy(thing), truth(thing), group(thing)];
    if (x === undefined || x === null || y === undefined) return [];
    return [{ proxy: x, truth: y, ...(within !== undefined && { group: within }) }];
  });
}

const counted = [
  ['parameters', 'params'],
  ['MACs', 'macs'],
  ['activations', 'activations'],
] as const satisfies readonly (readonly [string, keyof Count])[];

/** Counting builds the graph, which adds up over thousands of trials. */
const counts = new WeakMap<NetworkSpec, Count>();

function countOf(spec: NetworkSpec): Count {
  const known = counts.get(spec) ?? countSpec(spec);
  counts.set(spec, known);
  return known;
}

const zeroCostNames: Readonly<Record<ZeroCostProxy, string>> = {
  gradientNorm: 'gradient norm',
  logSynflow: 'synflow',
  naswot: 'NASWOT',
};

/** What is known of a network before training, against what the search's training made of it. */
function accuracyAudits(record: StudyRecord, config: StudyConfig): Gathered[] {
  const trials = searchedTrials(record, config);
  const truth = `accuracy after ${rungsOf(config.search)[0]} examples`;
  const audit = (proxy: string, value: (trial: Trial) => number | null | undefined): Gathered => {
    const pairs = pairsOf(trials, value, ({ id }) => accuracyOf(record, id));
    return { proxy, truth, kind: 'accuracy', decided: null, pairs };
  };
  const scores = ({ specDigest }: Trial) => record.decision(zeroCostId(specDigest)) as JournalledZeroCost | undefined;
  return [
    ...counted.map(([name, key]) => audit(name, ({ spec }) => countOf(spec)[key])),
    ...Object.keys(config.targets).map((target) =>
      audit(`p50 on ${target}`, ({ specDigest }) => record.latency(latencyId(target, specDigest))?.p50Ms),
    ),
    ...zeroCostProxies.map((key) => audit(zeroCostNames[key], (trial) => scores(trial)?.[key])),
  ];
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Accuracies of a search's trainings with other seeds, by network. */
function reruns(record: StudyRecord, config: StudyConfig): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  for (const { id, phase, fidelity, specDigest } of record.trials) {
    const accuracy = accuracyOf(record, id);
    if (phase !== 'search' || fidelity.seed === config.seed || accuracy === undefined) continue;
    found.set(specDigest, [...(found.get(specDigest) ?? []), accuracy]);
  }
  return found;
}

/** The first seed, by which finalists are taken, against the mean of the others. */
function otherSeeds(record: StudyRecord, config: StudyConfig): Gathered[] {
  const others = reruns(record, config);
  const pairs = pairsOf(
    searchedTrials(record, config, rungsOf(config.search).length - 1),
    ({ id }) => accuracyOf(record, id),
    ({ specDigest }) => mean(others.get(specDigest) ?? []),
  );
  const truth = 'accuracy with other seeds';
  return [{ proxy: 'one seed of the search', truth, kind: 'accuracy', decided: 'the finalists of the search', pairs }];
}

/** Each rung of the search against the one above, on the networks that were promoted to it. */
function rungsAbove(record: StudyRecord, config: StudyConfig): Gathered[] {
  return rungsOf(config.search)
    .slice(1)
    .map((examples, rung) => {
      const below = new Map(searchedTrials(record, config, rung).map(({ id, specDigest }) => [specDigest, id]));
      const pairs = pairsOf(
        searchedTrials(record, config, rung + 1),
        ({ specDigest }) => accuracyOf(record, below.get(specDigest) ?? ''),
        ({ id }) => accuracyOf(record, id),
      );
      const proxy = `${rungsOf(config.search)[rung]} examples`;
      const truth = `accuracy after ${examples} examples, of those promoted`;
      return { proxy, truth, kind: 'accuracy', decided: 'which networks were promoted', pairs };
    });
}

/** The short training at which scalings were chosen against the final one, within each size. */
function longerTraining(record: StudyRecord, config: StudyConfig): Gathered[] {
  const short = new Map<string, number>();
  for (const { id, phase, specDigest, fidelity } of record.trials) {
    const accuracy = accuracyOf(record, id);
    if (phase === 'train' || accuracy === undefined || fidelity.seed !== config.seed) continue;
    // One trial a network where search and scaling train alike; else the scaling's, which chose.
    if (fidelity.examples === config.scale.examples) short.set(specDigest, accuracy);
  }
  const finals = record.trials.filter(({ phase }) => phase === 'train');
  const networks = oneANetwork(finals);
  const runs = ({ specDigest }: Trial) =>
    finals.flatMap((trial) => (trial.specDigest === specDigest ? (accuracyOf(record, trial.id) ?? []) : []));
  const pairs = pairsOf(
    networks,
    ({ specDigest }) => short.get(specDigest),
    (trial) => mean(runs(trial)),
    ({ origin }) => `${origin.target} ${origin.size}`,
  );
  // A size with one finalist had no choice.
  const chosen = pairs.filter(({ group }) => pairs.filter((other) => other.group === group).length > 1);
  const proxy = `${config.scale.examples} examples`;
  const truth = 'accuracy of the final training, within a size';
  return [{ proxy, truth, kind: 'accuracy', decided: 'which scalings were trained fully', pairs: chosen }];
}

/** Trials that the search's model is tried on; more are taken evenly. */
const mostLeftOut = 60;

/** The search's own model of accuracy, given all other trials, against the one left out. */
function searchSurrogate(record: StudyRecord, config: StudyConfig): Gathered[] {
  if (config.search.controller !== 'bayesian' || config.base !== undefined) return [];
  const trials = searchedTrials(record, config);
  const used = Math.min(trials.length, mostLeftOut);
  const tried = Array.from({ length: used }, (_, index) => trials[Math.floor((index * trials.length) / used)] as Trial);
  const accuracies = tried.map(({ id }) => accuracyOf(record, id) ?? 0);
  const expected = leftOutExpectations(
    tried.map(({ choices }) => choices),
    accuracies.map((accuracy) => -accuracy),
  );
  const pairs = accuracies.map((truth, index) => ({ proxy: -(expected[index] as number), truth }));
  const truth = `accuracy after ${rungsOf(config.search)[0]} examples`;
  return [
    {
      proxy: 'the search’s model, left out',
      truth,
      kind: 'accuracy',
      decided: 'which networks were tried',
      proposes: true,
      pairs,
    },
  ];
}

/** The model of accuracy by multipliers, fitted to all other scalings, against the one left out. */
function scalingSurrogate(record: StudyRecord, config: StudyConfig): Gathered[] {
  if (config.scale.rule !== 'per-size' && config.scale.rule !== 'single-triple') return [];
  return Object.keys(config.targets).map((target) => {
    const networks = new Map<string, { readonly multipliers: Multipliers; readonly accuracies: number[] }>();
    for (const { id, phase, choices, origin, specDigest } of record.trials) {
      const accuracy = phase === 'scale' && origin.target === target ? accuracyOf(record, id) : undefined;
      const { depth, width, resolution } = choices;
      if (accuracy === undefined || typeof depth !== 'number') continue;
      const multipliers = { depth, width: Number(width), resolution: Number(resolution) };
      const network = networks.get(specDigest) ?? { multipliers, accuracies: [] };
      network.accuracies.push(accuracy);
      networks.set(specDigest, network);
    }
    // Means over seeds: with one seed's training left out alone the others would tell of it.
    const scalings = [...networks.values()].map(({ multipliers, accuracies }) => {
      return { multipliers, accuracy: mean(accuracies) ?? 0 };
    });
    const pairs =
      scalings.length < 3
        ? []
        : scalings.map(({ multipliers, accuracy }, index) => {
            const { predict } = fitAccuracy(scalings.toSpliced(index, 1));
            // What it expects beyond the base: its mean is of the others, the smaller the larger the one left out.
            return { proxy: predict(multipliers).logit - predict(identity).logit, truth: accuracy };
          });
    const truth = `accuracy of scalings for ${target}`;
    return {
      proxy: 'the scaling model, left out',
      truth,
      kind: 'accuracy',
      decided: 'which scalings were tried',
      proposes: true,
      pairs,
    };
  });
}

/** What is counted, predicted or measured elsewhere against measurements on each target. */
function latencyAudits(record: StudyRecord, config: StudyConfig): Gathered[] {
  const networks = oneANetwork(record.trials);
  return Object.entries(config.targets).flatMap(([target, { profile, limit }]) => {
    const measured = (digest: string) => {
      const latency = record.latency(latencyId(target, digest));
      return latency && latency.source !== 'predicted' ? latency.p50Ms : undefined;
    };
    const audit = (proxy: string, value: (trial: Trial) => number | undefined, decided: string | null): Gathered => {
      const pairs = pairsOf(networks, value, ({ specDigest }) => measured(specDigest));
      return { proxy, truth: `p50 on ${target}`, kind: 'latency', decided, pairs };
    };
    const others = Object.keys(config.targets).filter((other) => other !== target);
    const screened = limit === undefined ? null : 'what was not measured';
    return [
      ...counted.map(([name, key]) => audit(name, ({ spec }) => countOf(spec)[key], null)),
      ...(profile === undefined
        ? []
        : [
            audit(
              `prediction by ${profile}`,
              ({ specDigest }) => record.latency(predictionId(target, specDigest))?.p50Ms,
              screened,
            ),
          ]),
      ...others.map((other) =>
        audit(`p50 on ${other}`, ({ specDigest }) => record.latency(latencyId(other, specDigest))?.p50Ms, null),
      ),
    ];
  });
}

/** Of networks that a search trained with several seeds at one of its fidelities. */
function pooledSeedSd(record: StudyRecord): number | null {
  const networks = new Map<string, readonly number[]>();
  for (const { id, phase, fidelity, specDigest } of record.trials) {
    const accuracy = accuracyOf(record, id);
    if (phase !== 'search' || accuracy === undefined) continue;
    const key = `${specDigest} ${fidelity.examples}`;
    networks.set(key, [...(networks.get(key) ?? []), accuracy]);
  }
  let [squares, freedom] = [0, 0];
  for (const values of networks.values()) {
    const centre = mean(values) ?? 0;
    squares += values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
    freedom += values.length - 1;
  }
  return freedom === 0 ? null : Math.sqrt(squares / freedom);
}

function zeroCostSpent(record: StudyRecord, config: StudyConfig): ProxyAudit['zeroCost'] {
  const scored = searchedTrials(record, config).flatMap((trial) => {
    const scores = record.decision(zeroCostId(trial.specDigest)) as JournalledZeroCost | undefined;
    const outcome = record.outcome(trial.id);
    return scores && outcome?.status === 'ok' ? [{ seconds: scores.seconds, trainS: outcome.cost.trainS }] : [];
  });
  const secondsPerNetwork = mean(scored.map(({ seconds }) => seconds));
  if (secondsPerNetwork === undefined) return null;
  const trainS = mean(scored.map(({ trainS }) => trainS)) ?? 0;
  return {
    networks: scored.length,
    secondsPerNetwork,
    shareOfTraining: trainS > 0 ? secondsPerNetwork / trainS : null,
  };
}
