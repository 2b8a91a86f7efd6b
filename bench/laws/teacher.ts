// Learners of a teacher network, of many widths on more or less data: which size is best for how much compute?
// `npx tsx bench/laws/teacher.ts --out runs.csv`, again to go on; see bench/README.md.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { InterruptedError, RidgepointError } from '../../core/errors.ts';
import { describeAllocations } from './teacher-report.ts';
import { completeRuns, fullDesign, parseRows, plannedRuns, type Progress, quickDesign } from './teacher-runs.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'teacher.csv' },
    quick: { type: 'boolean', default: false },
    draws: { type: 'string', default: '1000' },
  },
});

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
const startMs = performance.now();

function report({ done, of, run: { dimension, complexity, seed, width, examples }, excess }: Progress): void {
  const left = ((performance.now() - startMs) / done) * (of - done);
  console.error(
    `${done} of ${of}, ${(left / 60_000).toFixed(1)} min left: d ${dimension}, K ${complexity}, seed ${seed}, width ${width}, ${examples} examples: ${excess.toPrecision(3)} nats`,
  );
}

try {
  await completeRuns(values.out, plannedRuns(values.quick ? quickDesign : fullDesign), {
    accelerator: onnxRuntimeAccelerator('cpu'),
    signal: stop.signal,
    onRun: (progress) => {
      if (progress.done % 10 === 0 || progress.done === progress.of) report(progress);
    },
  });
  console.log(describeAllocations(parseRows(readFileSync(values.out, 'utf8'), values.out), Number(values.draws)));
} catch (error) {
  if (!(error instanceof RidgepointError)) throw error;
  const interrupted = error instanceof InterruptedError;
  console.error(interrupted ? `interrupted; the same command goes on from ${values.out}` : `error: ${error.message}`);
  process.exitCode = interrupted ? 130 : 2;
}
