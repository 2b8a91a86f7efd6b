import { describe, expect, it } from 'vitest';
import { readRuntimeProfile } from '../../accelerators/runtime-profile.ts';
import { kernelKey, kernelTimesOf } from '../../latency/kernel-times.ts';

const node = (index: number, name: string, op: string, us: number, shape = [1, 16, 8, 8]) => ({
  cat: 'Node',
  name: `${name}_kernel_time`,
  dur: us,
  ts: 0,
  args: {
    op_name: op,
    node_index: String(index),
    input_type_shape: [{ float: shape }],
    output_type_shape: [{ float: shape }],
  },
});

const timesIn = (events: readonly object[], skippedRuns: number) =>
  kernelTimesOf(readRuntimeProfile(JSON.stringify(events)), skippedRuns);

describe('kernel times of a profile', () => {
  it('are lower quartiles over the runs that count, equal kernels as one', () => {
    const runs = [900, 12, 10, 14, 11, 300].flatMap((us) => [
      node(0, 'first', 'Relu', us),
      node(1, 'second', 'Relu', us + 10),
      node(2, 'third', 'Add', 5, [1, 16, 4, 4]),
    ]);
    expect(timesIn([{ cat: 'Session', name: 'model_run', dur: 40 }, ...runs], 1)).toEqual([
      { key: 'Relu 1x16x8x8 > 1x16x8x8', count: 2, ms: 0.016 },
      { key: 'Add 1x16x4x4 > 1x16x4x4', count: 1, ms: 0.005 },
    ]);
  });

  it('are refused where no run is left, or no kernel', () => {
    expect(() => timesIn([node(0, 'only', 'Relu', 3)], 1)).toThrow(/more than 1 profiled/);
    expect(() => timesIn([], 0)).toThrow(/expected a profile with kernels/);
  });

  it('have the keys of the kernels foretold, without the weights of products', () => {
    const dims = { inputs: [[2, 8], [8, 4], [4]], output: [2, 4] };
    expect(kernelKey({ operator: 'Gemm', ...dims })).toBe('Gemm 2x8 4 > 2x4');
    expect(kernelKey({ operator: 'Conv', ...dims })).toBe('Conv 2x8 8x4 4 > 2x4');
  });
});
