import { InfeasibleModelError } from '../../core/errors.ts';
import type { Latency } from '../../latency/latency.ts';
import { specDigest, type NetworkSpec } from '../../models/spec.ts';
import { applyMultipliers, realisedKey, type ScaledNetwork } from '../../scaling/apply.ts';
import { largest, type ScalingConstraints } from '../../scaling/candidates.ts';
import { type Elasticity, fitElasticity, powerLawText } from '../../scaling/elasticity.ts';
import { latencyDesign } from '../../scaling/latency-design.ts';
import { identity, type Multipliers } from '../../scaling/multipliers.ts';
import type { ScalingProblem } from '../../scaling/optimizer.ts';
import type { AccuracyObservation } from '../../scaling/surrogate.ts';
import { searchEvidence } from './accuracy-evidence.ts';
import { phaseTimeLeft, seedTimeLeft } from '../budget.ts';
import type { StudyContext } from '../context.ts';
import {
  admit,
  countSpec,
  evaluateAll,
  latencyId,
  latencyOf,
  leastRunBytes,
  meanAccuracy,
  measureAgain,
  mayMeetLimit,
} from '../evaluation/evaluate.ts';
import type { Trial } from '../journal/record.ts';
import { baseLatencyId, elasticityId, isBase, type Scaling, type SizedScalings, type SizeTarget } from './scalings.ts';
import type { Base } from '../search/search-phase.ts';
import type { TargetConfig } from '../study-file.ts';

/** Measurements of the base before an unstable one is taken. */
const baseAttempts = 3;

function spread({ intervalMs: { lo, hi } }: Latency): number {
  return hi / lo;
}

/** A scaling of the base with its trainings at the scaling fidelity, one a seed. Accuracy is no target's own. */
interface TrainedScaling extends Pick<Scaling, 'multipliers' | 'spec'> {
  readonly trials: readonly Trial[];
}
/** Scalings of one base trained so far, for whichever target, by digest. */
export type ScalingTrainings = Map<string, TrainedScaling>;

/** Everything known of one base's scalings on one target: latencies, accuracies and limits; it accumulates. */
export class TargetScalings {
  readonly context: StudyContext;
  readonly target: string;
  readonly #base: Base;
  readonly #config: TargetConfig;
  readonly #constraints: ScalingConstraints;
  readonly #measured = new Map<string, Scaling>();
  /** Scalings that the target cannot run. */
  readonly #unable: Multipliers[] = [];
  readonly #trainings: ScalingTrainings;
  readonly #evidence: readonly AccuracyObservation[];

