import type { RuntimeProfile } from '../accelerators/runtime-profile.ts';
import type { RuntimeKernel } from '../models/onnxruntime-kernels.ts';
import { quantile } from '../core/quantile.ts';

/** Time of a kernel inside a network, as the runtime's own profile has it. */
export interface KernelTime {
  /** {@link kernelKey} of the kernel: what it computes on which extents. */
  readonly key: string;
  /** Of one run; kernels of one key in one network share their mean. */
  readonly ms: number;
  /** Kernels of this key in a run. */
  readonly count: number;
}

/** What a kernel computes on which extents, in one line. Weights of matrix products are left out: the runtime repacks them out of sight. */
export function kernelKey({ operator, inputs, output }: Pick<RuntimeKernel, 'operator' | 'inputs' | 'output'>): string {
  const shown = /Gemm$|MatMul$/.test(operator) ? inputs.filter((_, index) => index !== 1) : inputs;
  return lineOf(operator, shown, output);
}

function lineOf(operator: string, inputs: RuntimeKernel['inputs'], output: RuntimeKernel['output']): string {
  return `${operator} ${inputs.map((dims) => dims.join('x')).join(' ')} > ${output.join('x')}`;
}

/**
 * Kernel times of a profile: lower quartiles over the runs in it, because what disturbs a run only adds to some of its
 * kernels. A kernel's time in a profile includes what noting it down costs, one or two microseconds.
 * @param skippedRuns first runs that do not count.
 * @throws {RangeError} where the profile holds no kernel of a later run.
 */
export function kernelTimesOf({ nodeRuns }: RuntimeProfile, skippedRuns: number): readonly KernelTime[] {
  const durations = new Map<string, { key: string; us: number[] }>();
  for (const { name, index, opType, inputs, outputs, durationUs } of nodeRuns) {
    // In a profile the weights of products are gone already.
    const key = lineOf(opType, inputs, outputs[0] ?? []);
    const node = `${index} ${name}`;
    const seen = durations.get(node) ?? { key, us: [] };
    seen.us.push(durationUs);
    durations.set(node, seen);
  }
  const byKey = new Map<string, { count: number; ms: number }>();
  for (const { key, us } of durations.values()) {
    const kept = us.slice(skippedRuns);
    if (kept.length === 0) throw new RangeError(`expected more than ${skippedRuns} profiled runs, got ${us.length}`);
    const before = byKey.get(key) ?? { count: 0, ms: 0 };
    byKey.set(key, { count: before.count + 1, ms: before.ms + quantile(Float64Array.from(kept).sort(), 0.25) / 1e3 });
  }
  if (byKey.size === 0) throw new RangeError('expected a profile with kernels, got none');
  return [...byKey].map(([key, { count, ms }]) => ({ key, count, ms: ms / count }));
}
