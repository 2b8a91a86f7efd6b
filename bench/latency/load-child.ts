import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { convolutionKernel } from '../../accelerators/probe.ts';

// Keeps one core busy until it is ended: `convolutions` with arithmetic, `copies` with the memory bus.

const kind = process.argv[2];
process.send?.('ready');
process.on('disconnect', () => process.exit(0));

/** Lets the event loop hear that the parent is gone. */
const breathe = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

if (kind === 'convolutions') {
  const { model, feeds } = convolutionKernel(64, 48);
  const session = await onnxRuntimeAccelerator('cpu').open(model, { threads: 1 });
  for (;;) {
    for (let run = 0; run < 20; run++) await session.run(feeds);
    await breathe();
  }
} else {
  const from = Buffer.alloc(64 << 20, 1);
  const to = Buffer.alloc(64 << 20);
  for (;;) {
    from.copy(to);
    await breathe();
  }
}
