import { defineCommand } from 'citty';
import { detectAccelerators } from '../accelerators/detect.ts';
import { simulatedProfile } from '../accelerators/simulated.ts';

/** `ridgepoint accelerators`: what this host can measure on, each provider probed by running a kernel. */
export const command = defineCommand({
  args: { json: { type: 'boolean', description: 'one JSON object on stdout' } },
  async run({ args }) {
    const detected = await detectAccelerators();
    if (args.json)
      return console.log(JSON.stringify({ schema: 1, accelerators: detected, simulated: simulatedProfile }));
    for (const { id, available, reason } of detected)
      console.log(`${id.padEnd(10)} ${available ? 'ok' : `no, because ${reason}`}`);
    console.log(
      `${simulatedProfile.id.padEnd(10)} computed, not measured: a roofline of an imagined device, for trying a study out`,
    );
  },
});
