import { Random } from '../../core/random.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import type { NetworkSpec } from '../../models/spec.ts';
import { type Estimate, estimate, mean, regret, residuals, tau } from './agreement.ts';
import type { Rows } from './runs.ts';

/** What a short training or an inherited score ranks by; the truth is accuracy. */
const metrics = ['accuracy', 'crossEntropy'] as const;
type Metric = (typeof metrics)[number];

/** Something that ranks the networks: its scores, once for each seed; more is better. */
interface Proxy {
  readonly name: string;
  readonly scores: readonly (readonly number[])[];
  /** Per network, training and scoring. */
  readonly seconds: number;
}

/** Prints how well each proxy ranks the networks that have a long training, and in which it differs from the short one. */
export function describeAgreement(networks: readonly NetworkSpec[], rows: Rows): void {
  const truths = complete(rows, networks.length, ['alone/40000/100', 'alone/40000/101'], 'accuracy');
  if (truths.length === 0) return console.log('no long trainings yet');
  const truth = networks.map((_, index) => mean(truths.map((seed) => seed[index] as number)));
  const counts = networks.map((spec) => countGraph(buildNetwork(spec, 1)));
  const logMacs = counts.map(({ macs }) => Math.log(macs));
  const spread = truth.toSorted((a, b) => a - b).map((accuracy) => (100 * accuracy).toFixed(1));
  console.log(
    `\n${networks.length} networks of ${range(counts.map(({ macs }) => macs / 1e6))} M multiply-adds, ${range(counts.map(({ params }) => params / 1e3))} k parameters`,
  );
  console.log(`truth, %: ${spread.join(' ')}`);
  if (truths.length > 1) console.log(`τ between two truths: ${tau(truths[0] ?? [], truths[1] ?? []).toFixed(2)}`);
  for (const metric of metrics) describeProxies(proxiesOf(networks, rows, metric), { metric, truth, logMacs });
}

function describeProxies(
  proxies: readonly Proxy[],
  { metric, truth, logMacs }: { metric: Metric; truth: readonly number[]; logMacs: readonly number[] },
): void {
  const over = residuals(truth, logMacs);
  const figures = (proxy: Proxy) => ({
    tau: averaged(proxy, (scores, at) => tau(at(scores), at(truth))),
    given: averaged(proxy, (scores, at) => tau(at(residuals(scores, logMacs)), at(over))),
    first: averaged(proxy, (scores, at) => 100 * regret(at(scores), at(truth), 1)),
    third: averaged(proxy, (scores, at) => 100 * regret(at(scores), at(truth), 3)),
  });
  const judged = (figure: (places: readonly number[]) => number): Estimate =>
    estimate(truth.length, figure, new Random('agreement'));
  console.log(
    `\n| by ${metric} | seeds | s a network (wall) | τ | τ given MACs | regret of the first, points | of the first three |`,
  );
  console.log('|---|---:|---:|---|---|---|---|');
  for (const proxy of proxies) {
    const { tau, given, first, third } = figures(proxy);
    const cells = [
      text(judged(tau), 2),
      proxy.name === 'multiply-adds' ? '–' : text(judged(given), 2),
      text(judged(first), 1),
      text(judged(third), 1),
    ];
    console.log(`| ${proxy.name} | ${proxy.scores.length} | ${proxy.seconds.toFixed(1)} | ${cells.join(' | ')} |`);
  }
  const pairs = [
    ['uniform/1x', 'alone/5000'],
    ['sandwich/1x', 'alone/5000'],
    ['uniform/4x', 'alone/5000'],
    ['sandwich/4x', 'alone/5000'],
    ['alone/5000 + uniform/1x', 'alone/10000'],
    ['alone/5000 + uniform/1x', 'alone/5000 + parameters'],
    ['alone/5000 + sandwich/1x', 'alone/5000 + parameters'],
    ['alone/5000 + sandwich/1x', 'alone/10000'],
  ];
  console.log('\n| difference | τ | τ given MACs |\n|---|---|---|');
  for (const names of pairs) {
    const [one, other] = names.map((name) => proxies.find((proxy) => proxy.name === name));
    if (!one || !other) continue;
    const [a, b] = [figures(one), figures(other)];
    const cells = (['tau', 'given'] as const).map((key) =>
      text(
        judged((places) => a[key](places) - b[key](places)),
        2,
      ),
    );
    console.log(`| ${names.join(' − ')} | ${cells.join(' | ')} |`);
  }
}

function proxiesOf(networks: readonly NetworkSpec[], rows: Rows, metric: Metric): readonly Proxy[] {
  const counts = networks.map((spec) => countGraph(buildNetwork(spec, 1)));
  const trained = [
    'alone/2500',
    'alone/5000',
    'alone/10000',
    'uniform/1x',
    'sandwich/1x',
    'uniform/4x',
    'sandwich/4x',
  ].flatMap((name): Proxy[] => {
    const names = [0, 1, 2].map((seed) => `${name}/${seed}`);
    const scores = complete(rows, networks.length, names, metric);
    const seconds = mean(names.flatMap((run) => rows.of(run).map((row) => row.seconds)));
    return scores.length > 0 ? [{ name, scores, seconds }] : [];
  });
  const free: readonly Proxy[] = [
    { name: 'multiply-adds', scores: [counts.map(({ macs }) => macs)], seconds: 0 },
    { name: 'parameters', scores: [counts.map(({ params }) => params)], seconds: 0 },
  ];
  const short = trained.find(({ name }) => name === 'alone/5000');
  const added = [...free, ...trained.filter(({ name }) => name.endsWith('/1x'))];
  return [...free, ...trained, ...(short ? added.map((proxy) => sumOf(short, proxy)) : [])];
}

/** Two proxies' standardised scores added, seed by seed; what has one score has it for every seed. */
function sumOf(one: Proxy, other: Proxy): Proxy {
  const seeds = other.seconds === 0 ? one.scores.length : Math.min(one.scores.length, other.scores.length);
  const scores = one.scores.slice(0, seeds).map((own, seed) => {
    const added = standardised(other.scores[seed] ?? other.scores[0] ?? []);
    return standardised(own).map((value, index) => value + (added[index] as number));
  });
  return { name: `${one.name} + ${other.name}`, scores, seconds: one.seconds + other.seconds };
}

/** The metric, turned so that more is better, of those runs that scored each of the first `count` networks. */
function complete(rows: Rows, count: number, names: readonly string[], metric: Metric): readonly (readonly number[])[] {
  const sign = metric === 'accuracy' ? 1 : -1;
  return names
    .map((name) => rows.of(name).filter(({ network }) => network < count))
    .filter(({ length }) => length === count)
    .map((own) => own.map((row) => sign * row[metric]));
}

type At = (values: readonly number[]) => readonly number[];

/** A figure of some networks, averaged over a proxy's seeds. */
function averaged({ scores }: Proxy, figure: (scores: readonly number[], at: At) => number) {
  return (places: readonly number[]): number =>
    mean(scores.map((own) => figure(own, (values) => places.map((place) => values[place] as number))));
}

function standardised(values: readonly number[]): readonly number[] {
  const middle = mean(values);
  const deviation = Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
  return values.map((value) => (value - middle) / deviation);
}

function range(values: readonly number[]): string {
  return `${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)}`;
}

function text({ value, low, high }: Estimate, digits: number): string {
  return `${value.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
}
