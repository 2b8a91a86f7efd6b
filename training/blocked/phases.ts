/**
 * One axis of a convolution seen from its input. Pixel t · s + b of the input hears of the outputs
 * r = t + d − j through the taps i = (b + before) mod s + s · j, with d = ⌊(b + before) ÷ s⌋: by its
 * phase b it sees a stride-1 window of the outputs, through every s-th weight.
 */
export interface Axis {
  readonly stride: number;
  readonly kernel: number;
  /** Zero padding before the first pixel. */
  readonly before: number;
  readonly extent: number;
  readonly outExtent: number;
}

/** What the input's gradient is along an axis: for every phase, a stride-1 convolution of the output's. */
export interface Phases {
  /** Extent of the window that holds those of all phases. */
  readonly window: number;
  /** Zero padding of the outputs; below 0 where outputs on that side are not heard of. */
  readonly before: number;
  readonly after: number;
  /** Pixels of each phase, those past the extent included. */
  readonly count: number;
  /** By phase and position in the window, the tap of the *reversed* kernel; none where the phase's window is smaller. */
  readonly taps: readonly (readonly (number | undefined)[])[];
}

export function axisPhases({ stride, kernel, before, extent, outExtent }: Axis): Phases {
  const phases = Array.from({ length: stride }, (_, phase) => {
    const first = (phase + before) % stride;
    const reach = Math.floor((phase + before) / stride);
    return { first, reach, taps: Math.max(0, Math.ceil((kernel - first) / stride)) };
  });
  const lowest = Math.min(...phases.map(({ reach, taps }) => reach - Math.max(0, taps - 1)));
  const highest = Math.max(...phases.map(({ reach }) => reach));
  const window = highest - lowest + 1;
  const count = Math.ceil(extent / stride);
  const tapsOf = ({ first, reach }: (typeof phases)[number]): (number | undefined)[] =>
    Array.from({ length: window }, (_, position) => {
      const tap = first + stride * (reach - lowest - position);
      return tap >= first && tap < kernel ? kernel - 1 - tap : undefined;
    });
  return { window, before: -lowest, after: count - 1 + highest - (outExtent - 1), count, taps: phases.map(tapsOf) };
}
