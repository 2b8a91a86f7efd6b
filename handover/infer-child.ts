import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import { serveChild } from '../core/child.ts';
import { InvalidFileError } from '../core/errors.ts';
import type { InferRequest, Inferred } from './infer.ts';

await serveChild<InferRequest, Inferred>(async ({ model, input, value, accelerator, allowFallback }) => {
  const session = await onnxRuntimeAccelerator(accelerator).open(model, { threads: 1, allowFallback });
  try {
    if (session.inputs.length !== 1 || session.inputs[0]?.name !== input)
      throw new InvalidFileError(
        `expected one input '${input}', got ${session.inputs.map(({ name }) => `'${name}'`).join(' and ')}`,
      );
    const { logits } = await session.run({ [input]: value });
    if (!(logits?.data instanceof Float32Array))
      throw new InvalidFileError(`expected an output 'logits' in float32, got ${session.outputs.join(' and ')}`);
    return { dims: logits.dims, logits: logits.data };
  } finally {
    await session.close();
  }
});
