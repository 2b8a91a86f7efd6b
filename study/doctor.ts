import { accessSync, constants } from 'node:fs';
import { tmpdir } from 'node:os';
import { detectAccelerators } from '../accelerators/detect.ts';
import { emulated } from '../accelerators/software-driver.ts';
import { loadTensorFlow } from '../training/tfjs/load.ts';

/** One thing a study needs or can use. */
export interface Diagnosis {
  readonly name: string;
  readonly ok: boolean;
  /** Nothing works without it. */
  readonly required: boolean;
  readonly detail: string;
  readonly fix?: string;
}

const leastNode = [20, 19] as const;

/** Checks the runtime, folders, every execution provider and the second trainer, by using them. */
export async function diagnose(): Promise<readonly Diagnosis[]> {
  const accelerators = await detectAccelerators();
  return [
    node(),
    writable('working folder', process.cwd()),
    writable('temporary folder', tmpdir()),
    ...accelerators.map(({ id, available, reason, fix, software }) => ({
      name: `provider ${id}`,
      ok: available,
      required: id === 'cpu',
      detail: available
        ? `ran a kernel${software === undefined ? '' : ` ${emulated(software)}`}`
        : (reason ?? 'unknown'),
      ...(fix ? { fix } : {}),
    })),
    await tensorFlow(),
  ];
}

async function tensorFlow(): Promise<Diagnosis> {
  const name = 'trainer tfjs';
  try {
    const { version, backend, notice } = await loadTensorFlow(1);
    const reservations = notice === undefined ? '' : `; ${notice.replace(`${name}: `, '')}`;
    return { name, ok: true, required: false, detail: `${version} differentiates on ${backend}${reservations}` };
  } catch (error) {
    const [detail = '', fix] = (error as Error).message.replace(`${name}: `, '').split('; install it by ');
    return { name, ok: false, required: false, detail, ...(fix && { fix }) };
  }
}

function node(): Diagnosis {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1]);
  const detail = ok ? process.version : `expected ${leastNode.join('.')} or newer, got ${process.version}`;
  return { name: 'Node.js', ok, required: true, detail, ...(ok ? {} : { fix: 'install Node.js 24 LTS' }) };
}

function writable(name: string, path: string): Diagnosis {
  try {
    accessSync(path, constants.W_OK);
    return { name, ok: true, required: true, detail: path };
  } catch {
    return { name, ok: false, required: true, detail: `${path} cannot be written`, fix: 'run where you may write' };
  }
}
