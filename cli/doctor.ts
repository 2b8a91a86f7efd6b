import { defineCommand } from 'citty';
import { diagnose } from '../study/doctor.ts';

/** `ridgepoint doctor`: one row for everything Ridgepoint needs or can use: ok, or why not and how to fix it. */
export const command = defineCommand({
  args: { json: { type: 'boolean', description: 'one JSON object on stdout' } },
  async run({ args }) {
    const rows = await diagnose();
    if (args.json) console.log(JSON.stringify({ schema: 1, rows }));
    else
      for (const { name, ok, detail, fix } of rows)
        console.log(
          `${name.padEnd(22)} ${ok ? `ok${detail ? `, ${detail}` : ''}` : `no, because ${detail}${fix ? `; fix: ${fix}` : ''}`}`,
        );
    if (rows.some(({ ok, required }) => required && !ok)) process.exitCode = 5;
  },
});
