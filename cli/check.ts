import { defineCommand } from 'citty';
import { divisionOutlook } from '../study/train/allocate-phase.ts';
import { checkStudy } from '../study/check.ts';
import { readStudyFile } from '../study/resolve-study.ts';
import { openReporter, watchedBy } from './progress.ts';

/** `ridgepoint check study.yaml`: one tiny candidate through every step on every target, before hours are spent. */
export const command = defineCommand({
  args: {
    study: { type: 'positional', description: 'study file (YAML)', required: true },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args }) {
    const config = readStudyFile(args.study);
    const reporter = openReporter({ json: args.json ?? false });
    const summary = await checkStudy(config, watchedBy(reporter, 'nothing was kept'));
    reporter.finish();
    const division = divisionOutlook(config);
    if (args.json) console.log(JSON.stringify({ schema: 1, ok: true, trials: summary.trials.length, division }));
    else {
      console.log(
        `${args.study}: ok. One candidate was searched, scaled, trained, exported, verified and measured on ${summary.targets.map(({ name }) => name).join(', ')} in ${summary.activeS.toFixed(0)} s.`,
      );
      if (division !== null) console.log(division);
    }
  },
});
