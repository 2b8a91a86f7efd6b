import { runtimeVersion } from '../../accelerators/onnxruntime.ts';
import { type LimitId, openLimit } from './limits.ts';
import { serveSteps } from './protocol.ts';

// Work that is bound by the machine, as steps: `limits-child.ts <limit> <threads>`.
const [id, threads] = process.argv.slice(2) as [LimitId, string];
const { run, close } = await openLimit(id, Number(threads));
await serveSteps({ runtime: runtimeVersion(), parameterCount: 0 }, async () => {
  await run();
  return 0;
});
await close();
