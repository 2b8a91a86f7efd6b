import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { ConfigError } from '../core/errors.ts';
import { journalPath } from '../study/journal/journal.ts';
import { JournalTail } from '../study/journal/journal-tail.ts';
import { leaseHolder } from '../study/journal/lease.ts';
import { StudyView } from './study-view.ts';

/** What a study is doing: `stopped` is one that nobody runs and that is not done; `damaged` one whose journal cannot be read. */
export type StudyState = 'reading' | 'running' | 'stopped' | 'finished' | 'damaged';

/** A study's folder as the page follows it. */
export interface FollowedStudy {
  /** The folder's name, which is its address. */
  readonly name: string;
  readonly folder: string;
  readonly view: StudyView;
  readonly state: StudyState;
  /** What is wrong with its journal. */
  readonly problem: string | undefined;
  /** Bytes of the journal that are not read yet. */
  readonly behindBytes: number;
  /** Changes whenever the study does: `<created>-<events>-<state>`. */
  readonly version: string;
}

class Followed implements FollowedStudy {
  readonly name: string;
  readonly folder: string;
  readonly #tail: JournalTail;
  view = new StudyView();
  problem: string | undefined;
  behindBytes = 0;
  #isRead = false;
  #leased = false;

  constructor(folder: string) {
    this.folder = folder;
    this.name = basename(folder);
    this.#tail = new JournalTail(journalPath(folder));
  }

  get state(): StudyState {
    if (this.problem !== undefined) return 'damaged';
    if (!this.#isRead) return 'reading';
    if (this.view.phase('deliver') === 'finished') return 'finished';
    return this.#leased ? 'running' : 'stopped';
  }

  get version(): string {
    return `${this.view.createdMs.toString(36)}-${this.view.count}-${this.state}`;
  }

  /** Reads what came, a piece at a time; others have their turn between pieces. */
  async look(): Promise<void> {
    try {
      for (;;) {
        const { lines, restarted, behindBytes } = await this.#tail.look();
        if (restarted) this.view = new StudyView();
        for (const line of lines) this.view.fold(line);
        this.behindBytes = behindBytes;
        this.problem = undefined;
        if (lines.length === 0 || behindBytes === 0) break;
      }
    } catch (error) {
      this.problem = (error as Error).message;
    }
    this.#isRead = true;
    this.#leased = leaseHolder(this.folder) !== undefined;
  }
}

/**
 * The studies below a folder, followed by reading: nothing here writes. A folder that is itself a study is followed alone.
 */
export class Runs {
  readonly #folder: string;
  readonly #studies = new Map<string, Followed>();
  #looking: Promise<void> | undefined;

  /** @throws {ConfigError} when there is no such folder. */
  constructor(folder: string) {
    this.#folder = resolve(folder);
    if (!existsSync(this.#folder))
      throw new ConfigError(`--runs: expected a folder of studies, or one study, got ${folder}, which does not exist`);
  }

  /** The most recently changed first. */
  get studies(): readonly FollowedStudy[] {
    return [...this.#studies.values()].toSorted((a, b) => b.view.lastMs - a.view.lastMs);
  }

  study(name: string): FollowedStudy | undefined {
    return this.#studies.get(name);
  }

  /** Changes whenever a study does. */
  get version(): string {
    return this.studies.map(({ name, version }) => `${encodeURIComponent(name)}:${version}`).join(',');
  }

  /** Finds new studies and reads what all of them wrote since the last look. Looks do not overlap. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #look(): Promise<void> {
    const folders = existsSync(journalPath(this.#folder)) ? [this.#folder] : await this.#below();
    for (const folder of folders)
      if (!this.#studies.has(basename(folder))) this.#studies.set(basename(folder), new Followed(folder));
    const present = new Set(folders.map((folder) => basename(folder)));
    for (const name of this.#studies.keys()) if (!present.has(name)) this.#studies.delete(name);
    await Promise.all([...this.#studies.values()].map((study) => study.look()));
  }

  async #below(): Promise<string[]> {
    const entries = await readdir(this.#folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      // It may be moved away and come back.
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return entries
      .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
      .map(({ name }) => join(this.#folder, name))
      .filter((folder) => existsSync(journalPath(folder)));
  }
}
