import type { DeviceProfile } from '../accelerators/device-profile.ts';
import { buildNetwork } from '../models/build.ts';
import {
  type ArithmeticKind,
  arithmeticKinds,
  type Fusion,
  type Kernel,
  type KernelKind,
  kernelKinds,
  type KernelProgram,
  onnxGraphOf,
  readKernels,
} from '../models/kernels.ts';
import type { Observation } from './calibration-observations.ts';
import { type KernelFeatures, programFeatures } from './kernel-features.ts';
import {
  estimateKernel,
  fitKernelModel,
  type KernelModel,
  type KernelModelOptions,
  type KernelObservation,
} from './kernel-model.ts';
import { kernelKey } from './kernel-times.ts';
import { median, quantile } from '../core/quantile.ts';

/** An observation with the kernels it is of, times brought to the usual speed of the host. */
export interface Sighting {
  readonly observation: Observation;
  readonly program: KernelProgram;
  /** Kernels of the network whose times are known, one of each key, with how often it occurs and its milliseconds. */
  readonly kernels: readonly {
    readonly kernel: Kernel;
    readonly features: KernelFeatures;
    readonly count: number;
    readonly ms: number;
  }[];
  readonly p50Ms: number;
}

/** What a device's kernels cost, and what is around them. */
export interface FittedModel {
  readonly kernels: KernelModel;
  /** Of a run beside its kernels. */
  readonly runMs: number;
}

/** A network as it runs, with what its kernels' times are learned from. */
interface Foretold {
  readonly program: KernelProgram;
  readonly features: readonly KernelFeatures[];
}

/** Of observations seen before: a calibration fits again and again, with ever more of them. */
const remembered = new WeakMap<Observation, Map<Fusion, Foretold>>();

function foretold(observation: Observation, fusion: Fusion): Foretold {
  const known = remembered.get(observation) ?? new Map<Fusion, Foretold>();
  remembered.set(observation, known);
  const found = known.get(fusion);
  if (found) return found;
  const program = programOf(observation, fusion);
  const made = { program, features: programFeatures(program) };
  known.set(fusion, made);
  return made;
}

/** Kernels of an observed network. */
export function programOf({ spec, batch }: Pick<Observation, 'spec' | 'batch'>, fusion: Fusion): KernelProgram {
  return readKernels(onnxGraphOf(buildNetwork(spec, 'batch')), fusion, { batch }, spec.name ?? 'network');
}

/** Share of the kernels a runtime ran that a fusion foretold: of equal keys, counted. */
export function agreement(program: KernelProgram, kernels: Observation['kernels']): number {
  const foretold = countKeys(program);
  const total = kernels.reduce((sum, [, count]) => sum + count, 0);
  const agreed = kernels.reduce((sum, [key, count]) => sum + Math.min(count, foretold.get(key) ?? 0), 0);
  return agreed / total;
}

