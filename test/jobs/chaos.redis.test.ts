import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import { fileFolder } from '../cases/file-folder.ts';
import { answersIn, runTableStudy } from './chaos/table-study.ts';
import { runChaos } from './chaos/chaos.ts';
import { TableEvaluator } from './chaos/table-evaluator.ts';
import { hasRedis, RedisServer } from './redis-server.ts';

const trials = 1000;

// Its children are found through /proc. bench/chaos does the same for as long as asked.
describe.skipIf(!hasRedis || process.platform !== 'linux')('a study over a fleet in which everything dies', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis.remove());

  it('journals each evaluation once, and as a set what one process journals', async () => {
    const alone = join(fileFolder(), 'study');
    mkdirSync(alone);
    const evaluator = new TableEvaluator({ slots: 2, ms: 0 });
    await runTableStudy(alone, trials, () => Promise.resolve(evaluator));
    await evaluator.closeAll();
    const { answers: expected } = answersIn(alone);
    expect(new Set(expected).size).toBe(trials);

    const folder = fileFolder();
    const { survived } = await runChaos({
      redis,
      folder,
      trials,
      workers: 4,
      slots: 2,
      evaluationMs: 100,
      faults: 10,
      random: new Random('chaos'),
    });
    expect(Math.min(...Object.values(survived)), JSON.stringify(survived)).toBeGreaterThanOrEqual(1);
    expect(Object.values(survived).reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(8);
    const { answers, failures } = answersIn(join(folder, 'study'));
    expect(answers).toEqual(expected);
    // Only a killed child is a failure, and it is tried again; everything else is free.
    expect(failures.length, failures.join('\n')).toBeLessThanOrEqual(survived['kill child']);
  });
});
