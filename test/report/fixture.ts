import { Random } from '../../core/random.ts';
import type { Latency } from '../../latency/latency.ts';
import type { NetworkCount } from '../../models/counts.ts';
import { parseNetworkSpec, type NetworkSpec } from '../../models/spec.ts';
import { deviceFront, deviceTransfer } from '../../search/regret.ts';
import type {
  AcrossTargets,
  ElasticitySummary,
  FamilySummary,
  MemberSummary,
  OverSeeds,
  PredictionSummary,
  SharedMemberSummary,
  StudySummary,
  TargetSummary,
  TrialSummary,
} from '../../study/deliver/summary.ts';

// A made-up study with the shapes and sizes of a real one. Numbers come from formulas and a
// seeded generator, so tests may vary one thing at a time.

/** Mean and sample standard deviation of accuracies, as a summary holds them. */
export function overSeeds(...values: readonly number[]): OverSeeds {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  if (values.length < 2) return { mean, sd: null, values };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: Math.sqrt(squares / (values.length - 1)), values };
}

/** A network whose identity is its width, depth and resolution. */
export function spec(width: number, repeats: number, resolution: number): NetworkSpec {
  const stage = { operator: 'mbconv', kernel: 3, stride: 2, expansion: 4, width, repeats };
  return parseNetworkSpec(
    {
      input: { channels: 3, resolution },
      classes: 10,
      stem: { kernel: 3, stride: 2, width: 16 },
      stages: [stage, { ...stage, kernel: 5, width: width * 2, squeezeExcite: 0.25 }],
      head: { width: width * 6 },
    },
    'fixture',
  );
}

/** Latency with sessions and samples about a median; skewed to the right as real ones are. */
export function latency(p50Ms: number, overrides: Partial<Latency> = {}): Latency {
  const random = new Random('latency').child(p50Ms);
  const sessionP50Ms = Array.from({ length: 5 }, () => p50Ms * (1 + 0.008 * random.normal()));
  const samplesMs = Array.from(
    { length: 120 },
    () => p50Ms * (0.985 + 0.03 * Math.abs(random.normal()) * (random.uniform() < 0.06 ? 4 : 0.8)),
  );
  return {
    source: 'measured',
    accelerator: 'cpu',
    batch: 1,
    threads: 1,
    precision: 'fp32',
    p50Ms,
    p90Ms: p50Ms * 1.05,
    p99Ms: p50Ms * 1.16,
    intervalMs: {
      percentile: 50,
      level: 0.95,
      lo: Math.min(...sessionP50Ms, p50Ms),
      hi: Math.max(...sessionP50Ms, p50Ms),
    },
    sessions: 5,
    samples: 1500,
    stable: true,
    drift: 0.012,
    rejectedBlocks: 0,
    includesIo: true,
    calibrated: true,
    fingerprint: {
      host: 'bench-1',
      os: 'linux 6.1',
      cpu: 'Example CPU 2.6 GHz',
      cores: 2,
      runtime: 'onnxruntime-node 1.30.0',
      provider: 'cpu',
      node: 'v20.19.4',
    },
    sessionP50Ms,
    samplesMs,
    ...overrides,
  };
}

/** A delivered network; latency and accuracies are the point of it, the rest follows. */
export function member(
  size: string,
  p50Ms: number,
  accuracies: readonly number[],
  overrides: Partial<MemberSummary> = {},
): MemberSummary {
  const network = spec(8 + Math.round(p50Ms * 100), 1 + Math.round(p50Ms), 32 + 8 * Math.round(p50Ms));
  return {
    size,
    targetMs: p50Ms * 1.04,
    multipliers: { depth: 1, width: 1, resolution: 1 },
    spec: network,
    count: count(p50Ms),
    testAccuracy: overSeeds(...accuracies),
    holdoutAccuracy: overSeeds(...accuracies.map((value) => value + 0.004)),
    delivered: {
      seed: 0,
      testAccuracy: Math.max(...accuracies),
      holdoutAccuracy: Math.max(...accuracies) + 0.004,
    },
    divergedSeeds: 0,
    latency: latency(p50Ms),
    limitMet: null,
    chosenFrom: [],
    variants: [],
    ...overrides,
  };
}

