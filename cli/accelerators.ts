import { defineCommand } from 'citty';
import { detectAccelerators } from '../accelerators/detect.ts';
import { emulated } from '../accelerators/software-driver.ts';
import { type DeviceProfile, precisions, ridgePoint } from '../accelerators/device-profile.ts';
import { deviceProfiles } from '../accelerators/profiles.ts';

/** `ridgepoint accelerators`: what this host can measure on, each provider probed by running a kernel, and the devices it can predict for. */
export const command = defineCommand({
  args: { json: { type: 'boolean', description: 'one JSON object on stdout' } },
  async run({ args }) {
    const detected = await detectAccelerators();
    const profiles = [...deviceProfiles.values()];
    if (args.json) return console.log(JSON.stringify({ schema: 1, accelerators: detected, profiles }));
    console.log('measured, on this host (ridgepoint measure --on …)');
    for (const { id, available, reason, software } of detected) {
      const ok = software === undefined ? 'ok' : `ok, but ${emulated(software)}`;
      console.log(`  ${id.padEnd(19)} ${available ? ok : `no, because ${reason}`}`);
    }
    if (detected.some(({ available }) => !available))
      console.log('  ridgepoint doctor says how to mend what does not work');
    console.log('\npredicted, not measured (ridgepoint predict --on …); peaks in TFLOP/s, dense');
    const heads = [...precisions, 'GB', 'GB/s', 'FLOP/B'].map((head) => head.padStart(8)).join('');
    console.log(`  ${''.padEnd(19)}${heads}  device`);
    for (const profile of profiles) console.log(`  ${row(profile)}`);
    console.log('FLOP/B: from how many on arithmetic bounds a kernel, at the best precision. –: not known');
  },
});

function row(profile: DeviceProfile): string {
  const { id, name, peakTflops, memory } = profile;
  const ridge = Math.max(0, ...precisions.slice(0, 3).map((precision) => ridgePoint(profile, precision) ?? 0));
  const numbers = [
    ...precisions.map((precision) => peakTflops[precision]),
    memory?.gigabytes,
    memory?.gigabytesPerS,
    ridge === 0 ? undefined : Math.round(ridge),
  ];
  return `${id.padEnd(19)}${numbers.map((value) => String(value ?? '–').padStart(8)).join('')}  ${name}`;
}
