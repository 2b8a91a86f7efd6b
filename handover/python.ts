import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { EnvironmentError, InterruptedError } from '../core/errors.ts';
import { sourceFileName } from './source.ts';

/** Whether source did what the ONNX file does, or why nobody tried. */
export type SourceCheck =
  | { readonly checked: true; readonly difference: number }
  | { readonly checked: false; readonly because: string };

/** Source that does not do what the ONNX file of the same weights does. */
export class ParityError extends EnvironmentError {
  override readonly code = 'verification';
}

/** Python packages that each kind of source is run with. */
const packages = {
  pytorch: ['torch', 'safetensors'],
  timm: ['timm', 'safetensors'],
  keras: ['keras', 'safetensors'],
} as const;

/**
 * Runs a folder's source against its parity vectors where a Python can import what it needs: that which
 * `RIDGEPOINT_PYTHON` names, or `python3`.
 * @throws {ParityError} when it differs or fails. @throws {InterruptedError} when aborted.
 */
export async function checkSource(
  folder: string,
  framework: keyof typeof packages,
  signal?: AbortSignal,
): Promise<SourceCheck> {
  const python = process.env['RIDGEPOINT_PYTHON'] ?? 'python3';
  const names = packages[framework];
  const imports = await run(python, ['-c', `import ${names.join(', ')}`], signal);
  if (imports.code !== 0) {
    const because = `${python} has no ${names.join(' and ')} (RIDGEPOINT_PYTHON names another)`;
    return { checked: false, because };
  }
  const { code, stdout, stderr } = await run(python, [join(folder, sourceFileName)], signal);
  const difference = Number(/^difference (\S+),/m.exec(stdout)?.[1] ?? Number.NaN);
  if (code === 0) return { checked: true, difference };
  const what = Number.isNaN(difference) ? `\n${stderr.trim()}` : ` ${stdout.trim()}`;
  throw new ParityError(`${sourceFileName}: expected it to compute what the ONNX file does, got${what}`);
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[], signal: AbortSignal | undefined): Promise<Ended> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { ...(signal && { signal }), maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (signal?.aborted) reject(new InterruptedError('interrupted; nothing was kept'));
      else resolve({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr });
    });
  });
}