/** Points of a loss that falls to `floor` as training goes on. */
function curve(floor: number, examples: number, name: string): NonNullable<MemberSummary['curve']> {
  const random = new Random('curve').child(name);
  return Array.from({ length: 25 }, (_, index) => {
    const share = (index + 1) / 25;
    const loss = floor + (2.3 - floor) * Math.exp(-4 * share) + 0.03 * random.normal() * (1 - share);
    return { examples: Math.round(examples * share), loss, accuracy: Math.min(0.99, 1 - loss / 2.6) };
  });
}

function count(p50Ms: number): NetworkCount {
  const params = Math.round(41_000 * p50Ms ** 1.3);
  const macs = Math.round(5.1e6 * p50Ms ** 1.15);
  return {
    params,
    macs,
    activations: Math.round(macs / 40),
    weightBytes: params * 4,
    peakBytes: Math.round(180_000 * p50Ms),
    groups: { stem: { params: 448, macs: 442_368, activations: 16_384 } },
  };
}

interface FixtureOptions {
  readonly targets?: 1 | 2;
  readonly members?: 1 | 3;
  readonly seeds?: 1 | 3;
  readonly finished?: boolean;
  readonly rules?: 0 | 1 | 2;
}

/** The study as a user would see it after a quickstart, or one cut short (`finished: false`). */
export function studySummary(options: FixtureOptions = {}): StudySummary {
  const { targets = 1, members = 3, seeds = 3, finished = true, rules = 1 } = options;
  const names = targets === 1 ? ['cpu'] : ['cpu', 'gateway'];
  const base = spec(16, 1, 40);
  const trials = searchTrials(names, finished ? 60 : 17);
  return {
    name: 'quickstart',
    seed: 1,
    schedule: null,
    createdMs: Date.UTC(2026, 10, 3, 14, 5),
    activeS: finished ? 168.4 : 41.2,
    phaseS: finished ? { search: 74.1, scale: 31.6, allocate: 0.4, train: 41.7, deliver: 17.9 } : { search: 41.2 },
    trainS: finished ? 118.2 : 30.1,
    measureS: finished ? 36.5 : 8.2,
    deviceHours: { spent: 0.043, budget: null, byPhase: { search: 0.043 } },
    data: {
      name: 'rendered-64',
      classes: 10,
      native: '64 × 64',
      train: 8000,
      holdout: 1000,
      test: 2000,
      digest: `sha256:${'5e'.repeat(32)}`,
    },
    environment: {
      ridgepoint: '0.1.0',
      node: 'v20.19.4',
      runtime: 'onnxruntime-node 1.30.0',
      cpu: 'Example CPU 2.6 GHz, 2 cores',
      os: 'linux 6.1',
    },
    base: finished
      ? {
          trial: 't0014',
          because: 'best reward on the Pareto front: 61.9 % at 0.41 ms',
          spec: base,
          count: count(0.41),
        }
      : null,
    trials,
    rungs: [],
    targets: names.map((name, index) => (finished ? target(name, index, members, seeds, rules) : emptyTarget(name))),
    proxyAudit: { proxies: [], seedSd: null, zeroCost: null },
    allocation: null,
    acrossTargets: targets === 1 ? null : acrossTargets(names, trials, finished),
    warnings: finished
      ? [
          'cpu 4x: latency is unstable, its interval is 6.1 % wide',
          'rule 1.2/1.1/1.15 at 4x would need 71 px: capped at 64',
        ]
      : [],
    finished,
  };
}

