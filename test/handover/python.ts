import { execFileSync, spawnSync } from 'node:child_process';

/** A Python that imports all of these: that of `RIDGEPOINT_PYTHON`, or one on the system. */
export function pythonWith(...modules: readonly string[]): string | undefined {
  const candidates = [process.env['RIDGEPOINT_PYTHON'], 'python3', '/usr/bin/python3'];
  return candidates.find(
    (python) => python !== undefined && spawnSync(python, ['-c', `import ${modules.join(', ')}`]).status === 0,
  );
}

/** Why tests that need them do not run, for their titles; empty where they do. */
export function absent(python: string | undefined, ...modules: readonly string[]): string {
  return python === undefined ? ` (SKIPPED: no python with ${modules.join(' and ')}; RIDGEPOINT_PYTHON names one)` : '';
}

const checkEach = `
import importlib.util, sys
for folder in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("model", folder + "/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    print(module.check())
`;

/** What the `check` of the source in each folder gives, all in one process: starting a framework takes seconds. */
export function checkAll(python: string, folders: readonly string[]): number[] {
  const text = execFileSync(python, ['-c', checkEach, ...folders], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    // The networks are tiny, and the other core may be busy with another test.
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  return text.trim().split('\n').map(Number);
}
