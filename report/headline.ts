import { canonicalJson } from '../core/digest.ts';
import { studentT } from '../core/student-t.ts';
import type { FamilySummary, MemberSummary, StudySummary, TargetSummary } from '../study/deliver/summary.ts';
import { isPerExample, targetSettingText } from './settings.ts';
import { milliseconds, milliseconds0, percent, percentNumber, plural, signed } from './format.ts';

/** The family against another line of the same target, at equal latency. */
export interface Comparison {
  readonly line: FamilySummary;
  /**
   * - `above`, `below`: beyond the 95 % interval of the seeds;
   * - `within-noise`: inside it;
   * - `noise-unknown`: no network involved has two seeds;
   * - `same-networks`: nothing differs;
   * - `no-overlap`: no point of one lies in the latency range of the other.
   */
  readonly verdict: 'above' | 'below' | 'within-noise' | 'noise-unknown' | 'same-networks' | 'no-overlap';
  /** Mean over `points` of family minus line, in percentage points; null when nothing was compared. */
  readonly differencePoints: number | null;
  /** Half width of its 95 % interval over training seeds, in percentage points; null when unknown. */
  readonly noisePoints: number | null;
  /** Where they were compared, each with its own difference. */
  readonly points: readonly { readonly size: string; readonly differencePoints: number }[];
  /** Sizes left out because both lines hold the same network there. */
  readonly shared: readonly string[];
}

/** Coefficients of a linear combination of members' mean accuracies. */
type Contrast = ReadonlyMap<MemberSummary, number>;

/**
 * Compares at equal latency: a rule's accuracy is interpolated linearly in log latency at each
 * of the family's points; for the user's own models the family is interpolated at theirs. A
 * point past the end is used, on the last segment's line, only when its latency interval meets
 * that of the end point; others are left out, and so are networks that both lines share.
 *
 * Noise is that of the training seeds: standard deviations are pooled over the networks involved
 * (each has only a few seeds) and the mean difference gets a two-sided 95 % t interval. That the
 * test split is itself a sample is not in it.
 */
export function compareAtEqualLatency(family: FamilySummary, line: FamilySummary): Comparison {
  const reversed = line.kind === 'user-model';
  const [asked, curve] = reversed ? [line.members, family.members] : [family.members, line.members];
  const known = new Set(curve.map(identity));
  const shared = asked.filter((member) => member.spec !== null && known.has(identity(member)));
  const contrasts = asked
    .filter((member) => !shared.includes(member))
    .flatMap((member) => {
      const weights = interpolationWeights(curve, member);
      return weights ? [{ size: member.size, contrast: difference(member, weights, reversed ? -1 : 1) }] : [];
    });
  const points = contrasts.map(({ size, contrast }) => ({ size, differencePoints: 100 * valueOf(contrast) }));
  const base = { line, points, shared: shared.map((member) => member.size) };
  if (contrasts.length === 0) {
    const verdict = shared.length > 0 && shared.length === asked.length ? 'same-networks' : 'no-overlap';
    return { ...base, verdict, differencePoints: null, noisePoints: null };
  }
  const overall = meanOf(contrasts.map(({ contrast }) => contrast));
  const differencePoints = 100 * valueOf(overall);
  // A user's model is one given network: no seed of ours would have made it differ.
  const noise = noiseOf(overall, reversed ? new Set(line.members) : new Set());
  const noisePoints = noise === null ? null : 100 * noise;
  return { ...base, verdict: verdictOf(differencePoints, noisePoints), differencePoints, noisePoints };
}

/** The target's family against each of its other lines, in their order; empty without a family. */
export function comparisons(target: TargetSummary): readonly Comparison[] {
  const family = familyOf(target);
  if (!family || family.members.length === 0) return [];
  return target.lines
    .filter((line) => line.kind !== 'family' && line.members.length > 0)
    .map((line) => compareAtEqualLatency(family, line));
}

/** The line of delivered networks, if there is one yet. */
export function familyOf(target: TargetSummary): FamilySummary | undefined {
  return target.lines.find((line) => line.kind === 'family');
}

/** The study's result in one plain sentence a target; an unfinished study says so first. */
export function headline(summary: StudySummary): readonly string[] {
  const results = summary.targets.flatMap((target) => targetSentence(summary, target) ?? []);
  return summary.finished ? results : [progressSentence(summary), ...results];
}

/** What a line of comparison is called in running text. */
export function lineName(line: FamilySummary): string {
  if (line.kind === 'family') return 'this family';
  return line.kind === 'rule' ? `${line.name} scaling of the same base` : line.name;
}

