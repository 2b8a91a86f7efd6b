import { defineCommand } from 'citty';
import { diagnose, type Diagnosis } from '../study/doctor.ts';

/** `ridgepoint doctor [--redis URL]`: one row for everything Ridgepoint needs or can use: ok, or why not and how to fix it. */
export const command = defineCommand({
  args: {
    redis: { type: 'string', description: 'also what a fleet needs of this Redis: redis://host:port' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const rows = [...(await diagnose()), ...(args.redis === undefined ? [] : await redisRows(args.redis))];
    if (args.json) console.log(JSON.stringify({ schema: 1, rows }));
    else
      for (const { name, ok, detail, fix } of rows)
        console.log(
          `${name.padEnd(22)} ${ok ? `ok${detail ? `, ${detail}` : ''}` : `no, because ${detail}${fix ? `; fix: ${fix}` : ''}`}`,
        );
    if (rows.some(({ ok, required }) => required && !ok)) process.exitCode = 5;
  },
});

async function redisRows(url: string): Promise<readonly Diagnosis[]> {
  const [{ redisPlace }, { diagnoseRedis }] = await Promise.all([
    import('../jobs/connection.ts'),
    import('../jobs/doctor.ts'),
  ]);
  return diagnoseRedis(redisPlace(url));
}
