import { type NetworkSpec, parseNetworkSpec } from '../models/spec.ts';

/**
 * A base of which nothing is known but its input side: what stands for a network of a user's own program where
 * scalings are proposed. Its multipliers are those that the program is asked for: quarters of the depth, eighths of the
 * width, whole pixels. Neither its latency nor its accuracy is anybody's; both are observed.
 */
export function blankBase(resolution: number): NetworkSpec {
  return parseNetworkSpec(
    {
      input: { channels: 3, resolution },
      classes: 2,
      stem: { kernel: 3, stride: 1, width: 64 },
      stages: [{ operator: 'basic', kernel: 3, stride: 1, width: 64, repeats: 4 }],
      head: { width: 0 },
    },
    'blank base',
  );
}
