// What does a suggestion cost on a space of networks? `npx tsx bench/search/suggestion.ts`; see bench/README.md.
import { parseArgs } from 'node:util';
import { median } from '../../core/quantile.ts';
import { Random } from '../../core/random.ts';
import type { Choices } from '../../core/trial.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import type { ObservedTrial } from '../../search/controller.ts';
import { type ControllerName, controllerNames, openController } from '../../search/controllers.ts';
import { networkIdentity } from '../../search/network-identity.ts';
import { accuracyAndLatencies } from '../../search/objectives.ts';
import { decode } from '../../search/space.ts';
import { builtInSpace } from '../../search/spaces.ts';
import { spent } from './contenders.ts';

const { values } = parseArgs({
  options: {
    trials: { type: 'string', default: '500' },
    seeds: { type: 'string', default: '3' },
    /** Controllers in turn, or some of them. */
    only: { type: 'string', default: controllerNames.join(',') },
  },
});
const trials = Number(values.trials);
/** Suggestions that are timed before each hundredth trial. */
const timed = 20;
const marks = Array.from({ length: Math.floor(trials / 100) }, (_, k) => 100 * (k + 1));
const space = builtInSpace('efficientnet-x', { classes: 10, channels: 3, nativeResolution: 32 });
const identity = networkIdentity(space);
const networks = new Map<string, { readonly macs: number; readonly params: number }>();

/** Made up from counts: larger networks are more accurate and slower, give or take seeded noise; one in ten is too slow. */
function trialOf(ordinal: number, choices: Choices, random: Random): ObservedTrial {
  const key = identity(choices);
  const { macs, params } = networks.get(key) ?? countGraph(buildNetwork(decode(space, choices), 1));
  networks.set(key, { macs, params });
  const luck = random.child(`${ordinal}`);
  const latencyMs = 0.02 + (macs / 2e7) ** 0.8 * Math.exp(0.1 * luck.normal());
  const accuracy = 0.9 - 0.5 * (params / 1e4) ** -0.2 - 0.1 * (macs / 1e6) ** -0.5 + 0.005 * luck.normal();
  const known = { id: `t${ordinal}`, choices, fidelity: { examples: 6000, seed: 0 } };
  const metrics = { macs, params, 'latencyMs.cpu': latencyMs };
  return latencyMs > 0.5
    ? { ...known, status: 'infeasible', violation: latencyMs / 0.5 - 1, metrics }
    : { ...known, status: 'ok', reward: accuracy, metrics: { ...metrics, accuracy } };
}

/** Processor milliseconds of the suggestions before each mark, what is learned from the trial included. */
function run(name: ControllerName, seed: number): ReadonlyMap<number, number> {
  const objectives = accuracyAndLatencies(['cpu']);
  const controller = openController(name, { space, seed, objectives, identity, trials });
  const random = new Random(seed);
  const timesMs: number[] = [];
  for (let ordinal = 0; ordinal < trials; ordinal++) {
    const [suggested, suggestMs] = spent(() => controller.suggest(1));
    const [choices] = suggested;
    if (!choices) break;
    const trial = trialOf(ordinal, choices, random);
    const [, observeMs] = spent(() => controller.observe([trial]));
    timesMs.push(suggestMs + observeMs);
  }
  return new Map(marks.map((mark) => [mark, mean(timesMs.slice(mark - timed, mark))]));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const asked = values.only.split(',').map((name) => {
  const known = controllerNames.find((each) => each === name);
  if (!known) throw new Error(`--only: expected some of ${controllerNames.join(', ')}, got ${name}`);
  return known;
});
console.log(
  `efficientnet-x, small; processor time of a trial, mean of the ${timed} before it, median of ${values.seeds} seeds`,
);
console.log(['controller', ...marks.map(String)].join('\t'));
for (const name of asked) {
  const runs = Array.from({ length: Number(values.seeds) }, (_, seed) => run(name, seed));
  const cells = marks.map((mark) => `${median(runs.map((times) => times.get(mark) ?? Number.NaN)).toFixed(1)} ms`);
  console.log([name, ...cells].join('\t'));
}
