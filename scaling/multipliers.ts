/** Factors on a base network: repeats of its stages, channels, and input side. 1 leaves the base as it is. */
export interface Multipliers {
  readonly depth: number;
  readonly width: number;
  readonly resolution: number;
}

/** Leaves a network as it is. */
export const identity: Multipliers = { depth: 1, width: 1, resolution: 1 };

/** One scaling after the other; exact before rounding, which does not commute. */
export function compose(a: Multipliers, b: Multipliers): Multipliers {
  return { depth: a.depth * b.depth, width: a.width * b.width, resolution: a.resolution * b.resolution };
}

/** (α, β, γ)^φ: compound scaling, Tan & Le (2019) eq. 3. φ is any real number. */
export function power({ depth, width, resolution }: Multipliers, phi: number): Multipliers {
  return { depth: depth ** phi, width: width ** phi, resolution: resolution ** phi };
}

/**
 * Factor on multiply-adds, d·w²·r² (Tan & Le 2019): exact for dense convolutions, high for depthwise ones
 * and stems.
 */
export function macsRatio({ depth, width, resolution }: Multipliers): number {
  return depth * width ** 2 * resolution ** 2;
}

/** Factor on convolution outputs, d·w·r² (Dollár et al. 2021), which follows latency better than multiply-adds do. */
export function activationsRatio({ depth, width, resolution }: Multipliers): number {
  return depth * width * resolution ** 2;
}

/** Factor on parameters, d·w². */
export function paramsRatio({ depth, width }: Multipliers): number {
  return depth * width ** 2;
}