/** `[lo, hi]` in milliseconds when the interval is the median's, else the median twice. */
export function p50Interval({ latency }: Pick<MemberSummary, 'latency'>): readonly [number, number] {
  const { percentile, lo, hi } = latency.intervalMs;
  return percentile === 50 && lo > 0 ? [lo, hi] : [latency.p50Ms, latency.p50Ms];
}

/** A limit as its owner wrote it: `p50 < 2 ms`. */
export function limitText(limit: { readonly percentile: number; readonly ms: number }): string {
  return `p${limit.percentile} < ${milliseconds0(limit.ms)}`;
}

/** What a target got, in one plain sentence; undefined where nothing was delivered for it. */
export function targetSentence({ data }: Pick<StudySummary, 'data'>, target: TargetSummary): string | undefined {
  const members = familyOf(target)?.members ?? [];
  if (members.length === 0) return undefined;
  const one = members.length === 1;
  const predicted = members.some((member) => member.latency.source === 'predicted') ? ' (predicted)' : '';
  const many = one ? 'one network' : `${members.length} networks`;
  const latency = span(
    members.map((member) => member.latency.p50Ms),
    milliseconds,
    ['of ', 'from ', ' to '],
  );
  const accuracies = members.map((member) => member.testAccuracy.mean);
  const [low, high] = [Math.min(...accuracies), Math.max(...accuracies)];
  const range = percentNumber(low) === percentNumber(high) ? percent(low) : `${percentNumber(low)}–${percent(high)}`;
  const reach = one ? 'reaches' : 'reach';
  const result =
    `For ${target.name} (${targetSettingText(target)}), ${many} ${latency}${isPerExample(target) ? ' an example' : ''}${predicted}${limitClause(target, members)} ` +
    `${reach} ${range} top-1 on ${data.name}`;
  const clause = ruleClause(target, members.length);
  return `${result}${clause ? `; ${clause}` : ''}.`;
}

/** Several rules: the strongest speaks, the one the family gains least on. */
function ruleClause(target: TargetSummary, memberCount: number): string | undefined {
  const rules = comparisons(target).filter(({ line }) => line.kind === 'rule');
  const compared = rules
    .filter(({ differencePoints }) => differencePoints !== null)
    .toSorted((a, b) => (a.differencePoints ?? 0) - (b.differencePoints ?? 0));
  const strongest = compared[0] ?? rules[0];
  if (!strongest) return undefined;
  const { points, shared, verdict } = strongest;
  const part = points.length > 0 && points.length < memberCount;
  const explained = points.length + shared.length === memberCount;
  const remarks = [
    verdict === 'noise-unknown' ? 'one seed each, noise unknown' : null,
    compared.length > 1 ? `the strongest of ${plural(compared.length, 'rule')}` : null,
    part && !explained ? `${points.length} of ${plural(memberCount, 'size')} compared` : null,
    part && explained ? `the same network at ${shared.join(', ')}` : null,
  ].filter((remark) => remark !== null);
  return `${comparisonClause(strongest)}${remarks.length > 0 ? ` (${remarks.join('; ')})` : ''}`;
}

function comparisonClause({ line, verdict, differencePoints, noisePoints }: Comparison): string {
  const name = lineName(line);
  if (differencePoints === null)
    return verdict === 'same-networks'
      ? `${name} gives the same networks`
      : `${name} has no network at these latencies to compare with`;
  const noise = noisePoints === null ? '' : ` ± ${noisePoints.toFixed(1)}`;
  if (verdict === 'within-noise')
    return `at equal latency that is within seed noise of ${name}, ${signed(differencePoints)}${noise} points`;
  const side = differencePoints < 0 ? 'below' : 'above';
  return `at equal latency that is ${Math.abs(differencePoints).toFixed(1)}${noise} points ${side} ${name}`;
}

function limitClause(target: TargetSummary, members: readonly MemberSummary[]): string {
  const judged = members.filter((member) => member.limitMet !== null);
  if (!target.limit || judged.length === 0) return '';
  const met = judged.filter((member) => member.limitMet === true).length;
  const isKnown = judged.every((member) => member.limitMet !== 'unknown');
  const within = isKnown ? 'within' : 'known to be within';
  const limit = limitText(target.limit);
  if (members.length === 1 && met === 0)
    return isKnown ? `, over the limit ${limit},` : `, not ${within} the limit ${limit},`;
  const share = met === members.length ? 'all ' : met === 0 ? 'none ' : `${met} of them `;
  return `, ${members.length === 1 ? '' : share}${within} the limit ${limit},`;
}

