// npx tsx bench/chaos/main.ts [--faults 500] [--seed 1] [--workers 4] [--slots 2]
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Random } from '../../core/random.ts';
import { runChaos } from '../../test/jobs/chaos/chaos.ts';
import { TableEvaluator } from '../../test/jobs/chaos/table-evaluator.ts';
import { answersIn, runTableStudy } from '../../test/jobs/chaos/table-study.ts';
import { RedisServer } from '../../test/jobs/redis-server.ts';

/** Trials for each fault: many are answered while something is down. */
const trialsPerFault = 75;

const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '500' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '4' },
    slots: { type: 'string', default: '2' },
  },
});
const faults = Number(values.faults);
const trials = Math.max(1000, faults * trialsPerFault);
const folder = mkdtempSync(join(tmpdir(), 'ridgepoint-chaos-'));
const redis = await RedisServer.start();
const startMs = performance.now();
const elapsed = (): string => `${((performance.now() - startMs) / 1000).toFixed(0).padStart(5)} s`;
try {
  const alone = join(folder, 'alone');
  mkdirSync(alone);
  const evaluator = new TableEvaluator({ slots: 2, ms: 0 });
  await runTableStudy(alone, trials, () => Promise.resolve(evaluator));
  await evaluator.closeAll();
  console.log(`${elapsed()}  ${trials} trials by one process; now ${values.workers} workers × ${values.slots} slots`);
  let count = 0;
  const { survived, begun } = await runChaos({
    redis,
    folder,
    trials,
    faults,
    workers: Number(values.workers),
    slots: Number(values.slots),
    evaluationMs: 50,
    random: new Random(values.seed),
    onFault: (fault, answered) => {
      if (++count % 25 === 0) console.log(`${elapsed()}  fault ${count}, ${fault}; ${answered} answers`);
    },
  });
  const expected = answersIn(alone).answers;
  const { answers, failures } = answersIn(join(folder, 'study'));
  const isEqual = answers.length === expected.length && answers.every((answer, index) => answer === expected[index]);
  const total = Object.values(survived).reduce((sum, each) => sum + each);
  console.log(`${elapsed()}  survived ${total} faults:`, survived);
  console.log(
    `${begun} evaluations begun for ${trials} trials; ${failures.length} failures journalled and tried again`,
  );
  console.log(`the journal ${isEqual ? 'holds' : 'DOES NOT HOLD'} each evaluation once, as the one-process run has it`);
  if (!isEqual || failures.length > survived['kill child']) console.log(failures.join('\n'));
  process.exitCode = isEqual ? 0 : 1;
} finally {
  await redis.remove();
  rmSync(folder, { recursive: true, force: true });
}
