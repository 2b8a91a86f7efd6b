import { acquisition, alignment, directions, minScored } from './acquisition.ts';
import { applyMultipliers } from './apply.ts';
import { type GridPoint, gridPoint, type Knowledge, largest, learn } from './candidates.ts';
import type { Multipliers } from './multipliers.ts';
import { type ScalingProblem, type ScalingProposal, toProposal } from './optimizer.ts';
import { compoundRule, efficientNetXGpuCoefficients, type ScalingRule } from './rules.ts';
import { solveRule } from './solve-rule.ts';

/** One triple (α, β, γ) for all sizes, with the network it gives at each. */
export interface GlobalProposal {
  readonly rule: ScalingRule;
  /** In the order of the problem's sizes; null where even the base is above the target. */
  readonly members: readonly (ScalingProposal | null)[];
}

/**
 * The special case of one triple for all sizes, as in the EfficientNet papers: triples with α·β²·γ² = 2 on a grid
 * of 66 directions, each carried to every target by its own φ on the latency model, ranked by the sum of the members'
 * scores; before four networks are scored, spread over directions.
 * @throws {RangeError} without any observed latency.
 */
export function proposeGlobalScalings(problem: ScalingProblem): readonly GlobalProposal[] {
  const knowledge = learn(problem.observations, problem.evidence);
  const candidates = globalDirections().map((coefficients) => carry(coefficients, problem, knowledge));
  const scored = [...knowledge.byNetwork.values()].filter(({ accuracy }) => accuracy !== undefined).length;
  const admitted = candidates.filter(({ points }) => points.some((point) => point !== null));
  const score = ({ points }: (typeof candidates)[number]): number =>
    points.reduce((sum, point, index) => {
      const targetMs = problem.sizes[index]?.targetMs;
      return point === null || targetMs === undefined ? sum - 10 : sum + acquisition(point, targetMs);
    }, 0);
  const towards =
    (index: number) =>
    (candidate: (typeof candidates)[number]): number =>
      alignment(candidate.coefficients, directions[index % directions.length] ?? efficientNetXGpuCoefficients);
  const picked: (typeof candidates)[number][] = [];
  for (let index = 0; index < problem.count && picked.length < admitted.length; index++) {
    const by = scored > minScored ? score : towards(index);
    const best = admitted
      .filter((candidate) => !picked.includes(candidate))
      .reduce((winner, candidate) => (by(candidate) > by(winner) ? candidate : winner));
    picked.push(best);
  }
  const reason = scored > minScored ? 'upper-confidence-bound' : 'spread';
  return picked.map(({ rule, points }) => ({
    rule,
    members: points.map((point) => (point === null ? null : toProposal(point, reason))),
  }));
}

/** Shares of one doubling of multiply-adds between depth, width and resolution, in steps of a tenth. */
function globalDirections(): readonly Multipliers[] {
  const steps = 10;
  const found: Multipliers[] = [];
  for (let depth = 0; depth <= steps; depth++)
    for (let width = 0; width + depth <= steps; width++)
      found.push({
        depth: 2 ** (depth / steps),
        width: 2 ** (width / (2 * steps)),
        resolution: 2 ** ((steps - depth - width) / (2 * steps)),
      });
  return found;
}

function carry(
  coefficients: Multipliers,
  { base, sizes, constraints }: ScalingProblem,
  knowledge: Knowledge,
): { readonly coefficients: Multipliers; readonly rule: ScalingRule; readonly points: readonly (GridPoint | null)[] } {
  const name = [coefficients.depth, coefficients.width, coefficients.resolution]
    .map((value) => value.toFixed(3))
    .join('/');
  const rule = compoundRule(name, coefficients);
  const at = (multipliers: Multipliers): GridPoint => {
    // Beyond what a spec can hold nothing fits a latency either; the box keeps bisection inside it.
    const inside = {
      depth: Math.min(multipliers.depth, largest.depth),
      width: Math.min(multipliers.width, largest.width),
      resolution: Math.min(multipliers.resolution, largest.resolution),
    };
    return gridPoint(applyMultipliers(base, inside, constraints), inside, knowledge);
  };
  const points = sizes.map(({ targetMs }) => {
    const solution = solveRule(rule, (multipliers) => at(multipliers).latencyMs, targetMs);
    const point = solution.status === 'unreachable' ? null : at(solution.multipliers);
    return point === null || constraints.admits?.(point.spec) === false ? null : point;
  });
  return { coefficients, rule, points };
}
