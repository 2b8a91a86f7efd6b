import { emulated } from '../../accelerators/software-driver.ts';
import type { Outcome } from '../../core/trial.ts';
import { agreementOf, rateAtMost } from '../../latency/agreement.ts';
import type { Latency } from '../../latency/latency.ts';
import { keepsLimit, limitDoubt, type LimitMet } from '../../latency/setting.ts';
import { speedUp } from '../../latency/speed-up.ts';
import { nonDominated } from '../../search/pareto.ts';
import { type Allocation, allocationId } from '../train/allocate-phase.ts';
import { acrossTargetsOf } from './across-targets.ts';
import { activeMs } from '../journal/active-time.ts';
import type { DataDescription } from '../context.ts';
import { deliveredLatencyId, type FilePrecision, memberFolder, scoreId } from './deliver-phase.ts';
import { countSpec, latencyId, mayMeetLimit } from '../evaluation/evaluate.ts';
import { type JournalEvent, type PhaseName, phaseNames } from '../journal/events.ts';
import { profileBehind } from '../evaluation/profiles.ts';
import { auditProxies, auditWarnings } from '../search/proxy-audit.ts';
import { StudyRecord, type Trial } from '../journal/record.ts';
import { rungSummaries } from './rung-summary.ts';
import { overSeeds } from './over-seeds.ts';
import { baseLatencyId, elasticityId, familyLine } from '../scale/scalings.ts';
import type { Score } from '../evaluation/score.ts';
import { predictionId, type Screening, screeningId } from '../evaluation/screening.ts';
import type { StudyConfig, TargetConfig } from '../study-file.ts';
import { deliveredPrecision } from '../evaluation/target-settings.ts';
import { describeSchedule } from '../evaluation/training-schedule.ts';
import type {
  ElasticitySummary,
  FamilySummary,
  MemberSummary,
  PredictionSummary,
  StudySummary,
  TargetSummary,
  TrialSummary,
  VariantSummary,
} from './summary.ts';
import { variantFile, variantOutcome, variantRefusal } from './variants.ts';

/** What a journal tells of its study, for reports; nothing but the journal is read. */
export function summarise(events: readonly JournalEvent[]): StudySummary {
  return new Summariser(events).summary();
}

/** What reports say of a data set. */
export function dataSummary({
  name,
  classNames,
  width,
  height,
  counts,
  digest,
}: DataDescription): StudySummary['data'] {
  return { name, classes: classNames.length, native: `${width} × ${height}`, ...counts, digest };
}

interface MemberDecision {
  readonly targetMs: number;
  readonly multipliers: { readonly depth: number; readonly width: number; readonly resolution: number };
  readonly runs: readonly string[];
  /** Seeds whose training diverged; they are not among the runs. */
  readonly diverged: number;
  readonly delivered: string;
  readonly freshAccuracy?: number | null;
  /** Smaller size whose network it holds. */
  readonly heldFrom?: string;
}

class Summariser {
  readonly #events: readonly JournalEvent[];
  readonly #record: StudyRecord;
  readonly #config: StudyConfig;
  readonly #environment: Readonly<Record<string, string>>;

  constructor(events: readonly JournalEvent[]) {
    const created = events.find((event) => event.type === 'study' && event.action === 'created');
    if (created?.type !== 'study') throw new Error('expected a journal that begins with its study');
    this.#events = events;
    this.#record = StudyRecord.replay(events);
    this.#config = created.config as StudyConfig;
    this.#environment = created.environment as Record<string, string>;
  }