function countKeys(program: KernelProgram): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { runtime } of program.kernels) {
    const key = runtime ? kernelKey(runtime) : '';
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** The fusion that foretells best what the runtime ran: how wide its blocks are depends on the processor. */
export function detectFusion(observation: Observation): Fusion {
  const candidates = ['onnxruntime-16', 'onnxruntime-8', 'onnxruntime-1'] as const;
  const shares = candidates.map((fusion) => agreement(programOf(observation, fusion), observation.kernels));
  return candidates[shares.indexOf(Math.max(...shares))] as Fusion;
}

/** Sessions further apart than this were disturbed: their median says less of a network than its kernels do. */
const calmSpread = 1.15;
/** And so does a whole run that is so far from the sum of its kernels. */
const calmScale = { lo: 0.7, hi: 1.4 };
/** A kernel's time is not less than this share of what the profile says, whatever noting it down costs. */
const leastShare = 0.25;

/**
 * Observations as samples of kernels. A profile adds a microsecond or two to every kernel; how much is found by comparing the
 * sums with whole runs. Then each network's kernels are scaled to its run, and everything by the reference kernel to the
 * speed the host usually has.
 */
export function sightingsOf(observations: readonly Observation[], fusion: Fusion): readonly Sighting[] {
  const speed = median(observations.map(({ referenceMs }) => referenceMs));
  const own = observations.filter(({ role }) => role !== 'repeat');
  const noteMs = noteTime(own);
  return own.map((observation): Sighting => {
    const factor = speed / observation.referenceMs;
    const { program, features: all } = foretold(observation, fusion);
    const times = new Map(observation.kernels.map(([key, count, ms]) => [key, { count, ms: net(ms, noteMs) }]));
    const sum = [...times.values()].reduce((total, { count, ms }) => total + count * ms, 0);
    const scale = scaleOf(observation, sum);
    const byKey = new Map<string, { kernel: Kernel; features: KernelFeatures; forms: Set<string> }>();
    for (const [index, features] of all.entries()) {
      const kernel = program.kernels[index] as Kernel;
      const key = kernel.runtime ? kernelKey(kernel.runtime) : '';
      const { forms } = byKey.get(key) ?? { forms: new Set<string>() };
      byKey.set(key, { kernel, features, forms: forms.add(`${features.group} ${features.x.join(' ')}`) });
    }
    const kernels = [...byKey].flatMap(([key, { kernel, features, forms }]) => {
      const time = times.get(key);
      // The profile does not say what is fused: kernels that differ in that alone cannot be told apart.
      return time && forms.size === 1 ? [{ kernel, features, count: time.count, ms: time.ms * scale * factor }] : [];
    });
    return { observation, program, kernels, p50Ms: observation.p50Ms * factor };
  });
}

/** What the kernels of a network are multiplied by, so that they sum to a run of it; 1 where the run was disturbed. */
function scaleOf({ p50Ms, sessionP50Ms }: Observation, sumMs: number): number {
  const scale = p50Ms / sumMs;
  const isCalm = Math.max(...sessionP50Ms) <= calmSpread * Math.min(...sessionP50Ms);
  return isCalm && scale > calmScale.lo && scale < calmScale.hi ? scale : 1;
}

const net = (ms: number, noteMs: number): number => Math.max(ms - noteMs, leastShare * ms, 1e-5);

/** What a profile adds to a kernel: that with which sums of kernels come nearest to whole runs. */
function noteTime(observations: readonly Observation[]): number {
  const candidates = Array.from({ length: 25 }, (_, step) => step * 2.5e-4);
  const loss = (noteMs: number): number =>
    observations.reduce((total, { kernels, p50Ms }) => {
      const sum = kernels.reduce((all, [, count, ms]) => all + count * net(ms, noteMs), 0);
      return total + Math.abs(Math.log(p50Ms / sum));
    }, 0);
  return candidates.reduce((best, candidate) => (loss(candidate) < loss(best) ? candidate : best), 0);
}

function kernelObservations(sightings: readonly Sighting[]): readonly KernelObservation[] {
  return sightings.flatMap(({ kernels }) => kernels.map(({ features, ms }) => ({ features, ms })));
}

/** The model of these networks. */
export function fitModel(sightings: readonly Sighting[], options: KernelModelOptions = {}): FittedModel {
  return { kernels: fitKernelModel(kernelObservations(sightings), options), runMs: 0 };
}

/** A network's latency by its kernels. */
export interface NetworkEstimate {
  readonly ms: number;
  /** Mean of the kernels' deviations, by their time. */
  readonly uncertainty: number;
  /** Share of kernels in groups that were never seen; they are left out. */
  readonly unseen: number;
}

export function estimateNetwork({ kernels, runMs }: FittedModel, program: KernelProgram): NetworkEstimate {
  let [ms, spread, unseen] = [0, 0, 0];
  const known = new Map<string, ReturnType<typeof estimateKernel>>();
  for (const features of programFeatures(program)) {
    // Equal kernels of a network cost the same.
    const key = `${features.group} ${features.x.join(' ')}`;
    if (!known.has(key)) known.set(key, estimateKernel(kernels, features));
    const estimate = known.get(key);
    if (!estimate) {
      unseen++;
      continue;
    }
    ms += estimate.ms;
    spread += estimate.ms * estimate.logDeviation;
  }
  return { ms: ms + runMs, uncertainty: ms > 0 ? spread / ms : 1, unseen: unseen / program.kernels.length };
}

/** How far a model was off on networks it had not seen. */
export interface NetworkErrors {
  readonly networks: number;
  /** Share within ±10 %. */
  readonly within10: number;
  readonly medianError: number;
}

export function errorsOf(ratios: readonly number[]): NetworkErrors {
  const errors = ratios.map((ratio) => Math.abs(ratio - 1));
  return {
    networks: ratios.length,
    within10: errors.filter((error) => error <= 0.1).length / Math.max(1, errors.length),
    medianError: errors.length > 0 ? median(errors) : 0,
  };
}

/** What is said of a calibration, all of it from networks the model in question had not seen. */
export interface Validation {
  readonly networks: NetworkErrors;
  /** Median relative error of single kernels of those networks. */
  readonly kernelError: number;
  /** Root mean square of ln(measured ÷ predicted). */
  readonly logDeviation: number;
  /** 95 % of |ln(measured ÷ predicted)| are below so many times the mean deviation of a network's kernels. */
  readonly intervalFactor: number;
  /** Networks measured twice: how near the two were. No model can do better than this. */
  readonly ceiling: NetworkErrors;
  /** With the first quarter, half, three quarters and all of the observations. */
  readonly byBudget: readonly { readonly seconds: number; readonly within10: number; readonly medianError: number }[];
}

const folds = 5;

/**
 * Cross-validation by networks: five times a model of four fifths foretells the rest. Only randomly drawn networks are
 * judged by; those chosen because the model knew little of them would look worse than users' networks do.
 */
export function validate(
  observations: readonly Observation[],
  sightings: readonly Sighting[],
  options: KernelModelOptions,
): Validation {
  const isTest = ({ observation }: Sighting, index: number, fold: number) =>
    observation.role === 'random' && index % folds === fold;
  const judged = Array.from({ length: folds }, (_, fold) => {
    const test = sightings.filter((sighting, index) => isTest(sighting, index, fold));
    if (test.length === 0) return [];
    const model = fitModel(
      sightings.filter((sighting, index) => !isTest(sighting, index, fold)),
      options,
    );
    return test.map((sighting) => judge(model, sighting));
  }).flat();
  const logs = judged.map(({ ratio }) => Math.abs(Math.log(ratio)));
  const scores = judged.map(({ ratio, uncertainty }) => Math.abs(Math.log(ratio)) / uncertainty);
  return {
    networks: errorsOf(judged.map(({ ratio }) => ratio)),
    kernelError: median([0, ...judged.flatMap(({ kernelErrors }) => kernelErrors)]),
    logDeviation: Math.sqrt(logs.reduce((sum, log) => sum + log * log, 0) / Math.max(1, logs.length)),
    intervalFactor: scores.length > 0 ? quantile(Float64Array.from(scores).sort(), 0.95) : 2,
    ceiling: errorsOf(repeats(observations)),
    byBudget: [0.25, 0.5, 0.75, 1].map((share) => {
      const test = sightings.filter((sighting, index) => isTest(sighting, index, 0));
      const rest = sightings.filter((sighting, index) => !isTest(sighting, index, 0));
      const part = rest.slice(0, Math.max(1, Math.round(share * rest.length)));
      const model = fitModel(part, options);
      const { within10, medianError } = errorsOf(test.map((sighting) => judge(model, sighting).ratio));
      const costMs = part.reduce((sum, { observation }) => sum + observation.costMs, 0);
      return { seconds: Math.round(costMs / 1e3), within10, medianError };
    }),
  };
}

function judge(model: FittedModel, { program, p50Ms, kernels }: Sighting) {
  const { ms, uncertainty } = estimateNetwork(model, program);
  const kernelErrors = kernels.flatMap((seen) => {
    const estimate = estimateKernel(model.kernels, seen.features);
    return estimate ? [Math.abs(estimate.ms / seen.ms - 1)] : [];
  });
  return { ratio: ms / p50Ms, uncertainty, kernelErrors };
}

/** Second measurement of a network over the first, both at the host's usual speed. */
function repeats(observations: readonly Observation[]): readonly number[] {
  const first = new Map<string, Observation>();
  return observations.flatMap((observation) => {
    const key = JSON.stringify([observation.spec, observation.batch]);
    const before = first.get(key);
    if (!before) first.set(key, observation);
    return before && observation.role === 'repeat'
      ? [observation.p50Ms / observation.referenceMs / (before.p50Ms / before.referenceMs)]
      : [];
  });
}

/** Constants of the roofline that stands in for kernels of groups nobody saw: the best rates seen, and each kind's usual share of them. */
export function rooflineOf(
  sightings: readonly Sighting[],
): Pick<DeviceProfile, 'peakTflops' | 'memory' | 'efficiency' | 'kernelOverheadUs'> {
  const seen = sightings.flatMap(({ kernels }) =>
    kernels.map(({ kernel, ms }) => {
      const moved = [...kernel.reads, ...kernel.writes].reduce((sum, { elements }) => sum + elements, 0);
      return { kind: kernel.kind, macs: kernel.macs, bytes: 4 * (moved + kernel.weightElements), ms };
    }),
  );
  const startMs = quantile(Float64Array.from(seen, ({ ms }) => ms).sort(), 0.02);
  // Where the start of a kernel is most of its time, it says nothing of rates.
  const long = seen.filter(({ ms }) => ms > 5 * startMs);
  const flops = long.filter(({ macs }) => macs > 0).map(({ macs, ms }) => (2 * macs) / ms);
  const rates = long.filter(({ macs }) => macs === 0).map(({ bytes, ms }) => bytes / ms);
  const [peak, bandwidth] = [top(flops, 1e7), top(rates, 1e7)];
  const of = (kind: KernelKind) => long.filter((kernel) => kernel.kind === kind);
  const shares = <Kind extends KernelKind>(
    kinds: readonly Kind[],
    rate: (kernel: (typeof long)[number]) => number,
    whole: number,
  ) => Object.fromEntries(kinds.map((kind) => [kind, shareOf(of(kind).map(rate), whole)])) as Record<Kind, number>;
  return {
    peakTflops: { fp32: (peak * 1e3) / 1e12 },
    memory: { gigabytesPerS: (bandwidth * 1e3) / 1e9 },
    kernelOverheadUs: startMs * 1e3,
    efficiency: {
      arithmetic: shares<ArithmeticKind>(arithmeticKinds, ({ macs, ms }) => (2 * macs) / ms, peak),
      memory: shares<KernelKind>(kernelKinds, ({ bytes, ms }) => bytes / ms, bandwidth),
    },
  };
}

/** The best of the rates, but for the two in a hundred that luck made. */
const top = (rates: readonly number[], fallback: number): number =>
  rates.length > 0 ? quantile(Float64Array.from(rates).sort(), 0.98) : fallback;

/** The usual one of the rates as a share of the best; half of it where there are none. */
const shareOf = (rates: readonly number[], best: number): number =>
  Math.min(1, Math.max(0.001, rates.length > 0 ? median(rates) / best : 0.5));
