// The controller of a table study over a fleet: <redis url> <store> <study folder> <trials>
import { redisPlace } from '../../../jobs/connection.ts';
import { fleetOver } from '../../../jobs/fleet.ts';
import { folderStore } from '../../../jobs/store.ts';
import type { LatencyMeter } from '../../../study/context.ts';
import { runTableStudy } from './table-study.ts';

const [url = '', store = '', folder = '', trials = ''] = process.argv.slice(2);
// Nothing is measured.
const here = {} as LatencyMeter;
await runTableStudy(
  folder,
  Number(trials),
  async (study) => (await fleetOver(redisPlace(url), folderStore(store))(study, here)).evaluator,
  (answered) => process.send?.(answered),
);
process.exit(0);
