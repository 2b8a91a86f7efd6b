import { type NetworkSpec, parseNetworkSpec } from '../../models/spec.ts';

/** A small base at 32 px for the scaling tests. */
export function smallBase(resolution = 32): NetworkSpec {
  const stage = { operator: 'mbconv', kernel: 3, expansion: 4, squeezeExcite: 0.25 };
  return parseNetworkSpec(
    {
      name: 'base',
      input: { channels: 3, resolution },
      classes: 10,
      stem: { kernel: 3, stride: 2, width: 16 },
      stages: [
        { ...stage, stride: 1, width: 16, repeats: 1 },
        { ...stage, stride: 2, width: 24, repeats: 2 },
        { ...stage, stride: 2, width: 40, repeats: 3 },
      ],
      head: { width: 128 },
    },
    'test base',
  );
}
