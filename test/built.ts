import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder of the sources as JavaScript. */
    readonly built: string;
  }
}

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Compiles the sources once a run, for the processes that tests start: as they ship, a process is up in a third of
 * the time it takes to load them through tsx, and there are hundreds. Each run has a folder of its own, below
 * `node_modules` so that packages are found; `core/version.ts` looks for package.json one folder up, as from `dist`.
 */
export default function setup(project: TestProject): () => void {
  const place = join(root, 'node_modules', '.cache', `ridgepoint-tests-${process.pid}`);
  const built = join(place, 'js');
  const compile = (): void => {
    mkdirSync(place, { recursive: true });
    copyFileSync(join(root, 'package.json'), join(place, 'package.json'));
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const config = join(root, 'tsconfig.build.json');
    // Unchecked: `npm run types` checks, and a test of half-written sources should still run.
    const args = [tsc, '-p', config, '--outDir', built, '--declaration', 'false', '--noCheck'];
    execFileSync(process.execPath, args, { stdio: 'inherit' });
  };
  compile();
  project.onTestsRerun(compile);
  project.provide('built', built);
  return () => rmSync(place, { recursive: true, force: true });
}
