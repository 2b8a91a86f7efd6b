import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { inject } from 'vitest';

/** How a command ended and what it said. */
export interface Ended {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Starts the command-line program, compiled. Its temporary files, and so its host lock, are
 * below `cwd`: nothing here measures latency, so nobody has to wait for it.
 * @param onStderr is told all of stderr so far, whenever it grows.
 */
export function startRidgepoint(
  args: readonly string[],
  cwd: string,
  onStderr: (text: string, child: ChildProcess) => void = () => {},
): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, [join(inject('built'), 'cli', 'main.js'), ...args], {
    cwd,
    env: { ...process.env, TMPDIR: cwd },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    onStderr(stderr, child);
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

/** Runs a command to its end. */
export function ridgepoint(args: readonly string[], cwd: string): Promise<Ended> {
  return startRidgepoint(args, cwd).ended;
}
