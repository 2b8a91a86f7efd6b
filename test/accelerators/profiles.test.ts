import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deviceProfileSchema, ridgePoint } from '../../accelerators/device-profile.ts';
import { findProfile, parseProfile } from '../../accelerators/profile-file.ts';
import { deviceProfiles } from '../../accelerators/profiles.ts';
import { fileFolder } from '../cases/file-folder.ts';

const teraflops = (units: number, clockGhz: number) => (units * 128 ** 2 * 2 * clockGhz) / 1e3;

describe('the table of devices', () => {
  // FLOP a byte at which arithmetic begins to bound, as published beside peak and bandwidth.
  it.each([
    ['tpu-v2', 'bf16', 75],
    ['tpu-v3', 'bf16', 137],
    ['tpu-v4', 'bf16', 229],
    ['tpu-v5e', 'bf16', 241],
    ['tpu-v5p', 'bf16', 166],
    ['tpu-v6e', 'bf16', 560],
    ['tpu7x', 'bf16', 313],
    ['v100-sxm', 'fp16', 139],
    ['a100-40-sxm', 'fp16', 201],
    ['a100-80-sxm', 'fp16', 153],
    ['h100-sxm', 'fp16', 295],
    ['h100-pcie', 'fp16', 378],
    ['h200', 'fp16', 206],
    ['b200', 'fp16', 281],
    ['mi300x', 'fp16', 247],
    ['l4', 'fp16', 403],
    ['a10', 'fp16', 208],
    ['t4', 'fp16', 203],
  ] as const)('puts the ridge of %s in %s at %d', (id, precision, ridge) => {
    const profile = deviceProfiles.get(id);
    expect(profile && Math.round(ridgePoint(profile, precision) ?? 0)).toBe(ridge);
  });

  it('holds valid profiles only, and the devices whose bandwidth nobody tells, without one', () => {
    for (const profile of deviceProfiles.values()) expect(deviceProfileSchema.parse(profile)).toEqual(profile);
    for (const id of ['edge-tpu', 'hailo-8', 'hailo-8l']) {
      const profile = deviceProfiles.get(id);
      expect(profile && ridgePoint(profile, 'int8'), id).toBeUndefined();
      expect(Object.keys(profile?.peakTflops ?? {})).toEqual(['int8']);
    }
  });

  it('gives the peaks of systolic arrays as units × side² × 2 × clock', () => {
    expect(deviceProfiles.get('tpu-v3')?.peakTflops.bf16).toBeCloseTo(teraflops(4, 0.94), 0);
    expect(deviceProfiles.get('tpu-v5e')?.peakTflops.bf16).toBeCloseTo(teraflops(4, 1.5), 0);
  });
});

describe("a user's profile", () => {
  const folder = fileFolder();
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('may say only what differs from a device of the table', async () => {
    const path = file(
      'mine.yaml',
      'like: l4\nid: my-l4\nkernelOverheadUs: 9\nefficiency: { memory: { depthwise: 0.2 } }\n',
    );
    const base = await findProfile('l4');
    const mine = await findProfile(path);
    expect(mine).toEqual({
      ...base,
      id: 'my-l4',
      name: 'my-l4',
      kernelOverheadUs: 9,
      efficiency: { ...base.efficiency, memory: { ...base.efficiency.memory, depthwise: 0.2 } },
    });
  });

  it('is refused with the file and every key that is wrong', async () => {
    const path = file(
      'bad.yaml',
      'like: l4\nid: my l4\npeakTflops: { fp64: 1 }\nmemory: { gigabytesPerS: fast }\nspeed: 3\n',
    );
    const error = await findProfile(path).catch((thrown: unknown) => String(thrown));
    expect(error).toContain(`${path}: not a device profile`);
    for (const part of [/→ at id/, /fp64/, /→ at memory\.gigabytesPerS/, /"speed"/]) expect(error).toMatch(part);
  });

  it('is refused without the peak of any precision, with shares above one, and where it is like nothing', () => {
    expect(() => parseProfile({ like: 'l4', id: 'x', peakTflops: {} }, 'x.yaml')).toThrow(/at least one precision/);
    expect(() => parseProfile({ like: 'l4', id: 'x', efficiency: { memory: { conv: 1.5 } } }, 'x.yaml')).toThrow(
      /→ at efficiency\.memory\.conv/,
    );
    expect(() => parseProfile({ like: 'l5', id: 'x' }, 'x.yaml')).toThrow(
      /x\.yaml: like: expected one of tpu-v2, .*, got 'l5'/,
    );
    expect(() => parseProfile({ id: 'x', name: 'x', peakTflops: { fp16: 1 } }, 'x.yaml')).toThrow(/→ at efficiency/);
    expect(() => parseProfile('l4', 'x.yaml')).toThrow(/x\.yaml: not a device profile/);
  });

  it('never inherits that it was calibrated', () => {
    const calibration = { points: 10, logDeviation: 0.05 };
    expect(parseProfile({ like: 'l4', id: 'x' }, 'x').calibration).toBeUndefined();
    expect(parseProfile({ like: 'l4', id: 'x', calibration }, 'x').calibration).toEqual(calibration);
  });

  it('is named with what there is when it is not found', async () => {
    await expect(findProfile('tpu-v9')).rejects.toThrow(
      /expected a profile \(tpu-v2, .*simulated\) or a \.yaml file, got 'tpu-v9'/,
    );
    await expect(findProfile(join(folder, 'none.yaml'))).rejects.toThrow(
      /none\.yaml: expected a readable device profile, got ENOENT/,
    );
    await expect(findProfile(file('torn.yaml', 'id: [1'))).rejects.toThrow(/torn\.yaml: not YAML/);
  });
});
