import { InfeasibleModelError } from '../core/errors.ts';
import type { Latency } from '../latency/latency.ts';
import { specDigest, type NetworkSpec } from '../models/spec.ts';
import { applyMultipliers, realisedKey, type ScaledNetwork } from '../scaling/apply.ts';
import { identity, type Multipliers } from '../scaling/multipliers.ts';
import { largest, type ScalingConstraints, type ScalingObservation } from '../scaling/candidates.ts';
import { fitElasticity, powerLawText } from '../scaling/elasticity.ts';
import { proposeGlobalScalings } from '../scaling/global-scaling.ts';
import { latencyDesign } from '../scaling/latency-design.ts';
import { bandFloor, proposeScalings, type ScalingProblem } from '../scaling/optimizer.ts';
import { parseRule, type ScalingRule } from '../scaling/rules.ts';
import { solveRule, solveRuleMeasured } from '../scaling/solve-rule.ts';
import { phaseTimeLeft } from './budget.ts';
import type { StudyContext } from './context.ts';
import { accuracyOf, admit, countSpec, evaluateAll, latencyOf, meetsLimit, runBytes } from './evaluate.ts';
import type { Base } from './search-phase.ts';
import type { Size, TargetConfig } from './study-file.ts';

/** Name of the line that is delivered; the others are compared with it. */
export const familyLine = 'family';

/** Measurements of the base before an unstable one is taken. */
const baseAttempts = 3;

/** Times a size is asked for proposals in one round while all of them measure above it. */
const proposalAttempts = 3;

/** Beginning of the memo keys of the base's thorough latency, which sizes are multiples of. */
export function baseLatencyId(target: string): string {
  return `base ${target}`;
}

/** Id of the decision that says how latency grows on a target. */
export function elasticityId(target: string): string {
  return `elasticity ${target}`;
}

function intervalRatio({ intervalMs: { lo, hi } }: Latency): number {
  return hi / lo;
}

/** A scaled base with its measured latency. */
export interface Scaling {
  /** Realised multipliers. */
  readonly multipliers: Multipliers;
  readonly spec: NetworkSpec;
  readonly digest: string;
  readonly latencyMs: number;
}

/** The scalings of one size that go on to full training. */
export interface SizedScalings {
  readonly target: string;
  /** `family`, or the fixed rule it is compared with. */
  readonly line: string;
  readonly size: Size;
  readonly targetMs: number;
  readonly finalists: readonly Scaling[];
}

/** Latency-aware compound scaling of one base for every target, and the fixed rules it is compared with. */
export async function scaleBase(context: StudyContext, base: Base): Promise<SizedScalings[]> {
  const results: SizedScalings[] = [];
  for (const [target, config] of Object.entries(context.config.targets)) {
    const scaler = new TargetScaler(context, base, target, config);
    const sizes = await scaler.sizes();
    results.push(...(await scaler.family(sizes)));
    for (const baseline of context.config.final.baselines)
      if ('rule' in baseline) results.push(...(await scaler.byRule(sizes, parseRule(baseline.rule))));
  }
  return results;
}

type SizeTarget = Pick<SizedScalings, 'size' | 'targetMs'>;

/** Everything about scaling one base for one target; latencies and accuracies accumulate. */
class TargetScaler {
  readonly #context: StudyContext;
  readonly #base: Base;
  readonly #target: string;
  readonly #config: TargetConfig;
  readonly #constraints: ScalingConstraints;
  readonly #measured = new Map<string, Scaling>();
  readonly #accuracies = new Map<string, number>();

