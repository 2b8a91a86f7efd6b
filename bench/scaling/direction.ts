// Where latency moves a scaling that multiply-adds alone leave where it is: `npx tsx bench/scaling/direction.ts`. See bench/README.md.
import { accuracyOf, type CostOf, gmacsOf, latencyOn, searchDirection, start } from './direction-search.ts';

const searches: readonly (readonly [string, CostOf, number])[] = [
  ['multiply-adds', gmacsOf, 1],
  // Shares of the start's latency that the published members for the device take by the same profiles: .82, .69.
  ['V100 SXM, fp16', latencyOn('v100-sxm', 'fp16'), 0.82],
  ['TPU v3, bf16', latencyOn('tpu-v3', 'bf16'), 0.69],
];
console.log(
  '| cost | share | κ | depth | width | resolution (× the start’s) | GMACs | activations | parameters | cost | accuracy, start’s |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|---|');
for (const [name, costOf, share] of searches)
  for (const kappa of [0.05, 0.2, 0.8]) {
    const found = searchDirection({ costOf, share, kappa });
    if (!found) {
      console.log(`| ${name} | ${share} | ${kappa} | none found |`);
      continue;
    }
    const { multipliers, gmacs, activations, params, cost, accuracy } = found;
    const { depth, width, resolution } = multipliers;
    const figures = [depth, width, resolution, gmacs, activations, params, cost].map((value) => value.toFixed(2));
    const accuracies = [accuracy, accuracyOf(start, kappa)].map((value) => (100 * value).toFixed(2)).join(', ');
    console.log(`| ${[name, share, kappa, ...figures, accuracies].join(' | ')} |`);
  }
