#!/usr/bin/env node
import { type ArgsDef, defineCommand, renderUsage, runCommand, type CommandDef } from 'citty';
import { ridgepointVersion } from '../core/version.ts';
import { expectKnownArguments } from './arguments.ts';
import { exitCodeOf, failWith } from './exit.ts';

// Each command is its own module, loaded when it is called: `ridgepoint --help` loads none of them.
const commands = {
  search: () => import('./search.ts'),
  replay: () => import('./replay.ts'),
  scale: () => import('./scale.ts'),
  train: () => import('./train.ts'),
  schedule: () => import('./schedule.ts'),
  measure: () => import('./measure.ts'),
  predict: () => import('./predict.ts'),
  calibrate: () => import('./calibrate.ts'),
  elasticity: () => import('./elasticity.ts'),
  count: () => import('./count.ts'),
  proxies: () => import('./proxies.ts'),
  fit: () => import('./fit.ts'),
  plan: () => import('./plan.ts'),
  quantize: () => import('./quantize.ts'),
  export: () => import('./export.ts'),
  verify: () => import('./verify.ts'),
  worker: () => import('./worker.ts'),
  dashboard: () => import('./dashboard.ts'),
  report: () => import('./report.ts'),
  explain: () => import('./explain.ts'),
  status: () => import('./status.ts'),
  logs: () => import('./logs.ts'),
  cancel: () => import('./cancel.ts'),
  retry: () => import('./retry.ts'),
  accelerators: () => import('./accelerators.ts'),
  doctor: () => import('./doctor.ts'),
  check: () => import('./check.ts'),
  conform: () => import('./conform.ts'),
  init: () => import('./init.ts'),
  schema: () => import('./schema.ts'),
} satisfies Record<string, () => Promise<{ command: object }>>;

const summaries: Readonly<Record<keyof typeof commands, string>> = {
  search: 'run a study: search, scale, train and deliver a family; resumes where it stopped',
  replay: 'what a search would find and cost, over a table of known results, in simulated time',
  scale: 'scale a base network you have, for one or several accelerators',
  train: 'train one network and write its weights and ONNX file',
  schedule: 'search the training schedule that trains a network soonest on this machine',
  measure: 'latency of any ONNX file, with an interval and a verdict',
  predict: 'latency and memory of a network on a device that is not here',
  calibrate: 'a profile of the device at hand, learned from measurements, for predict',
  elasticity: 'how the latency of a network grows with depth, width and resolution on a device',
  count: 'parameters, multiply-adds, activations and bytes of a network',
  proxies: 'zero-cost scores of a network, or how far a study’s proxies may be trusted',
  fit: 'fit scaling laws to finished trainings, with intervals and what to distrust',
  plan: 'how large a model and how much data a budget of compute or time should buy',
  quantize: "a trained file, or a study's, in int8 or fp16, and what that costs and gives",
  export: 'take networks elsewhere: delivered files, a deploy bundle, or source for PyTorch, timm and Keras',
  verify: 'whether a deploy bundle is what it says, on this machine',
  worker: 'train and measure for studies elsewhere, through Redis',
  dashboard: 'studies, and the fleet, as a live page',
  report: "rebuild a study's report and tables from its journal",
  explain: 'why a trial was proposed and what became of it',
  status: 'where studies stand, and with --redis what waits for whom',
  logs: 'what is kept of evaluations that failed',
  cancel: 'end a study, or the evaluation of one trial',
  retry: 'evaluate a trial that failed again',
  accelerators: 'what this host can measure on, and what it can predict for',
  doctor: 'what works here, and how to fix what does not',
  check: 'one tiny candidate through every step of a study',
  conform: 'whether a program of your own keeps to the command protocol',
  init: 'write a study file to start from',
  schema: 'JSON Schema of study files, for editors',
};

const usage = [
  `ridgepoint ${ridgepointVersion()}: finds, scales and ships networks for the accelerator you have`,
  '',
  'usage: ridgepoint <command> [options]      (ridgepoint <command> --help for its options)',
  '',
  ...Object.entries(summaries).map(([name, summary]) => `  ${name.padEnd(13)} ${summary}`),
  '',
  'exit codes: 0 done, 2 bad input, 3 unstable under --strict, 4 unreachable limit, 5 environment failed, 130 interrupted',
].join('\n');

async function main([name, ...rest]: string[]): Promise<void> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') return console.log(usage);
  if (name === '--version' || name === '-v') return console.log(ridgepointVersion());
  const load = Object.hasOwn(commands, name) ? commands[name as keyof typeof commands] : undefined;
  if (!load) return failWith(`expected a command (${Object.keys(commands).join(', ')}), got ${name}`, 2);
  const { command } = (await load()) as { command: CommandDef };
  const named = defineCommand({
    ...command,
    meta: { ...command.meta, name: `ridgepoint ${name}`, description: summaries[name as keyof typeof commands] },
  } as CommandDef);
  // What follows `--` is another program's.
  const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
  if (own.includes('--help') || own.includes('-h')) return console.log(await renderUsage(named));
  expectKnownArguments(command.args as ArgsDef, own);
  await runCommand(named, { rawArgs: rest });
}

// A reader that has seen enough, as `| head` has, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await main(process.argv.slice(2));
} catch (error) {
  failWith(error, exitCodeOf(error));
}