/** What the targets have in common: the search's trials, and one shared network. */
function acrossTargets(names: readonly string[], trials: readonly TrialSummary[], finished: boolean): AcrossTargets {
  const known = trials.flatMap(({ id, accuracy, latencyMs }) => {
    const latencies = names.flatMap((name) => latencyMs[name] ?? []);
    return accuracy !== undefined && latencies.length === names.length ? [{ id, accuracy, latencies }] : [];
  });
  return {
    networks: known.length,
    fronts: Object.fromEntries(
      names.map((name, device) => [name, deviceFront(known, device).flatMap((index) => known[index]?.id ?? [])]),
    ),
    transfer: known.length > 0 ? deviceTransfer(known) : [],
    shared: finished ? [sharedMember(names)] : [],
    unshared: finished ? ['4x'] : [],
  };
}

function sharedMember(names: readonly string[]): SharedMemberSummary {
  return {
    name: '2x',
    spec: spec(24, 2, 48),
    count: count(0.82),
    testAccuracy: overSeeds(0.641, 0.652, 0.648),
    holdoutAccuracy: overSeeds(0.65, 0.655, 0.651),
    delivered: { seed: 2, testAccuracy: 0.652, holdoutAccuracy: 0.655 },
    divergedSeeds: 0,
    files: ['shared/2x/model.onnx'],
    targets: names.map((target, index) => ({
      target,
      size: '2x',
      targetMs: 0.82 * (index + 1),
      latency: latency(0.79 * (index + 1)),
      limitMet: index === 0 ? null : false,
      regret: 0.012 * index,
      ownTestAccuracy: 0.655 + 0.01 * index,
    })),
  };
}

/** A target that is measured, and nothing but measured. */
const unpredicted = { predictedBy: null, prediction: null, elasticity: null };

/** How far a profile was off where networks were measured, too. */
export const prediction: PredictionSummary = {
  profile: 'my-cpu',
  calibrated: true,
  networks: 14,
  medianError: 0.062,
  medianRatio: 0.97,
  within10: 0.71,
  rankCorrelation: 0.96,
  refused: 9,
  sampled: 3,
  wronglyRefused: 0,
  wronglyRefusedAtMost: 0.632,
};

/** How latency grows with each axis. */
export const elasticity: ElasticitySummary = {
  observations: 15,
  exponents: {
    depth: { value: 0.93, lo: 0.9, hi: 0.96 },
    width: { value: 0.1, lo: 0.05, hi: 0.15 },
    resolution: { value: 1.6, lo: 1.55, hi: 1.65 },
  },
  determined: true,
  residualSd: 0.031,
};

function emptyTarget(name: string): TargetSummary {
  return {
    name,
    device: 'cpu',
    ...unpredicted,
    batch: 1,
    settings: [],
    threads: 1,
    limit: { percentile: 50, ms: 2 },
    lines: [],
  };
}