function progressSentence(summary: StudySummary): string {
  const scored = summary.trials.filter((trial) => trial.status === 'ok' && trial.accuracy !== undefined);
  const best = scored.toSorted((a, b) => (b.accuracy ?? 0) - (a.accuracy ?? 0))[0];
  const found =
    best?.accuracy === undefined
      ? 'no network has been scored yet'
      : `the best of ${scored.length} scored so far reaches ${percent(best.accuracy)} on the hold-out of ${summary.data.name}`;
  return `This study is not finished: ${plural(summary.trials.length, 'trial')} issued, ${found}.`;
}

/** `of 0.42 ms` for one value, `from 0.42 to 1.7 ms` for several. */
function span(
  values: readonly number[],
  format: (value: number) => string,
  [of, from, to]: readonly [string, string, string],
): string {
  const low = format(Math.min(...values));
  const high = format(Math.max(...values));
  return low === high ? `${of}${low}` : `${from}${low.split('\u00a0')[0]}${to}${high}`;
}

/** Networks are the same when their specs are, names aside; a user's model has no spec and is like no other. */
function identity(member: MemberSummary): string | null {
  return member.spec && canonicalJson({ ...member.spec, name: undefined });
}

/**
 * Weights of a curve's members that give its accuracy at a member's latency; null outside its range. Of
 * networks with equal latency the most accurate stands for all.
 */
function interpolationWeights(curve: readonly MemberSummary[], at: MemberSummary): Contrast | null {
  const sorted = curve
    .toSorted((a, b) => a.latency.p50Ms - b.latency.p50Ms || b.testAccuracy.mean - a.testAccuracy.mean)
    .filter((member, index, all) => member.latency.p50Ms !== all[index - 1]?.latency.p50Ms);
  const first = sorted[0];
  const last = sorted.at(-1);
  if (!first || !last) return null;
  const x = at.latency.p50Ms;
  const inside = x >= first.latency.p50Ms && x <= last.latency.p50Ms;
  const end = x < first.latency.p50Ms ? first : last;
  if (!inside && !intervalsMeet(at, end)) return null;
  for (let index = 1; index < sorted.length; index++) {
    const [left, right] = [sorted[index - 1] as MemberSummary, sorted[index] as MemberSummary];
    if (x > right.latency.p50Ms && right !== last) continue;
    const share = Math.log(x / left.latency.p50Ms) / Math.log(right.latency.p50Ms / left.latency.p50Ms);
    return new Map([
      [left, 1 - share],
      [right, share],
    ]);
  }
  // A curve of one network is comparable at its own latency only.
  return new Map([[first, 1]]);
}

function intervalsMeet(a: MemberSummary, b: MemberSummary): boolean {
  const [aLow, aHigh] = p50Interval(a);
  const [bLow, bHigh] = p50Interval(b);
  return aLow <= bHigh && bLow <= aHigh;
}

function difference(member: MemberSummary, weights: Contrast, sign: 1 | -1): Contrast {
  const contrast = new Map([...weights].map(([other, weight]) => [other, -sign * weight]));
  contrast.set(member, (contrast.get(member) ?? 0) + sign);
  return contrast;
}

function meanOf(contrasts: readonly Contrast[]): Contrast {
  const mean = new Map<MemberSummary, number>();
  for (const contrast of contrasts)
    for (const [member, coefficient] of contrast)
      mean.set(member, (mean.get(member) ?? 0) + coefficient / contrasts.length);
  return mean;
}

function valueOf(contrast: Contrast): number {
  return [...contrast].reduce((sum, [member, coefficient]) => sum + coefficient * member.testAccuracy.mean, 0);
}

/** Half width of the 95 % t interval of a contrast, from the pooled seed deviation; null when no sd is known. */
function noiseOf(contrast: Contrast, given: ReadonlySet<MemberSummary>): number | null {
  const trained = [...contrast].filter(([member]) => !given.has(member));
  let squares = 0;
  let freedom = 0;
  for (const [{ testAccuracy }] of trained) {
    if (testAccuracy.sd === null) continue;
    squares += testAccuracy.sd ** 2 * (testAccuracy.values.length - 1);
    freedom += testAccuracy.values.length - 1;
  }
  if (freedom === 0) return null;
  const spread = trained.reduce(
    (sum, [{ testAccuracy }, coefficient]) => sum + coefficient ** 2 / testAccuracy.values.length,
    0,
  );
  return studentT(0.95, freedom) * Math.sqrt((squares / freedom) * spread);
}

function verdictOf(differencePoints: number, noisePoints: number | null): Comparison['verdict'] {
  if (noisePoints === null) return 'noise-unknown';
  if (Math.abs(differencePoints) <= noisePoints) return 'within-noise';
  return differencePoints > 0 ? 'above' : 'below';
}
