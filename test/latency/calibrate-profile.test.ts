import { describe, expect, it } from 'vitest';
import { type DeviceProfile, deviceProfileSchema } from '../../accelerators/device-profile.ts';
import { deviceProfiles } from '../../accelerators/profiles.ts';
import { Random } from '../../core/random.ts';
import { calibrateProfile } from '../../latency/calibrate-profile.ts';
import { programLatency } from '../../latency/roofline.ts';
import { median } from '../../core/quantile.ts';
import { buildNetwork } from '../../models/build.ts';
import { type KernelProgram, onnxGraphOf, readKernels } from '../../models/kernels.ts';
import { decode, sampleChoices } from '../../search/space.ts';
import { builtInSpace } from '../../search/spaces.ts';

/** Networks drawn from a search space. */
function programs(count: number, name: string): readonly KernelProgram[] {
  const space = builtInSpace('efficientnet-x', { classes: 10, channels: 3, nativeResolution: 224 });
  return Array.from({ length: count }, (_, index) => {
    const spec = decode(space, sampleChoices(space, new Random('calibrate').child(name, index)));
    return readKernels(onnxGraphOf(buildNetwork(spec, 'batch')), 'epilogue', { batch: 32 }, name);
  });
}

const guess = deviceProfiles.get('a10') as DeviceProfile;
/** A device whose constants nobody knows: half as fast, bad at depthwise convolutions, slow to start. */
const truth: DeviceProfile = {
  ...guess,
  efficiency: {
    arithmetic: { ...guess.efficiency.arithmetic, pointwise: 0.15, conv: 0.3, depthwise: 0.04 },
    memory: { ...guess.efficiency.memory, pointwise: 0.5, depthwise: 0.15, elementwise: 0.4 },
  },
  kernelOverheadUs: 12,
  runOverheadUs: 150,
};
const measure = (list: readonly KernelProgram[], noise: number, { disturbed = -1, day = 0 } = {}) => {
  const random = new Random('noise').child(day);
  return list.map((program, index) => ({
    program,
    measuredMs:
      programLatency(program, truth, 'fp16').ms * Math.exp(noise * random.normal()) * (index === disturbed ? 2 : 1),
  }));
};
const unseen = programs(40, 'unseen');
const errorOf = (profile: DeviceProfile) =>
  median(
    unseen.map((program) =>
      Math.abs(programLatency(program, profile, 'fp16').ms / programLatency(program, truth, 'fp16').ms - 1),
    ),
  );

describe('a profile calibrated on ten networks', () => {
  const seen = programs(10, 'seen');

  it('predicts others within a few percent, where the guess was off by half', () => {
    const calibrated = calibrateProfile(guess, 'fp16', measure(seen, 0.02));
    expect(errorOf(guess)).toBeGreaterThan(0.4);
    expect(errorOf(calibrated)).toBeLessThan(0.05);
    expect(calibrated.calibration).toMatchObject({ precision: 'fp16', points: 10 });
    expect(deviceProfileSchema.parse(calibrated)).toEqual(calibrated);
  });

  it('states an error that is about the true one', () => {
    const ratios = [0, 1, 2, 3].map((day) => {
      const { calibration, ...profile } = calibrateProfile(guess, 'fp16', measure(seen, 0.05, { day }));
      expect(calibration?.points).toBe(10);
      return (calibration?.logDeviation ?? 0) / errorOf(profile);
    });
    // A deviation beside the median of absolute errors: 1.5 for a normal distribution, less the noise that is measured only.
    expect(median(ratios)).toBeGreaterThan(1);
    expect(median(ratios)).toBeLessThan(4);
  });

  it('is not bent by one disturbed measurement', () => {
    expect(errorOf(calibrateProfile(guess, 'fp16', measure(seen, 0.02, { disturbed: 4 })))).toBeLessThan(0.08);
  });

  it('stays what it was where it was right', () => {
    const points = seen.map((program) => ({
      program,
      measuredMs: programLatency(program, { ...guess, runOverheadUs: 0 }, 'fp16').ms,
    }));
    const calibrated = calibrateProfile(guess, 'fp16', points);
    const error = median(
      unseen.map((program) =>
        Math.abs(programLatency(program, calibrated, 'fp16').ms / programLatency(program, guess, 'fp16').ms - 1),
      ),
    );
    expect(error).toBeLessThan(0.01);
  });

  it('needs three points', () => {
    expect(() => calibrateProfile(guess, 'fp16', measure(seen.slice(0, 2), 0))).toThrow(
      'expected at least 3 measured networks, got 2',
    );
  });
});