function target(name: string, index: number, members: 1 | 3, seeds: 1 | 3, rules: number): TargetSummary {
  const slower = index === 0 ? 1 : 2.4;
  const at = (accuracy: number): readonly number[] =>
    seeds === 1 ? [accuracy] : [accuracy - 0.007, accuracy + 0.001, accuracy + 0.006];
  const shipped = (size: string): Partial<MemberSummary> => ({
    limitMet: true,
    file: `family/${name}/${size}/model.onnx`,
    curve: curve(1.1 - 0.15 * size.length - 0.1 * Number.parseInt(size, 10), 24_000, size),
  });
  const shared = spec(16, 1, 40);
  const family = [
    member('1x', 0.421 * slower, at(0.712), { ...shipped('1x'), spec: shared }),
    member('2x', 0.83 * slower, at(0.768), {
      ...shipped('2x'),
      multipliers: { depth: 1.5, width: 1.12, resolution: 1.2 },
    }),
    member('4x', 1.702 * slower, at(0.804), {
      ...shipped('4x'),
      multipliers: { depth: 2, width: 1.5, resolution: 1.4 },
      latency: latency(1.702 * slower, {
        stable: false,
        intervalMs: { percentile: 50, level: 0.95, lo: 1.64 * slower, hi: 1.744 * slower },
        p99Ms: null,
        samples: 210,
      }),
    }),
  ].slice(0, members);
  const published = [
    member('1x', 0.424 * slower, at(0.712), { spec: shared }),
    member('2x', 0.86 * slower, at(0.745), { multipliers: { depth: 1.2, width: 1.12, resolution: 1.15 } }),
    member('4x', 1.79 * slower, at(0.781), { multipliers: { depth: 1.44, width: 1.25, resolution: 1.3 } }),
  ];
  const wide = [
    member('1x', 0.424 * slower, at(0.712), { spec: shared }),
    member('2x', 0.8 * slower, at(0.741), { multipliers: { depth: 1, width: 1.4, resolution: 1 } }),
    member('4x', 1.66 * slower, at(0.766), { multipliers: { depth: 1.2, width: 1.9, resolution: 1.1 } }),
  ];
  const own = member('in-production-mobilenet-v3-small.onnx', 1.21 * slower, at(0.772), {
    multipliers: null,
    spec: null,
    count: null,
    targetMs: null,
    holdoutAccuracy: null,
    testAccuracy: overSeeds(0.772),
  });
  const lines: readonly FamilySummary[] = [
    { kind: 'family', name: 'ridgepoint', members: family },
    ...[
      { kind: 'rule', name: '1.2/1.1/1.15', members: published } as const,
      { kind: 'rule', name: 'dWr', members: wide } as const,
    ].slice(0, rules),
    ...(members === 3 ? [{ kind: 'user-model', name: own.size, members: [own] } as const] : []),
  ];
  return {
    name,
    device: index === 0 ? 'cpu' : 'cpu-2',
    ...unpredicted,
    batch: 1,
    settings: [],
    threads: 1,
    limit: { percentile: 50, ms: 2 * slower },
    lines,
  };
}

function searchTrials(targets: readonly string[], total: number): readonly TrialSummary[] {
  const random = new Random('trials');
  const started = Date.UTC(2026, 10, 3, 14, 5);
  const drawn = Array.from({ length: total }, (_, index): TrialSummary => {
    const ms = Math.exp(-1.6 + 2.9 * random.uniform());
    const accuracy = 0.66 + 0.07 * Math.log(ms) - 0.04 * Math.abs(random.normal());
    const pending = total < 20 && index === total - 1;
    const failed = index % 23 === 7;
    const slow = ms > 2;
    const common = {
      id: `t${String(index + 1).padStart(4, '0')}`,
      phase: 'search',
      choices: { 'stage0.kernel': random.pick([3, 5]), 'stage0.operator': 'mbconv', 'stage1.skip': true },
      spec: spec(16, 1, 40),
      because: 'mutated from t0001: stage0.kernel 3 → 5',
      fidelityExamples: 8000,
      seed: 1,
      count: count(ms),
      startedMs: started + index * 1200,
      onFront: false,
    } as const;
    if (pending) return { ...common, status: 'issued', latencyMs: {} };
    const ended = { endedMs: common.startedMs + 1100 };
    if (failed) return { ...common, ...ended, status: 'failed', reason: 'child-crashed', latencyMs: {} };
    const latencyMs = Object.fromEntries(targets.map((name, order) => [name, ms * (order === 0 ? 1 : 2.4)]));
    if (slow) return { ...common, ...ended, status: 'infeasible', reason: 'latency', latencyMs };
    return {
      ...common,
      ...ended,
      status: 'ok',
      accuracy,
      crossEntropy: 2.3 * (1 - accuracy),
      latencyMs,
      cost: { trainS: 0.9, measureS: 0.15, examples: 8000, flops: 2.4e11, peakRssBytes: 1.7e8 },
    };
  });
  const scored = drawn.filter((trial) => trial.accuracy !== undefined);
  const beaten = (trial: TrialSummary): boolean =>
    scored.some((other) => cpuMs(other) < cpuMs(trial) && (other.accuracy ?? 0) >= (trial.accuracy ?? 0));
  return drawn.map((trial) => ({ ...trial, onFront: trial.accuracy !== undefined && !beaten(trial) }));
}

function cpuMs(trial: TrialSummary): number {
  return trial.latencyMs['cpu'] ?? Infinity;
}
