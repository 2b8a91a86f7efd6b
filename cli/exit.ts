import { RidgepointError } from '../core/errors.ts';

const exitCodes: Readonly<Record<string, number>> = {
  config: 2,
  'invalid-file': 2,
  'unsupported-operator': 2,
  'infeasible-model': 2,
  'unstable-measurement': 3,
  'unreachable-limit': 4,
  interrupted: 130,
};

/** Exit code of an error: 2 bad input, 3 unstable, 4 unreachable, 130 interrupted, 5 for everything else. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof RidgepointError) return exitCodes[error.code] ?? 5;
  // citty's own errors are about arguments.
  return error instanceof Error && error.name === 'CLIError' ? 2 : 5;
}

/** Says what went wrong on stderr and sets the exit code; expected errors without a stack. */
export function failWith(error: unknown, exitCode: number): void {
  const expected = typeof error === 'string' || error instanceof RidgepointError || exitCode === 2;
  const text = error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error);
  const isJson = process.argv.includes('--json');
  if (isJson) process.stderr.write(`${JSON.stringify({ type: 'error', exitCode, message: text })}\n`);
  else process.stderr.write(`${exitCode === 130 ? '' : 'error: '}${text}\n`);
  process.exitCode = exitCode;
}
