// A measuring program for the tests: target-program.mjs <script, JSON> <request>. The script says what each
// session answers; the last entry of a list repeats.
import { appendFileSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [scriptText, requestPath] = process.argv.slice(2);
const script = JSON.parse(scriptText);
const request = JSON.parse(readFileSync(requestPath, 'utf8'));
const { result, state, out } = request.paths;

function answer(value) {
  writeFileSync(`${result}.part`, JSON.stringify(value));
  renameSync(`${result}.part`, result);
}

/** The entry for this call, of as many calls as there were. */
function next(name, entries) {
  const file = join(state, name);
  const calls = existsSync(file) ? readFileSync(file).length : 0;
  appendFileSync(file, '.');
  return entries[Math.min(calls, entries.length - 1)];
}

if (script.stubborn) process.on('SIGTERM', () => {});
if (script.record) appendFileSync(script.record, `${JSON.stringify(request)}\n`);
if (request.op === 'describe') {
  answer({ status: 'ok', name: 'fake', version: '1', operations: ['describe', 'measure'], ...script.describe });
} else if (request.op === 'prepare') {
  writeFileSync(join(out, 'engine'), 'compiled');
  answer({ status: 'ok', prepared: 'engine', prepareS: 1 });
} else if (request.op === 'measure') {
  const isReference = request.model.spec === undefined;
  const scripted = isReference ? next('reference', script.reference ?? [1]) : next('model', script.model);
  // Larger networks are slower, as on a real device.
  const entry = scripted === 'by-size' ? statSync(request.model.onnx).size / 1e6 : scripted;
  if (request.sampling.durationS > 60) {
    // Long enough to be stopped: it never answers.
    console.log('@ridgepoint {"t":"progress"}');
    setInterval(() => {}, 1000);
  } else if (entry.raw) {
    answer(entry.raw);
  } else if (typeof entry === 'object') {
    answer({ status: 'ok', includesIo: true, precision: request.precision, ...entry });
  } else if (entry === 'crash') {
    process.exit(1);
  } else {
    // Samples around a median, as a file.
    const samples = Array.from(
      { length: request.sampling.minSamples },
      (_, index) => entry * (0.9 + 0.01 * (index % 21)),
    );
    const file = Buffer.alloc(8 * samples.length);
    samples.forEach((ms, index) => file.writeDoubleLE(ms, 8 * index));
    writeFileSync(join(out, 'samples.f64'), file);
    const device = { name: 'Fake 9000', host: 'lab-3', cores: 4 };
    const versions = { fake: '2.1', driver: '7' };
    answer({
      status: 'ok',
      samplesMs: 'samples.f64',
      includesIo: false,
      precision: request.precision,
      device,
      versions,
    });
  }
} else if (!script.obliging) {
  process.exit(2);
}
