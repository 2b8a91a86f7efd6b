import { defineCommand } from 'citty';
import { requestPlaceholder } from '../commands/declaration.ts';
import { ConfigError } from '../core/errors.ts';
import { conform } from '../study/conform.ts';
import { interruptible, openReporter } from './progress.ts';

/** `ridgepoint conform -- python3 target.py '{request}'`: does a program keep to the command protocol? */
export const command = defineCommand({
  args: {
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    const start = rawArgs.indexOf('--');
    const argv = start < 0 ? [] : rawArgs.slice(start + 1);
    if (argv.length === 0) throw new ConfigError('expected a program after --, got none');
    const isPlaced = argv.slice(1).some((argument) => argument.includes(requestPlaceholder));
    const reporter = openReporter({ json: args.json ?? false });
    const clauses = await conform(
      {
        name: 'conform',
        directory: process.cwd(),
        // Shells make typing the placeholder awkward, and one place is as good as any other here.
        command: isPlaced ? argv : [...argv, requestPlaceholder],
        limits: {},
      },
      {
        signal: interruptible(reporter, 'nothing was kept'),
        onClause: ({ clause, verdict, detail }) => {
          if (args.json) reporter.event({ type: 'clause', clause, verdict, detail });
          else console.log(`${verdict === 'fail' ? 'FAIL' : verdict}  ${clause}: ${detail}`);
        },
      },
    );
    const failed = clauses.filter(({ verdict }) => verdict === 'fail').length;
    if (args.json) console.log(JSON.stringify({ schema: 1, ok: failed === 0, clauses }));
    else
      console.log(
        failed === 0 ? 'it keeps to the protocol' : `it does not keep to ${failed} of ${clauses.length} clauses`,
      );
    if (failed > 0) process.exitCode = 2;
  },
});
