import { parseArgs } from 'node:util';
import { loadNetwork } from '../../scaling/built-in-networks.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { type StepCost, stepCost } from '../../training/step-cost.ts';
import { type Workload, workloads } from './networks.ts';

const usage = `usage: npx tsx bench/training/memory.ts [--rounds 3] [--only name,name]
What a step that is rematerialised saves and costs: peak resident set of the process that trains, and processor time of a
step on one thread, each the best of the rounds; with and without in turns.`;

const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, only: { type: 'string' }, help: { type: 'boolean' } },
});
if (options.help) {
  console.log(usage);
  process.exit();
}

const fitted = (name: string, nativeResolution: number, batchSize: number): Workload => {
  const spec = loadNetwork(name, { data: { classes: 10, channels: 3, nativeResolution } });
  return { name: `${name} at ${nativeResolution}`, spec, batchSize };
};
const measured: readonly Workload[] = [
  ...workloads,
  fitted('efficientnet-b0', 64, 64),
  fitted('resnet-18', 64, 64),
  fitted('resnet-50', 64, 32),
  fitted('mobilenet-v2', 96, 32),
];
const only = options.only?.split(',');
const { signal } = new AbortController();

console.log('| network | batch | MB kept | MB rematerialised | ratio | step ms kept | rematerialised | ratio |');
console.log('|---|---|---|---|---|---|---|---|');
for (const { name, spec, batchSize } of measured.filter((each) => only?.includes(each.name) ?? true)) {
  const costs: Record<'kept' | 'again', StepCost[]> = { kept: [], again: [] };
  for (let round = 0; round < Number(options.rounds); round++)
    for (const way of ['kept', 'again'] as const) {
      const recipe = { ...defaultRecipe({ batchSize }), rematerialise: way === 'again' };
      costs[way].push(await stepCost({ setting: { spec, recipe, threads: 1 }, seconds: 1 }, signal));
    }
  const least = (way: 'kept' | 'again', key: keyof StepCost) => Math.min(...costs[way].map((cost) => cost[key]));
  const cells = (['peakRssBytes', 'stepMs'] as const).flatMap((key) => {
    const [kept, again] = [least('kept', key), least('again', key)];
    const scale = key === 'stepMs' ? 1 : 1e-6;
    return [(kept * scale).toFixed(0), (again * scale).toFixed(0), `**${(again / kept).toFixed(2)}**`];
  });
  console.log(`| ${[name, batchSize, ...cells].join(' | ')} |`);
}