  summary(): StudySummary {
    const data = this.#record.decision('data') as DataDescription | undefined;
    const base = this.#record.decision('base') as { trial: string } | undefined;
    const baseTrial = base && this.#record.trial(base.trial);
    const trials = this.#trials();
    const targets = this.#targets();
    const proxyAudit = auditProxies(this.#record, this.#config);
    const outcomes = this.#events.filter((event) => event.type === 'outcome');
    const costs = outcomes.flatMap(({ outcome }) => ('cost' in outcome && outcome.cost ? [outcome.cost] : []));
    return {
      name: this.#config.study,
      seed: this.#config.seed,
      createdMs: this.#events[0]?.tMs ?? 0,
      activeS: activeMs(this.#events) / 1e3,
      phaseS: this.#phaseSeconds(),
      trainS: costs.reduce((sum, cost) => sum + cost.trainS, 0),
      measureS: this.#events.reduce((sum, event) => sum + (event.type === 'measured' ? event.seconds : 0), 0),
      deviceHours: {
        spent: this.#record.spending.hours,
        budget: this.#config.budget.deviceHours ?? null,
        byPhase: this.#record.spending.byPhase,
      },
      data: data
        ? dataSummary(data)
        : { name: String(this.#config.data), classes: 0, native: '', train: 0, holdout: 0, test: 0, digest: '' },
      environment: this.#environment,
      base: baseTrial
        ? {
            trial: baseTrial.id,
            because: this.#because('base'),
            spec: baseTrial.spec,
            count: countSpec(baseTrial.spec),
          }
        : null,
      trials,
      schedule: this.#config.final.schedule === undefined ? null : describeSchedule(this.#config.final.schedule),
      rungs: rungSummaries(this.#record, this.#config),
      targets,
      allocation: this.#allocation(data?.counts.train ?? 0),
      acrossTargets: acrossTargetsOf(this.#config, this.#record, trials, targets),
      proxyAudit,
      warnings: [...this.#warnings(trials, targets), ...auditWarnings(proxyAudit)],
      finished: this.#events.some(
        (event) => event.type === 'phase' && event.id === 'deliver' && event.action === 'finished',
      ),
    };
  }

  #because(decision: string): string {
    return (
      this.#events.flatMap((event) => (event.type === 'decision' && event.id === decision ? [event.because] : []))[0] ??
      ''
    );
  }

  #allocation(trainExamples: number): StudySummary['allocation'] {
    const decided = this.#record.decision(allocationId) as Allocation | number | undefined;
    if (decided === undefined || typeof decided === 'number' || decided.split === 'configured') return null;
    const { split, law, problem } = decided;
    const sizes = decided.sizes.map(({ network, ...size }) => ({
      ...size,
      passes: size.examples / trainExamples,
      reached: this.#finalLoss(network),
    }));
    return { split, because: this.#because(allocationId), sizes, law, problem };
  }

  /** Mean hold-out cross-entropy of a network's final trainings. */
  #finalLoss(digest: string): number | null {
    const losses = this.#record.trials.flatMap(({ id, phase, specDigest }) => {
      const outcome = phase === 'train' && specDigest === digest ? this.#record.outcome(id) : undefined;
      return outcome?.status === 'ok' ? (outcome.metrics['crossEntropy'] ?? []) : [];
    });
    return losses.length === 0 ? null : losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  }

  #phaseSeconds(): Partial<Record<PhaseName, number>> {
    const seconds: Partial<Record<PhaseName, number>> = {};
    for (const name of phaseNames) {
      const start = this.#events.findIndex(
        (event) => event.type === 'phase' && event.id === name && event.action === 'started',
      );
      if (start < 0) continue;
      const end = this.#events.findIndex(
        (event) => event.type === 'phase' && event.id === name && event.action === 'finished',
      );
      const within = this.#events.slice(start, end < 0 ? undefined : end + 1);
      const first = within[0];
      // As if opened at the phase's start, so that pauses between sessions are left out.
      const opened = first ? [{ ...first, type: 'study', id: '', action: 'opened' } as JournalEvent, ...within] : [];
      seconds[name] = activeMs(opened) / 1e3;
    }
    return seconds;
  }

  #trials(): TrialSummary[] {
    const issuedMs = new Map(
      this.#events.flatMap((event) => (event.type === 'issued' ? [[event.id, event.tMs] as const] : [])),
    );
    const endedMs = new Map(
      this.#events.flatMap((event) => (event.type === 'outcome' ? [[event.id, event.tMs] as const] : [])),
    );
    const front = this.#front();
    return this.#record.trials.map((trial) => {
      const outcome = this.#record.outcome(trial.id);
      const metrics = outcome && 'metrics' in outcome ? outcome.metrics : undefined;
      return {
        id: trial.id,
        phase: trial.phase,
        choices: trial.choices,
        spec: trial.spec,
        because: `${trial.origin.by}: ${trial.origin.because}`,
        target: trial.origin.target,
        size: trial.origin.size,
        status: outcome?.status ?? 'issued',
        reason: reasonOf(outcome),
        fidelityExamples: trial.fidelity.examples,
        seed: trial.fidelity.seed,
        accuracy: metrics?.['accuracy'],
        crossEntropy: metrics?.['crossEntropy'],
        latencyMs: this.#latencies(trial),
        count: countSpec(trial.spec),
        cost: outcome && 'cost' in outcome ? outcome.cost : undefined,
        curve: outcome?.status === 'ok' ? outcome.curve : undefined,
        startedMs: issuedMs.get(trial.id) ?? 0,
        endedMs: endedMs.get(trial.id),
        onFront: front.has(trial.id),
      };
    });
  }

  #latencies(trial: Trial): Record<string, number> {
    return Object.fromEntries(
      Object.keys(this.#config.targets).flatMap((target) => {
        const latency = this.#record.latency(latencyId(target, trial.specDigest));
        return latency ? [[target, latency.p50Ms]] : [];
      }),
    );
  }

  /** Search trials of the first seed, at the highest rung with results, that no other beats in accuracy and in latency on every target. */
  #front(): ReadonlySet<string> {
    const targets = Object.keys(this.#config.targets);
    const trained = this.#record.trials.filter(
      (trial) =>
        trial.phase === 'search' &&
        trial.fidelity.seed === this.#config.seed &&
        this.#record.outcome(trial.id)?.status === 'ok',
    );
    const most = Math.max(...trained.map(({ fidelity }) => fidelity.examples));
    const finished = trained.filter(({ fidelity }) => fidelity.examples === most);
    const points = finished.map((trial) => {
      const outcome = this.#record.outcome(trial.id);
      const accuracy = outcome?.status === 'ok' ? (outcome.metrics['accuracy'] ?? 0) : 0;
      const latencies = this.#latencies(trial);
      return [accuracy, ...targets.map((target) => latencies[target] ?? Number.POSITIVE_INFINITY)];
    });
    const kept = nonDominated(points, ['max', ...targets.map(() => 'min' as const)]);
    return new Set(kept.map((index) => finished[index]?.id ?? ''));
  }

  #targets(): TargetSummary[] {
    return Object.entries(this.#config.targets).map(([name, target]) => ({
      name,
      device: target.device,
      predictedBy: profileBehind(this.#record, target.device, target),
      prediction: this.#prediction(name, target),
      elasticity: (this.#record.decision(elasticityId(name)) as ElasticitySummary | undefined) ?? null,
      batch: target.batch,
      settings: target.settings ?? [],
      threads: target.threads,
      limit: target.limit ?? null,
      lines: this.#lines(name),
    }));
  }

  /** Every network that was predicted on a target, beside its measurement where there is one. */
  #prediction(target: string, config: TargetConfig): PredictionSummary | null {
    const by = config.profile === undefined ? null : profileBehind(this.#record, config.profile, config);
    if (!by) return null;
    const networks = [...new Set(this.#record.trials.map(({ specDigest }) => specDigest)), ...this.#untried(target)];
    const pairs = networks.flatMap((digest) => {
      const predicted = this.#record.latency(predictionId(target, digest));
      const measured = this.#record.latency(latencyId(target, digest));
      return predicted && measured ? [{ predictedMs: predicted.p50Ms, measuredMs: measured.p50Ms }] : [];
    });
    const screened = networks.flatMap((digest) => {
      const screening = this.#record.decision(screeningId(target, digest)) as Screening | undefined;
      return screening ? [{ ...screening, latency: this.#record.latency(latencyId(target, digest)) }] : [];
    });
    const sampled = screened.filter(({ verdict, latency }) => verdict === 'measured anyway' && latency);
    const wronglyRefused = sampled.filter(
      ({ latency, percentile, limitMs }) => latency && mayMeetLimit(latency, { percentile, ms: limitMs }),
    ).length;
    return {
      ...by,
      ...agreementOf(pairs),
      refused: screened.filter(({ verdict }) => verdict === 'refused').length,
      sampled: sampled.length,
      wronglyRefused,
      wronglyRefusedAtMost: rateAtMost(wronglyRefused, sampled.length),
    };
  }

  /** Digests of networks that were measured on a target without becoming a trial: scalings that were too slow. */
  #untried(target: string): string[] {
    const tried = new Set(this.#record.trials.map(({ specDigest }) => specDigest));
    const prefix = latencyId(target, '');
    return this.#events.flatMap((event) => {
      if (event.type !== 'measured' || !event.id.startsWith(prefix)) return [];
      const digest = event.id.slice(prefix.length);
      return tried.has(digest) ? [] : [digest];
    });
  }

  #lines(target: string): FamilySummary[] {
    const rules = this.#config.final.baselines.flatMap((baseline) => ('rule' in baseline ? [baseline.rule] : []));
    const models = this.#config.final.baselines.flatMap((baseline) => ('onnx' in baseline ? [baseline.onnx] : []));
    const line = (kind: FamilySummary['kind'], id: string): FamilySummary => ({
      kind,
      name: id === familyLine ? 'ridgepoint' : id,
      members: (this.#config.family[target] ?? []).flatMap((size) => this.#member(target, id, size.name) ?? []),
    });
    const lines = [
      line('family', familyLine),
      ...rules.map((rule) => line('rule', rule)),
      ...models.map((model) => this.#userModel(target, model)),
    ];
    return lines.filter(({ members }) => members.length > 0);
  }

  #member(target: string, line: string, size: string): MemberSummary | undefined {
    const decision = this.#record.decision(`member ${target} ${line} ${size}`) as MemberDecision | undefined;
    const latency = decision && this.#record.latency(deliveredLatencyId(target, decision.delivered));
    const delivered = decision && this.#record.trial(decision.delivered);
    if (!decision || !latency || !delivered) return undefined;
    const score = (split: 'holdout' | 'test', run: string) =>
      (this.#record.decision(scoreId(split, run)) as Score | undefined)?.accuracy;
    const accuracies = (split: 'holdout' | 'test') =>
      overSeeds(decision.runs.flatMap((run) => score(split, run) ?? []));
    const outcome = this.#record.outcome(delivered.id);
    const precision = deliveredPrecision(latency);
    const ofFile = (split: 'holdout' | 'test') =>
      (this.#record.decision(scoreId(split, delivered.id, precision)) as Score | undefined)?.accuracy ?? Number.NaN;
    const file = line === familyLine ? `${memberFolder({ target, size })}/model.onnx` : undefined;
    const variants = line === familyLine ? this.#variants(target, size, delivered, latency) : [];
    return {
      size,
      targetMs: decision.targetMs,
      multipliers: decision.multipliers,
      spec: delivered.spec,
      count: countSpec(delivered.spec),
      testAccuracy: accuracies('test'),
      holdoutAccuracy: accuracies('holdout'),
      ...(typeof decision.freshAccuracy === 'number' ? { freshAccuracy: decision.freshAccuracy } : {}),
      delivered: {
        seed: delivered.fidelity.seed,
        testAccuracy: ofFile('test'),
        holdoutAccuracy: ofFile('holdout'),
      },
      divergedSeeds: decision.diverged,
      trainingExamples: delivered.fidelity.examples,
      latency,
      limitMet: this.#limitMet(target, latency),
      chosenFrom: this.#record.latency(latencyId(target, delivered.specDigest))?.chosenFrom ?? [],
      file,
      variants,
      curve: outcome?.status === 'ok' ? outcome.curve : undefined,
    };
  }

  #variants(target: string, size: string, { id }: Trial, delivered: Latency): VariantSummary[] {
    const config = this.#config.targets[target];
    const own = deliveredPrecision(delivered);
    const accuracy = (split: 'holdout' | 'test', precision: FilePrecision): number =>
      (this.#record.decision(scoreId(split, id, precision)) as Score | undefined)?.accuracy ?? Number.NaN;
    return (this.#config.final.variants ?? []).flatMap((precision): VariantSummary[] => {
      const refusal = config && variantRefusal(config, own, precision);
      if (refusal !== undefined) return [{ precision, refusal }];
      const outcome = variantOutcome(this.#record, target, id, precision);
      if (!outcome) return [];
      if ('refusal' in outcome) return [{ precision, ...outcome }];
      const testAccuracy = accuracy('test', precision);
      return [
        {
          precision,
          file: `${memberFolder({ target, size })}/${variantFile(precision)}`,
          testAccuracy,
          holdoutAccuracy: accuracy('holdout', precision),
          latency: outcome.latency,
          limitMet: this.#limitMet(target, outcome.latency),
          accuracyChange: testAccuracy - accuracy('test', own),
          speedUp: speedUp(delivered, outcome.latency),
        },
      ];
    });
  }

  #userModel(target: string, model: string): FamilySummary {
    const latency = this.#record.latency(deliveredLatencyId(target, model));
    const score = this.#record.decision(`score test ${model}`) as Score | undefined;
    const member: MemberSummary[] =
      latency && score
        ? [
            {
              size: model,
              targetMs: null,
              multipliers: null,
              spec: null,
              count: null,
              testAccuracy: overSeeds([score.accuracy]),
              holdoutAccuracy: null,
              delivered: null,
              divergedSeeds: 0,
              latency,
              limitMet: this.#limitMet(target, latency),
              chosenFrom: latency.chosenFrom ?? [],
              variants: [],
            },
          ]
        : [];
    return { kind: 'user-model', name: model, members: member };
  }

  #limitMet(target: string, latency: Latency): LimitMet | null {
    const limit = this.#config.targets[target]?.limit;
    return limit ? keepsLimit(latency, limit) : null;
  }

  #warnings(trials: readonly TrialSummary[], targets: readonly TargetSummary[]): string[] {
    const warnings: string[] = [];
    const failed = trials.filter(({ status }) => status === 'failed');
    if (failed.length > 0) warnings.push(`${failed.length} of ${trials.length} trials failed: ${failed[0]?.reason}`);
    for (const { name, lines } of targets)
      for (const { name: line, members } of lines) {
        for (const { size, latency, limitMet, divergedSeeds } of members) {
          if (divergedSeeds > 0)
            warnings.push(
              `${name}: ${divergedSeeds} of the seeds of ${line} ${size} diverged; its accuracy is over the others`,
            );
          if (!latency.stable)
            warnings.push(
              `${name}: the latency of ${line} ${size} is unstable (interval ${latency.intervalMs.lo.toPrecision(3)}–${latency.intervalMs.hi.toPrecision(3)} ms)`,
            );
          if (limitMet === false)
            warnings.push(`${name}: ${line} ${size} does not meet the limit in its final measurement`);
          if (limitMet === 'unknown')
            warnings.push(`${name}: whether ${line} ${size} meets the limit is not known: ${limitDoubt(latency)}`);
        }
        warnings.push(...inversions(name, line, members));
        warnings.push(...members.flatMap(variantWarnings).map((warning) => `${name}: ${warning}`));
      }
    for (const { name } of targets) {
      const attempts = this.#events.flatMap((event) =>
        event.type === 'measured' && event.id.startsWith(`${baseLatencyId(name)} `) ? [event.latency] : [],
      );
      if (attempts.length > 0 && !attempts.some(({ stable }) => stable))
        warnings.push(
          `${name}: the base's latency, which sizes are multiples of, was unstable in every attempt: sizes may be off`,
        );
    }
    for (const { name, lines } of targets) {
      const latencies = lines.flatMap(({ members }) => members.map(({ latency }) => latency));
      const ranked = latencies.find(({ calibrated }) => !calibrated);
      if (ranked)
        warnings.push(
          `${name}: latencies are predicted by a profile that was never calibrated in ${ranked.precision}: good for ranking only`,
        );
      const software = latencies.find(({ fingerprint }) => fingerprint?.software)?.fingerprint?.software;
      if (software) warnings.push(`${name}: ran ${emulated(software)}`);
    }
    const sizes = this.#record.trials.length > 0 ? this.#emptySizes() : [];
    return [...warnings, ...sizes];
  }

  /** Sizes without a network of their own. */
  #emptySizes(): string[] {
    return Object.entries(this.#config.family).flatMap(([target, sizes]) =>
      sizes.flatMap((size) => {
        const member = this.#record.decision(`member ${target} ${familyLine} ${size.name}`) as
          | MemberDecision
          | undefined;
        if (!member && size.among !== undefined && this.#record.hasFinished('train'))
          return [`${target}: no network was worth a place as ${size.name}: the front of those trained has fewer`];
        if (member?.heldFrom !== undefined)
          return [
            `${target}: ${size.name} holds the network of ${member.heldFrom}: what was trained for it was less accurate`,
          ];
        if (!member || size.multiple === 1) return [];
        const { depth, width, resolution } = member.multipliers;
        return depth === 1 && width === 1 && resolution === 1
          ? [
              `${target}: no scaling was found for ${size.name} (up to ${member.targetMs.toPrecision(3)} ms), so it holds the base`,
            ]
          : [];
      }),
    );
  }
}

