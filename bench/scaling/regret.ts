// How far the optimizer ends from the best scaling there is, on made-up surfaces of latency and accuracy:
// `npx tsx bench/scaling/regret.ts [problems]`. See bench/README.md.
import { Random } from '../../core/random.ts';
import { type NetworkSpec, parseNetworkSpec, specDigest } from '../../models/spec.ts';
import type { ScaledNetwork } from '../../scaling/apply.ts';
import type { ScalingObservation } from '../../scaling/candidates.ts';
import { latencyDesign } from '../../scaling/latency-design.ts';
import { identity, type Multipliers } from '../../scaling/multipliers.ts';
import { proposeScalings } from '../../scaling/optimizer.ts';

const problems = Number(process.argv[2] ?? 10);
/** Size asked for, in latencies of the base; trainings it may cost; side of the data ÷ the base's. */
const [target, trainings, zoom] = [4, 8, 2] as const;
const axes = ['depth', 'width', 'resolution'] as const;
const stage = { operator: 'mbconv', kernel: 3, expansion: 4, squeezeExcite: 0.25 };
const base: NetworkSpec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 48 },
    classes: 10,
    stem: { kernel: 3, stride: 2, width: 16 },
    stages: [
      { ...stage, stride: 1, width: 16, repeats: 1 },
      { ...stage, stride: 2, width: 24, repeats: 2 },
      { ...stage, stride: 2, width: 40, repeats: 3 },
    ],
    head: { width: 128 },
  },
  'base',
);

/** Latency with an overhead and 5 % of roughness from network to network; accuracy in logits. */
interface Surface {
  latencyMs(network: ScaledNetwork): number;
  logit(multipliers: Multipliers): number;
  /** Best logit that the target allows were networks continuous and latency smooth. */
  readonly best: number;
}

function surface(random: Random): Surface {
  const between = (low: number, high: number) => low + (high - low) * random.uniform();
  const exponents = { depth: between(0.8, 1.1), width: between(0.9, 2), resolution: between(1.2, 2) };
  const slopes = { depth: between(0.1, 0.5), width: between(0.2, 0.8), resolution: between(0.2, 0.8) };
  const squares = { depth: between(0.03, 0.15), width: between(0.05, 0.25), resolution: between(0.05, 0.3) };
  const overhead = between(0, 0.3);
  const logit = (multipliers: Multipliers) =>
    axes.reduce((sum, axis) => {
      const log = Math.log(multipliers[axis]);
      return sum + slopes[axis] * log - squares[axis] * log ** 2;
    }, 0);
  const growing = (multipliers: Multipliers) =>
    axes.reduce((product, axis) => product * multipliers[axis] ** exponents[axis], 1);
  let best = Number.NEGATIVE_INFINITY;
  for (let depth = 0.75; depth <= 8; depth *= 1.02)
    for (let width = 0.75; width <= 5; width *= 1.02) {
      const rest = (target - overhead) / (1 - overhead) / growing({ depth, width, resolution: 1 });
      const resolution = Math.min(zoom, rest ** (1 / exponents.resolution));
      if (resolution >= 0.75) best = Math.max(best, logit({ depth, width, resolution }));
    }
  return {
    latencyMs: ({ spec, realised }) =>
      (overhead + (1 - overhead) * growing(realised)) * Math.exp(0.05 * new Random(specDigest(spec)).normal()),
    logit,
    best,
  };
}

/** A size's search as a study has it: rounds of two, up to three attempts each, what is too slow is not trained. */
function search(
  { latencyMs, logit, best }: Surface,
  noise: Random,
): { readonly regret: number; readonly rejected: number } {
  const constraints = { maxResolution: zoom * base.input.resolution };
  let observations: ScalingObservation[] = latencyDesign(base, constraints, target).map((point) => ({
    multipliers: point.realised,
    latencyMs: latencyMs(point),
  }));
  observations.push({ multipliers: identity, latencyMs: 1, accuracy: 0.5 });
  let [found, trained, rejected] = [Number.NEGATIVE_INFINITY, 0, 0];
  for (let round = 0; round < 3 * trainings && trained < trainings; round++) {
    const before = trained;
    for (let attempt = 0; attempt < 3 && trained === before; attempt++) {
      const sizes = [{ name: 'size', targetMs: target }];
      const [proposed] = proposeScalings({ base, sizes, observations, constraints, count: 2, seed: round });
      for (const network of proposed?.proposals ?? []) {
        const ms = latencyMs(network);
        const observed = { multipliers: network.realised, latencyMs: ms };
        if (ms > target) {
          rejected++;
          observations = [...observations, observed];
          continue;
        }
        trained++;
        const value = logit(network.realised);
        found = Math.max(found, value);
        const accuracy = 1 / (1 + Math.exp(-value - 0.05 * noise.normal()));
        observations = [...observations, { ...observed, accuracy }];
      }
    }
  }
  return { regret: best - found, rejected };
}

let [regret, rejected] = [0, 0];
for (let problem = 0; problem < problems; problem++) {
  const ended = search(surface(new Random('regret').child(problem)), new Random('noise').child(problem));
  regret += ended.regret / problems;
  rejected += ended.rejected / problems;
  console.error(`${problem + 1}/${problems}: ${ended.regret.toFixed(4)} logits`);
}
console.log(
  `${problems} problems, ${trainings} trainings each: ${regret.toFixed(4)} logits below the best, ${rejected.toFixed(1)} proposals measured above the size`,
);
