import { elements, type Graph, type Parameter, type Weights } from '../../models/graph.ts';
import type { FlatParameters, StoredParameter } from '../../training/flat-parameters.ts';
import { trains } from '../../training/training-graph.ts';

/*
 * Weights that networks of one space share: the largest one's. Of every parameter a smaller network takes a box, the first
 * channels of each axis and, of a k × k kernel, the middle. What it does without is zero in the large network: batch norm's
 * scale and shift of a channel, a kernel's outer ring, a block behind a skip. See Yu et al. (2019), "Slimmable Neural
 * Networks", and Cai et al. (2020), "Once-for-All", section 3.3, whose kernels pass through a matrix that is trained, too.
 */

/** Bias at which a sigmoid is 1 in single precision: what an absent squeeze-and-excite multiplies by. */
const openGate = 30;

/** What a subnetwork takes of parameters: 1 at what it takes and 0 elsewhere, and what is added to that. */
export interface Share {
  readonly mask: Float32Array;
  readonly offset: Float32Array;
}

/**
 * What one of a large network's parameters gives to a smaller network.
 * @param part the smaller network's parameter of that name; undefined where it has none.
 * @throws {RangeError} when the part is larger than the whole.
 */
function partialShare(whole: Parameter, part: Parameter | undefined): Share {
  const [mask, offset] = [new Float32Array(elements(whole.shape)), new Float32Array(elements(whole.shape))];
  if (part) for (const index of boxOf(whole, part)) mask[index] = 1;
  // A gate that is not there is one that is always open.
  else if (whole.name.endsWith('.squeeze-excite.excite.bias')) offset.fill(openGate);
  return { mask, offset };
}

/**
 * The shares of subnetworks in the flat parameters of a large one. Remembers each parameter's by the shape it is cut to.
 * @throws {RangeError} when a network is no part of the large one.
 */
export function sharesIn(flat: FlatParameters): (small: Graph) => Share {
  const names = new Set(flat.parameters.map(({ parameter }) => parameter.name));
  const known = new Map<string, Share>();
  const packedShare = ({ parameter, pack }: StoredParameter, part: Parameter | undefined): Share => {
    const key = `${parameter.name} ${part?.shape.join()}`;
    const found = known.get(key);
    if (found) return found;
    const { mask, offset } = partialShare(parameter, part);
    const packed = { mask: pack(mask), offset: pack(offset) };
    known.set(key, packed);
    return packed;
  };
  return (small) => {
    const parts = new Map(small.parameters.filter(trains).map((parameter) => [parameter.name, parameter]));
    const foreign = [...parts.keys()].find((name) => !names.has(name));
    if (foreign !== undefined) throw new RangeError(`${foreign}: expected a parameter of the larger network`);
    const [mask, offset] = [new Float32Array(flat.length), new Float32Array(flat.length)];
    let place = 0;
    for (const stored of flat.parameters) {
      const share = packedShare(stored, parts.get(stored.parameter.name));
      mask.set(share.mask, place);
      offset.set(share.offset, place);
      place += stored.size;
    }
    return { mask, offset };
  };
}

/** The small network's own values of the large one's parameters. */
export function inherited(large: Graph, small: Graph, weights: Weights): Weights {
  const whole = new Map(large.parameters.map((parameter) => [parameter.name, parameter]));
  return new Map(
    small.parameters.flatMap((part): [string, Float32Array][] => {
      const parameter = whole.get(part.name) as Parameter;
      const values = weights.get(part.name);
      return values ? [[part.name, Float32Array.from(boxOf(parameter, part), (index) => values[index] as number)]] : [];
    }),
  );
}

/** Where the part lies in the whole, as indices of the whole in the part's order. */
function boxOf({ name, shape }: Parameter, { shape: part }: Parameter): Float64Array {
  if (part.length !== shape.length || part.some((extent, axis) => extent > (shape[axis] as number)))
    throw new RangeError(`${name}: expected at most ${shape.join(' × ')}, got ${part.join(' × ')}`);
  const start = shape.map((extent, axis) => (axis < 2 ? 0 : (extent - (part[axis] as number)) / 2));
  return Float64Array.from({ length: elements(part) }, (_, place) => {
    let [index, stride, rest] = [0, 1, place];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index += ((start[axis] as number) + (rest % (part[axis] as number))) * stride;
      rest = Math.floor(rest / (part[axis] as number));
      stride *= shape[axis] as number;
    }
    return index;
  });
}