/** Larger members that are less accurate than a smaller one by more than the seeds' spread. */
function inversions(target: string, line: string, members: readonly MemberSummary[]): string[] {
  const ordered = members.toSorted((a, b) => a.latency.p50Ms - b.latency.p50Ms);
  return ordered.slice(1).flatMap((larger, index) => {
    const smaller = ordered[index];
    if (!smaller) return [];
    const spread = Math.hypot(larger.testAccuracy.sd ?? 0, smaller.testAccuracy.sd ?? 0);
    return larger.testAccuracy.mean < smaller.testAccuracy.mean - spread
      ? [`${target}: ${line} ${larger.size} is slower than ${smaller.size} and less accurate`]
      : [];
  });
}

/** Test accuracy that a variant may lose without a warning. */
const tolerableLoss = 0.01;

/** Variants that do not pay: slower than the delivered file, or much less accurate, or over the limit. */
function variantWarnings({ size, variants }: MemberSummary): string[] {
  return variants.flatMap((variant) => {
    if ('refusal' in variant) return [];
    const { precision, speedUp, accuracyChange, limitMet, latency } = variant;
    const what = `${precision} of ${size}`;
    return [
      ...(speedUp.verdict === 'slower'
        ? [`${what} is slower than the delivered file: it takes ${(1 / speedUp.ratio).toFixed(2)} times as long`]
        : []),
      ...(accuracyChange < -tolerableLoss
        ? [`${what} loses ${(-100 * accuracyChange).toFixed(1)} points of test accuracy to the delivered file`]
        : []),
      ...(limitMet === false ? [`${what} does not meet the limit`] : []),
      ...(limitMet === 'unknown' ? [`whether ${what} meets the limit is not known: ${limitDoubt(latency)}`] : []),
      ...(latency.stable ? [] : [`the latency of ${what} is unstable`]),
    ];
  });
}

/** Why a network was not trained, or not to an end. */
export function reasonOf(outcome: Outcome | undefined): string | undefined {
  if (outcome?.status === 'failed') return `${outcome.code}: ${outcome.detail}`;
  if (outcome?.status !== 'infeasible') return undefined;
  return [outcome.reason, outcome.detail].filter(Boolean).join(' ');
}
