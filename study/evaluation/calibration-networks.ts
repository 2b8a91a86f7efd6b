import type { Random } from '../../core/random.ts';
import { ConfigError } from '../../core/errors.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import type { NetworkDraw } from '../../latency/calibrate.ts';
import { exportOnnx } from '../../models/export.ts';
import { elements } from '../../models/graph.ts';
import type { NetworkSpec, Stage } from '../../models/spec.ts';
import { applyMultipliers } from '../../scaling/apply.ts';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { decode, sampleChoices, type SpaceNode } from '../../search/space.ts';
import { builtInSpace, builtInSpaceNames } from '../../search/spaces.ts';

/** Families whose members differ in kind; draws are of them at other widths, depths and resolutions. */
const bases = [
  'efficientnet-b0',
  'efficientnet-lite0',
  'efficientnet-x-b0',
  'efficientnetv2-b0',
  'efficientnet-edgetpu-s',
  'mobilenet-v2',
  'mobilenet-v3-small',
  'mobilenet-v3-large',
  'resnet-18',
  'resnet-34',
  'resnet-50',
  'regnet-x-400mf',
  'regnet-x-1.6gf',
  'regnet-y-400mf',
  'regnet-y-800mf',
] as const;

const batches = [1, 1, 1, 1, 2, 4, 8, 16] as const;
const activations = ['relu', 'relu6', 'silu', 'hard-swish'] as const;

/** Multiply-adds of a whole batch, at most: about a quarter of a second on one core. */
const maxMacs = 5e9;
const tries = 200;

/** Uniform in the logarithm. */
const between = (random: Random, lo: number, hi: number): number => lo * (hi / lo) ** random.uniform();

/**
 * A network to calibrate by: half of them from search spaces, half members of families at widths, depths and resolutions
 * nobody publishes; some with other activations. No network is one of the literature as it is.
 * @param space one more space to draw from, as often as from the built-in ones together.
 * @throws {ConfigError} when none of 200 draws is small enough.
 */
export function drawNetwork(random: Random, space?: SpaceNode): NetworkDraw {
  // Chosen before its size is: families of large networks are not to be rare because many of their members are too large.
  const base = random.uniform() < 0.5 ? drawFromSpace(random, space) : loadNetwork(random.pick(bases));
  for (let attempt = 0; attempt < tries; attempt++) {
    const side = base.input.resolution <= 64 ? between(random, 16, 96) : between(random, 64, 320);
    const resolution = Math.max(8, Math.round(side / 4) * 4);
    const spec = repainted(scaled(base, random, resolution), random);
    const batch = random.pick(batches);
    if (spec && countGraph(buildNetwork(spec, 1)).macs * batch <= maxMacs) return { spec, batch };
  }
  throw new ConfigError(`expected a network of at most ${maxMacs} multiply-adds in ${tries} draws, got none`);
}

function drawFromSpace(random: Random, own: SpaceNode | undefined): NetworkSpec {
  const builtIn = builtInSpace(random.pick(builtInSpaceNames), {
    channels: 3,
    classes: random.pick([10, 100, 1000]),
    nativeResolution: 320,
    scale: random.pick(['tiny', 'small', 'full', 'full'] as const),
  });
  const space = own && random.uniform() < 0.5 ? own : builtIn;
  return decode(space, sampleChoices(space, random));
}

/** Undefined where the draw is no network, e.g. a stage without blocks. */
function scaled(base: NetworkSpec, random: Random, resolution: number): NetworkSpec | undefined {
  const multipliers = {
    width: between(random, 0.5, 1.6),
    depth: between(random, 0.5, 1.4),
    resolution: resolution / base.input.resolution,
  };
  try {
    return applyMultipliers(base, multipliers, { maxResolution: resolution }).spec;
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}

/** One in four with another activation everywhere. */
function repainted(spec: NetworkSpec | undefined, random: Random): NetworkSpec | undefined {
  if (!spec || random.uniform() < 0.75) return spec;
  const activation = random.pick(activations);
  const stages = spec.stages.map((stage): Stage => ({ ...stage, activation }));
  return { ...spec, stages, stem: { ...spec.stem, activation }, head: { ...spec.head, activation } };
}

/** Values that weights repeat: a network's speed does not depend on them, and millions of normal draws take seconds. */
const pattern = Float32Array.from({ length: 1021 }, (_, index) => Math.sin(index + 1));

/** The network as the bytes of an ONNX file with made-up weights that keep activations in range. */
export function networkModel(spec: NetworkSpec): Uint8Array {
  const graph = buildNetwork(spec, 'batch');
  const weights = graph.parameters.map(({ name, role, shape }) => {
    const values = new Float32Array(elements(shape));
    if (role === 'scale' || role === 'running-variance') return [name, values.fill(1)] as const;
    if (role !== 'weight') return [name, values] as const;
    const fanIn = shape.length === 4 ? elements(shape.slice(1)) : (shape[0] ?? 1);
    const gain = Math.sqrt(2 / fanIn);
    return [name, values.map((_, index) => gain * (pattern[index % pattern.length] ?? 0))] as const;
  });
  return exportOnnx(spec, new Map(weights), 'batch');
}
