// A program for the tests, told how to behave by its first arguments: program.mjs <behaviour> <request>.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [behaviour, requestPath] = process.argv.slice(2);
const request = JSON.parse(readFileSync(requestPath, 'utf8'));

function answer(result) {
  writeFileSync(`${request.paths.result}.part`, JSON.stringify(result));
  renameSync(`${request.paths.result}.part`, request.paths.result);
}

const event = (value) => console.log(`@ridgepoint ${JSON.stringify(value)}`);
const description = { status: 'ok', name: 'program', version: '1', operations: ['describe'] };
const forever = () => setInterval(() => {}, 1000);
/** Counts its runs in the state that is kept. */
function run() {
  const file = join(request.paths.state, 'runs');
  const count = existsSync(file) ? Number(readFileSync(file, 'utf8')) + 1 : 1;
  writeFileSync(file, String(count));
  return count;
}

const behaviours = {
  describe: () => answer(description),
  hang: forever,
  'hang-talking': () => {
    setInterval(() => event({ t: 'progress', examples: 1 }), 30);
  },
  'ignore-sigterm': () => {
    process.on('SIGTERM', () => {});
    event({ t: 'progress' });
    forever();
  },
  crash: () => {
    console.error('the end is near');
    process.kill(process.pid, 'SIGSEGV');
  },
  exit: () => {
    console.log('about to exit');
    process.exit(3);
  },
  preempted: () => process.exit(75),
  'preempted-twice': () => (run() <= 2 ? process.exit(75) : answer(description)),
  broken: () => process.exit(78),
  nothing: () => {},
  garbage: () => writeFileSync(request.paths.result, '\u0000not json {'),
  'wrong-result': () => answer({ status: 'ok', name: 7 }),
  'huge-result': () => writeFileSync(request.paths.result, ' '.repeat(20 << 20)),
  'failed-result': () => answer({ status: 'failed', code: 'licence', retry: false, detail: 'no seat left' }),
  events: () => {
    event({ t: 'progress', examples: 3, imagesPerS: 2 });
    process.stdout.write('plain log\n@ridgepoint {not json}\n@ridgepoint {"t":"unknown"}\n');
    process.stdout.write('@ridgepoint {"t":"hand');
    setTimeout(() => {
      process.stdout.write('le","handle":{"job":17}}\n');
      console.error('to stderr');
      answer(description);
    }, 50);
  },
  'huge-output': () => {
    process.stdout.write(`first\n${'x'.repeat(200_000)}`);
    process.stdout.write(`\n${'line\n'.repeat(1_000_000)}last\n`, () => answer(description));
  },
  'leave-child': () => {
    // Holds this program's pipes open, too.
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
    writeFileSync(join(request.paths.state, 'child'), String(child.pid));
    answer(description);
    process.exit(0);
  },
  'child-and-hang': () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    writeFileSync(join(request.paths.state, 'child'), String(child.pid));
    event({ t: 'progress' });
    forever();
  },
  environment: () => answer({ ...description, name: `${process.env.COMMAND_TEST} ${process.cwd()}` }),
};

const behave = behaviours[behaviour];
if (!behave) throw new Error(`no behaviour ${behaviour}`);
behave();