  /** @param trainings what was trained for other targets; what is trained for this one is added. */
  constructor(
    context: StudyContext,
    base: Base,
    { target, config, trainings }: { target: string; config: TargetConfig; trainings: ScalingTrainings },
  ) {
    this.context = context;
    this.target = target;
    this.#base = base;
    this.#config = config;
    this.#trainings = trainings;
    this.#evidence = searchEvidence(context, base.spec);
    this.#constraints = {
      maxResolution: Math.min(context.data.height, context.data.width),
      admits: (spec) => config.memory === undefined || leastRunBytes(countSpec(spec), config) <= config.memory,
    };
  }

  /** The sizes asked for, in milliseconds, largest last; multiples are of the base's measured latency. */
  async sizes(): Promise<SizeTarget[]> {
    await this.#measure(this.#base.spec, identity);
    const base = await this.#baseLatency();
    const sizes = this.context.config.family[this.target] ?? [];
    return sizes
      .map((size) => ({ size, targetMs: size.ms ?? (size.multiple ?? 1) * base.p50Ms }))
      .toSorted((a, b) => a.targetMs - b.targetMs);
  }

  /**
   * Every multiple hangs on this one number, so it is measured as thoroughly as what is delivered, and again
   * while it is unstable; of three unstable ones the tightest counts. Where a driver emulates the device its latency as a candidate
   * does: it is no GPU's, however long it is measured. Sizes are medians, whatever percentile the limit is of.
   */
  async #baseLatency(): Promise<Latency> {
    const { meter } = this.context;
    const digest = specDigest(this.#base.spec);
    const known = this.context.record.latency(latencyId(this.target, digest));
    if (known?.fingerprint?.software !== undefined) return known;
    const tried: Latency[] = [];
    for (let attempt = 1; attempt <= baseAttempts; attempt++) {
      const id = `${baseLatencyId(this.target)} ${attempt}`;
      const latency = await measureAgain(this.context, { id, target: this.target, digest }, (target) =>
        meter.measureSpec(this.#base.spec, { ...target, limit: undefined }, 'thorough'),
      );
      if (latency.stable) return latency;
      tried.push(latency);
    }
    return tried.reduce((a, b) => (spread(b) < spread(a) ? b : a));
  }

  /**
   * What latency and accuracy models start from: where anything grows the design is measured, and what was trained for other
   * targets, which makes it a candidate here; the base is trained.
   */
  async begin(sizes: readonly SizeTarget[]): Promise<void> {
    // A family of the base alone needs no model of how latency grows.
    if (sizes.some((size) => !isBase(size))) {
      await this.#measureDesign(sizes);
      for (const { spec, multipliers } of this.#trainings.values()) await this.#measure(spec, multipliers);
    }
    await this.train([this.base]);
  }

  /** Scalings trained so far, the base among them. */
  get trained(): readonly Scaling[] {
    return [...this.#measured.values()].filter(({ digest }) => this.accuracy(digest) !== undefined);
  }

  /** Mean hold-out accuracy of a network over its trainings at the scaling fidelity; a seed that diverged counts as none. */
  accuracy(digest: string): number | undefined {
    return meanAccuracy(this.context, this.#trainings.get(digest)?.trials ?? []);
  }

  get base(): Scaling {
    const scaling = this.#measured.get(specDigest(this.#base.spec));
    if (!scaling) throw new Error('the base is measured first, by sizes()');
    return scaling;
  }

  get elasticity(): Elasticity {
    return fitElasticity([...this.#measured.values()]);
  }

  /** Targets share the scaling time evenly, in their order. */
  timeLeft(round: number): Promise<boolean> {
    return phaseTimeLeft(this.context, `scale.${this.target}`, this.#upTo, round);
  }

  /** Share of the whole budget that may be used when this target's scaling is over. */
  get #upTo(): number {
    const { search, scale } = this.context.config.budget.split;
    return search + scale * this.#turn;
  }

  /** Which part of the targets this one and those before it are. */
  get #turn(): number {
    const names = Object.keys(this.context.config.targets);
    return (names.indexOf(this.target) + 1) / names.length;
  }

  /** What the optimizer proposes from. */
  problem(sizes: readonly SizeTarget[]): Omit<ScalingProblem, 'count' | 'seed'> {
    return {
      base: this.#base.spec,
      sizes: sizes.map(({ size, targetMs }) => ({ name: size.name, targetMs })),
      observations: [
        ...[...this.#measured.values()].map((scaling) => ({
          multipliers: scaling.multipliers,
          latencyMs: scaling.latencyMs,
          accuracy: this.accuracy(scaling.digest),
          // One that diverged, or failed, has no accuracy.
          tried: this.#trainings.has(scaling.digest) || !this.#isWithinLimit(scaling),
        })),
        ...this.#unable.map((multipliers) => ({ multipliers, tried: true })),
      ],
      evidence: this.#evidence,
      constraints: this.#constraints,
    };
  }

  async #measureDesign(sizes: readonly SizeTarget[]): Promise<void> {
    const reach = Math.max(...sizes.map(({ targetMs }) => targetMs)) / this.base.latencyMs;
    const design = latencyDesign(this.#base.spec, this.#constraints, reach);
    for (const [index, scaled] of design.entries()) {
      this.say(`measuring ${index + 1}/${design.length} scalings to learn how latency grows on ${this.target}`);
      await this.measure(scaled);
    }
    const { elasticity } = this;
    const { observations, exponents, determined, residualSd } = elasticity;
    const text = `latency on ${this.target} grows as ${powerLawText(elasticity)}`;
    const { depth, width, resolution } = exponents;
    await this.context.record.decideOnce(elasticityId(this.target), () => ({
      value: {
        observations,
        exponents: { depth: { ...depth }, width: { ...width }, resolution: { ...resolution } },
        determined,
        residualSd,
      },
      because: `${text}, from ${observations} scalings`,
    }));
    this.say(text);
  }

  /** Trains scalings at the scaling fidelity, by default with the study's own seed; the base too, so that gains are known against it. */
  async train(scalings: readonly Scaling[], seeds: readonly number[] = [this.context.config.seed]): Promise<void> {
    const { config } = this.context;
    const trials = await admit(
      this.context,
      scalings.flatMap(({ multipliers, spec }) =>
        seeds.map((seed) => ({
          phase: 'scale' as const,
          choices: { ...multipliers },
          spec,
          fidelity: { examples: config.scale.examples, seed },
          origin: {
            by: seed === config.seed ? 'scaling' : 'finalists',
            because: `scaling of ${this.#base.trial}${seed === config.seed ? '' : ', trained again with another seed'}`,
            target: this.target,
          },
        })),
      ),
      [],
    );
    await evaluateAll(this.context, trials, {
      label: `${this.trained.length} scalings trained for ${this.target}`,
      keepWeights: false,
    });
    for (const { digest, multipliers, spec } of scalings) {
      const known = this.#trainings.get(digest)?.trials ?? [];
      const own = trials.filter((trial) => trial.specDigest === digest && known.every(({ id }) => id !== trial.id));
      this.#trainings.set(digest, { multipliers, spec, trials: [...known, ...own] });
    }
  }

  /** Trains the likely best again with the other seeds of `scale.seeds`, while there is time for it: the best of many by one seed was partly lucky. */
  async trainAgain(scalings: readonly Scaling[]): Promise<void> {
    const { seed, scale } = this.context.config;
    const others = Array.from({ length: scale.seeds - 1 }, (_, index) => seed + index + 1);
    if (others.length === 0 || scalings.length === 0) return;
    const next = this.context.config.budget.split.train * this.#turn;
    if (!(await seedTimeLeft(this.context, `scale.${this.target}`, this.#upTo, next))) return;
    await this.train(scalings, others);
  }

  /**
   * The first `count` that keep the target's hard limit when measured as thoroughly as what is delivered:
   * a quick measurement near a limit may be wrong, and choosing the best of many favours those it flatters. Where even
   * that has no p99 its p90 stands in, and delivery says that it is not known whether the limit is kept.
   */
  async confirmed(ranked: readonly Scaling[], count: number): Promise<Scaling[]> {
    const { limit } = this.#config;
    if (limit === undefined) return ranked.slice(0, count);
    const kept: Scaling[] = [];
    for (const scaling of ranked) {
      if (kept.length === count) break;
      if (mayMeetLimit(await this.#thorough(scaling), limit)) kept.push(scaling);
    }
    return kept;
  }

  #thorough({ digest, spec }: Scaling): Promise<Latency> {
    const id = `thorough ${this.target} ${digest}`;
    return measureAgain(this.context, { id, target: this.target, digest }, (target) =>
      this.context.meter.measureSpec(spec, target, 'thorough'),
    );
  }

  /** Within the size's latency, and within the target's hard limits, of latency at its percentile and of memory. */
  fits({ latencyMs, digest, spec }: Scaling, targetMs: number): boolean {
    return latencyMs <= targetMs && this.#constraints.admits?.(spec) !== false && this.#isWithinLimit({ digest });
  }

  #isWithinLimit({ digest }: Pick<Scaling, 'digest'>): boolean {
    const latency = this.context.record.latency(latencyId(this.target, digest));
    const { limit } = this.#config;
    return limit === undefined || latency === undefined || mayMeetLimit(latency, limit);
  }

  /** Kept inside the optimizer's box: where latency hardly grows, a rule would be followed for ever. */
  apply({ depth, width, resolution }: Multipliers): ScaledNetwork {
    const inside = {
      depth: Math.min(depth, largest.depth),
      width: Math.min(width, largest.width),
      resolution: Math.min(resolution, largest.resolution),
    };
    return applyMultipliers(this.#base.spec, inside, this.#constraints);
  }

  measure({ spec, realised }: ScaledNetwork): Promise<Scaling> {
    // Rounding may leave the base as it is; then it is the base, with the base's own latency.
    const isUnchanged = realisedKey(realised) === realisedKey(identity);
    return this.#measure(isUnchanged ? this.#base.spec : spec, realised);
  }

  async #measure(spec: NetworkSpec, multipliers: Multipliers): Promise<Scaling> {
    const digest = specDigest(spec);
    const latency = await latencyOf(this.context, spec, digest, this.target).catch((error: unknown) => {
      if (error instanceof InfeasibleModelError) return undefined;
      throw error;
    });
    // What the target cannot run is beyond every size, and tells nothing of how latency grows.
    if (!latency) {
      this.#unable.push(multipliers);
      return { multipliers, spec, digest, latencyMs: Number.POSITIVE_INFINITY };
    }
    const scaling = { multipliers, spec, digest, latencyMs: latency.p50Ms };
    this.#measured.set(digest, scaling);
    return scaling;
  }

  /** The scalings of one size, as the journal keeps them. The base where there are none. */
  sized({ size, targetMs }: SizeTarget, line: string, found: readonly Scaling[], because: string): SizedScalings {
    const finalists = found.length > 0 ? found : [this.base];
    const value = {
      targetMs,
      finalists: finalists.map(({ multipliers, latencyMs, digest }) => ({ ...multipliers, latencyMs, digest })),
    };
    this.context.record.decideAgain(`scaling ${this.target} ${line} ${size.name}`, value, because);
    return { target: this.target, line, size, targetMs, finalists };
  }

  say(text: string): void {
    this.context.onProgress({ phase: 'scale', text });
  }
}
