import { parseSpace } from '../../search/space-file.ts';
import { chooseIndices, decode, sampleChoices, type SpaceNode } from '../../search/space.ts';
import type { Random } from '../../core/random.ts';
import type { NetworkSpec } from '../../models/spec.ts';

/**
 * The tiny `mobile` space without what masks cannot say: one resolution, one activation, no expansion of 1 (it has no
 * expanding convolution), and no skip in the first stage, which would depend on two widths being equal.
 */
const text = `
input: { resolution: 24 }
stem: { kernel: 3, stride: 2, width: { oneOf: [8, 16], tag: stem.width } }
stages:
  - operator: mbconv
    kernel: { oneOf: [3, 5], tag: stage1.kernel }
    stride: 1
    expansion: 2
    width: { oneOf: [8, 16], tag: stage1.width }
    repeats: 1
    squeezeExcite: { oneOf: [0, 0.25], tag: stage1.squeezeExcite }
    skip: false
  - operator: mbconv
    kernel: { oneOf: [3, 5], tag: stage2.kernel }
    stride: 2
    expansion: { oneOf: [2, 3], tag: stage2.expansion }
    width: { oneOf: [16, 24], tag: stage2.width }
    repeats: { oneOf: [1, 2], tag: stage2.repeats }
    squeezeExcite: { oneOf: [0, 0.25], tag: stage2.squeezeExcite }
  - operator: mbconv
    kernel: { oneOf: [3, 5], tag: stage3.kernel }
    stride: 2
    expansion: { oneOf: [2, 3], tag: stage3.expansion }
    width: { oneOf: [32, 40], tag: stage3.width }
    repeats: { oneOf: [1, 2], tag: stage3.repeats }
    squeezeExcite: { oneOf: [0, 0.25], tag: stage3.squeezeExcite }
head: { width: { oneOf: [48, 64, 96], tag: head.width } }
`;

/** The space of the experiment, of 49,152 networks. */
export const space: SpaceNode = parseSpace(text, 'bench/supernet/space.ts', {
  channels: 3,
  classes: 10,
  nativeResolution: 32,
});

/** The network of each decision's last option, which holds all others. */
export const largest: NetworkSpec = decode(
  space,
  chooseIndices(space, (_, options) => options - 1),
);
/** The network of each decision's first option, which all others hold. */
export const smallest: NetworkSpec = decode(
  space,
  chooseIndices(space, () => 0),
);

/** Any network, each decision uniform. */
export function sampleNetwork(random: Random): NetworkSpec {
  return decode(space, sampleChoices(space, random));
}