  constructor(context: StudyContext, base: Base, target: string, config: TargetConfig) {
    this.#context = context;
    this.#base = base;
    this.#target = target;
    this.#config = config;
    this.#constraints = {
      maxResolution: Math.min(context.data.height, context.data.width),
      admits: (spec) => config.memory === undefined || runBytes(countSpec(spec), config) <= config.memory,
    };
  }

  /** The sizes asked for, in milliseconds, largest last; multiples are of the base's measured latency. */
  async sizes(): Promise<SizeTarget[]> {
    await this.#measure(this.#base.spec, identity);
    const base = await this.#baseLatency();
    const sizes = this.#context.config.family[this.#target] ?? [];
    return sizes
      .map((size) => ({ size, targetMs: size.ms ?? (size.multiple ?? 1) * base.p50Ms }))
      .toSorted((a, b) => a.targetMs - b.targetMs);
  }

  /**
   * Every multiple hangs on this one number, so it is measured as thoroughly as what is delivered, and again
   * while it is unstable; of three unstable ones the tightest counts.
   */
  async #baseLatency(): Promise<Latency> {
    const { record, meter } = this.#context;
    const tried: Latency[] = [];
    for (let attempt = 1; attempt <= baseAttempts; attempt++) {
      const id = `${baseLatencyId(this.#target)} ${attempt}`;
      const latency = await record.measureOnce(id, this.#target, () =>
        meter.measureSpec(this.#base.spec, this.#config, 'thorough'),
      );
      if (latency.stable) return latency;
      tried.push(latency);
    }
    return tried.reduce((a, b) => (intervalRatio(b) < intervalRatio(a) ? b : a));
  }

  /** The family itself, by the study's scaling rule. */
  async family(sizes: readonly SizeTarget[]): Promise<SizedScalings[]> {
    const { rule } = this.#context.config.scale;
    // A family of the base alone needs no model of how latency grows.
    if (sizes.some(({ size }) => size.multiple !== 1)) await this.#measureDesign(sizes);
    await this.#train([this.#baseScaling()]);
    if (rule === 'per-size') return this.#perSize(sizes);
    if (rule === 'single-triple') return this.#singleTriple(sizes);
    return this.byRule(sizes, parseRule(rule), familyLine);
  }

  /**
   * A fixed rule, carried to each size by its own φ: solved on the fitted latency, then on measurements. As
   * the family it stays below the size's latency; to compare with, the φ whose latency is nearest is taken, above
   * or below: rounding makes a rule's sizes coarse (any φ > 0 doubles a stage of one block), and lines are
   * compared at equal latency anyway.
   */
  async byRule(sizes: readonly SizeTarget[], rule: ScalingRule, line: string = rule.name): Promise<SizedScalings[]> {
    const results: SizedScalings[] = [];
    for (const { size, targetMs } of sizes) {
      if (size.multiple === 1) {
        results.push(this.#sized({ size, targetMs }, line, [this.#baseScaling()], 'the base'));
        continue;
      }
      const elasticity = fitElasticity([...this.#measured.values()]);
      const guess = solveRule(
        rule,
        (multipliers) => elasticity.predict(this.#apply(multipliers).realised).latencyMs,
        targetMs,
      );
      const tried: Scaling[] = [];
      const measure = async (multipliers: Multipliers) => {
        const scaling = await this.#measureScaled(this.#apply(multipliers));
        tried.push(scaling);
        return scaling.latencyMs;
      };
      await solveRuleMeasured(rule, measure, targetMs, {
        guess: guess.phi,
        tolerance: 0.05,
        maxEvaluations: 10,
      });
      const offTarget = ({ latencyMs }: Scaling) => Math.abs(Math.log(latencyMs / targetMs));
      const byNearness = tried.toSorted((a, b) => offTarget(a) - offTarget(b));
      const [nearest = this.#baseScaling()] =
        line === familyLine
          ? await this.#confirmed(
              byNearness.filter((scaling) => this.#fits(scaling, targetMs)),
              1,
            )
          : byNearness;
      const because = `${rule.name} at the φ nearest to the size: ${(nearest.latencyMs / targetMs).toFixed(2)} of its latency`;
      results.push(this.#sized({ size, targetMs }, line, [nearest], because));
    }
    return results;
  }

  async #perSize(sizes: readonly SizeTarget[]): Promise<SizedScalings[]> {
    const { scale, seed } = this.#context.config;
    const grown = sizes.filter(({ size }) => size.multiple !== 1);
    const tried = new Map(grown.map(({ size }) => [size.name, new Set<string>()]));
    const notes = new Map<string, string>();
    // A proposal that measures above its target costs no training, so it does not count; rounds are bounded instead.
    for (let round = 0; round < 3 * scale.trials; round++) {
      const open = grown.filter(
        ({ size }) => (tried.get(size.name)?.size ?? 0) < scale.trials && notes.get(size.name) !== 'exhausted',
      );
      if (open.length === 0 || !(await this.#timeLeft(round))) break;
      const fitting = await this.#fittingProposals(open, seed + round, notes);
      for (const { scaling, name } of fitting) tried.get(name)?.add(scaling.digest);
      await this.#train(fitting.map(({ scaling }) => scaling));
    }
    const results: SizedScalings[] = [];
    for (const { size, targetMs } of sizes) {
      const isBase = size.multiple === 1;
      const finalists = isBase ? [] : await this.#confirmed(this.#rankedWithin(targetMs), scale.finalists);
      const because = isBase
        ? 'the base'
        : `best of ${this.#accuracies.size} trained scalings (${notes.get(size.name)})`;
      results.push(
        this.#sized({ size, targetMs }, familyLine, finalists.length > 0 ? finalists : [this.#baseScaling()], because),
      );
    }
    return results;
  }

  /**
   * Proposals that measure within their size. A size whose proposals all came out above it is asked again, with
   * what they taught, before anything is trained: measuring is cheap beside training.
   */
  async #fittingProposals(
    open: readonly SizeTarget[],
    seed: number,
    notes: Map<string, string>,
  ): Promise<{ scaling: Scaling; name: string }[]> {
    const fitting: { scaling: Scaling; name: string }[] = [];
    let unserved = open;
    for (let attempt = 0; attempt < proposalAttempts && unserved.length > 0; attempt++) {
      const proposed = proposeScalings({
        ...this.#problem(unserved),
        count: this.#context.config.scale.round,
        seed,
      });
      for (const { size, proposals, status } of proposed) {
        notes.set(size.name, status);
        for (const proposal of proposals) {
          const scaling = await this.#measureScaled(proposal);
          if (this.#fits(scaling, size.targetMs)) fitting.push({ scaling, name: size.name });
        }
      }
      unserved = unserved.filter(
        ({ size }) => notes.get(size.name) !== 'exhausted' && fitting.every(({ name }) => name !== size.name),
      );
    }
    return fitting;
  }

  async #singleTriple(sizes: readonly SizeTarget[]): Promise<SizedScalings[]> {
    const { scale, seed } = this.#context.config;
    const grown = sizes.filter(({ size }) => size.multiple !== 1);
    const triples = new Map<string, readonly (Scaling | null)[]>();
    for (let round = 0; triples.size < scale.trials && round < 3 * scale.trials; round++) {
      if (grown.length === 0 || !(await this.#timeLeft(round))) break;
      const proposals = proposeGlobalScalings({ ...this.#problem(grown), count: scale.trials, seed });
      const fresh = proposals.find(({ rule }) => !triples.has(rule.name));
      if (!fresh) break;
      const members: (Scaling | null)[] = [];
      for (const { targetMs } of grown) {
        const { multipliers } = await solveRuleMeasured(
          fresh.rule,
          async (m) => (await this.#measureScaled(this.#apply(m))).latencyMs,
          targetMs,
          { maxEvaluations: 6, tolerance: 0.08 },
        );
        const scaling = await this.#measureScaled(this.#apply(multipliers));
        members.push(this.#fits(scaling, targetMs) ? scaling : null);
      }
      triples.set(fresh.rule.name, members);
      await this.#train(members.filter((member) => member !== null));
    }
    const meanAccuracy = (members: readonly (Scaling | null)[]) =>
      members.reduce((sum, member) => sum + ((member && this.#accuracies.get(member.digest)) ?? 0), 0);
    const best = [...triples].reduce<[string, readonly (Scaling | null)[]] | undefined>(
      (a, b) => (a && meanAccuracy(a[1]) >= meanAccuracy(b[1]) ? a : b),
      undefined,
    );
    const results: SizedScalings[] = [];
    for (const { size, targetMs } of sizes) {
      const member = best?.[1][grown.findIndex((other) => other.size.name === size.name)];
      const [confirmed] = member ? await this.#confirmed([member], 1) : [];
      const because = confirmed ? `(α, β, γ) = ${best?.[0]}` : 'the base';
      results.push(this.#sized({ size, targetMs }, familyLine, [confirmed ?? this.#baseScaling()], because));
    }
    return results;
  }

  /** Targets share the scaling time evenly, in their order. */
  #timeLeft(round: number): Promise<boolean> {
    const { targets, budget } = this.#context.config;
    const names = Object.keys(targets);
    const upTo = budget.split.search + (budget.split.scale * (names.indexOf(this.#target) + 1)) / names.length;
    return phaseTimeLeft(this.#context, `scale.${this.#target}`, upTo, round);
  }

  #problem(sizes: readonly SizeTarget[]): Omit<ScalingProblem, 'count' | 'seed'> {
    const observations: ScalingObservation[] = [...this.#measured.values()].map(
      ({ multipliers, latencyMs, digest }) => ({
        multipliers,
        latencyMs,
        accuracy: this.#accuracies.get(digest),
      }),
    );
    return {
      base: this.#base.spec,
      sizes: sizes.map(({ size, targetMs }) => ({ name: size.name, targetMs })),
      observations,
      constraints: this.#constraints,
    };
  }

  async #measureDesign(sizes: readonly SizeTarget[]): Promise<void> {
    const largest = Math.max(...sizes.map(({ targetMs }) => targetMs)) / this.#baseScaling().latencyMs;
    const design = latencyDesign(this.#base.spec, this.#constraints, largest);
    for (const [index, scaled] of design.entries()) {
      this.#say(`measuring ${index + 1}/${design.length} scalings to learn how latency grows on ${this.#target}`);
      await this.#measureScaled(scaled);
    }
    const elasticity = fitElasticity([...this.#measured.values()]);
    const { observations, exponents, determined, residualSd } = elasticity;
    const text = `latency on ${this.#target} grows as ${powerLawText(elasticity)}`;
    await this.#context.record.decideOnce(elasticityId(this.#target), () => ({
      value: {
        observations,
        exponents: {
          depth: { ...exponents.depth },
          width: { ...exponents.width },
          resolution: { ...exponents.resolution },
        },
        determined,
        residualSd,
      },
      because: `${text}, from ${observations} scalings`,
    }));
    this.#say(text);
  }

  /** Trains scalings at the scaling fidelity; the base too, so that gains are known against it. */
  async #train(scalings: readonly Scaling[]): Promise<void> {
    const { config } = this.#context;
    const trials = await admit(
      this.#context,
      scalings.map(({ multipliers, spec }) => ({
        phase: 'scale' as const,
        choices: { ...multipliers },
        spec,
        fidelity: { examples: config.scale.examples, seed: config.seed },
        origin: { by: 'scaling', because: `scaling of ${this.#base.trial}`, target: this.#target },
      })),
      [],
    );
    await evaluateAll(this.#context, trials, {
      label: `${this.#accuracies.size} scalings trained for ${this.#target}`,
      keepWeights: false,
    });
    for (const trial of trials) {
      const accuracy = accuracyOf(this.#context, trial.id);
      if (accuracy !== undefined) this.#accuracies.set(trial.specDigest, accuracy);
    }
  }

  /**
   * Trained scalings that use a size's latency, the most accurate first: within its band where any is, else below. One
   * short training with one seed is too noisy to hand a size to a much smaller network.
   */
  #rankedWithin(targetMs: number): Scaling[] {
    const fitting = [...this.#measured.values()]
      .filter((scaling) => this.#accuracies.has(scaling.digest) && this.#fits(scaling, targetMs))
      .toSorted((a, b) => (this.#accuracies.get(b.digest) ?? 0) - (this.#accuracies.get(a.digest) ?? 0));
    const inBand = fitting.filter(({ latencyMs }) => latencyMs >= bandFloor * targetMs);
    return inBand.length > 0 ? inBand : fitting;
  }

  /**
   * The first `count` that keep the target's hard limit when measured as thoroughly as what is delivered:
   * a quick measurement near a limit may be wrong, and choosing the best of many favours those it flatters.
   */
  async #confirmed(ranked: readonly Scaling[], count: number): Promise<Scaling[]> {
    const { limit } = this.#config;
    if (limit === undefined) return ranked.slice(0, count);
    const kept: Scaling[] = [];
    for (const scaling of ranked) {
      if (kept.length === count) break;
      const latency = await this.#context.record.measureOnce(
        `thorough ${this.#target} ${scaling.digest}`,
        this.#target,
        () => this.#context.meter.measureSpec(scaling.spec, this.#config, 'thorough'),
      );
      if (meetsLimit(latency, limit)) kept.push(scaling);
    }
    return kept;
  }

  /** Within the size's latency, and within the target's hard limit whatever its percentile. */
  #fits({ latencyMs, digest, spec }: Scaling, targetMs: number): boolean {
    const latency = this.#context.record.latency(`${this.#target} ${digest}`);
    const { limit } = this.#config;
    if (latencyMs > targetMs || this.#constraints.admits?.(spec) === false) return false;
    return limit === undefined || latency === undefined || meetsLimit(latency, limit);
  }

  /** Kept inside the optimizer's box: where latency hardly grows, a rule would be followed for ever. */
  #apply({ depth, width, resolution }: Multipliers): ScaledNetwork {
    const inside = {
      depth: Math.min(depth, largest.depth),
      width: Math.min(width, largest.width),
      resolution: Math.min(resolution, largest.resolution),
    };
    return applyMultipliers(this.#base.spec, inside, this.#constraints);
  }

  #measureScaled({ spec, realised }: ScaledNetwork): Promise<Scaling> {
    // Rounding may leave the base as it is; then it is the base, with the base's own latency.
    const isBase = realisedKey(realised) === realisedKey(identity);
    return this.#measure(isBase ? this.#base.spec : spec, realised);
  }

  async #measure(spec: NetworkSpec, multipliers: Multipliers): Promise<Scaling> {
    const digest = specDigest(spec);
    const latency = await latencyOf(this.#context, spec, digest, this.#target).catch((error: unknown) => {
      if (error instanceof InfeasibleModelError) return undefined;
      throw error;
    });
    // What the target cannot run is beyond every size, and tells nothing of how latency grows.
    if (!latency) return { multipliers, spec, digest, latencyMs: Number.POSITIVE_INFINITY };
    const scaling = { multipliers, spec, digest, latencyMs: latency.p50Ms };
    this.#measured.set(digest, scaling);
    return scaling;
  }

  #baseScaling(): Scaling {
    const scaling = this.#measured.get(specDigest(this.#base.spec));
    if (!scaling) throw new Error('the base is measured first, by sizes()');
    return scaling;
  }

  #sized({ size, targetMs }: SizeTarget, line: string, finalists: readonly Scaling[], because: string): SizedScalings {
    const value = {
      targetMs,
      finalists: finalists.map(({ multipliers, latencyMs, digest }) => ({ ...multipliers, latencyMs, digest })),
    };
    this.#context.record.decideAgain(`scaling ${this.#target} ${line} ${size.name}`, value, because);
    return { target: this.#target, line, size, targetMs, finalists };
  }

  #say(text: string): void {
    this.#context.onProgress({ phase: 'scale', text });
  }
}
