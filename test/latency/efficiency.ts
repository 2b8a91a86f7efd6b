import type { DeviceProfile } from '../../accelerators/device-profile.ts';
import { arithmeticKinds, kernelKinds } from '../../models/kernels.ts';

const every = <Kind extends string>(kinds: readonly Kind[], share: number) =>
  Object.fromEntries(kinds.map((kind) => [kind, share])) as Record<Kind, number>;

/** The same shares of the peak and of the bandwidth for every kind of kernel. */
export function efficiencyOf(arithmetic: number, memory: number): DeviceProfile['efficiency'] {
  return { arithmetic: every(arithmeticKinds, arithmetic), memory: every(kernelKinds, memory) };
}
