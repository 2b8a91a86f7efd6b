import type { Clock } from '../core/clock.ts';
import { systemClock } from '../core/clock.ts';
import { hoursText } from '../study/budget.ts';
import type { StudyProgress } from '../study/context.ts';
import type { JournalEvent } from '../study/journal/events.ts';
import type { StudyLog } from '../jobs/log.ts';

/** How a long command tells what it is doing. */
export interface Reporter {
  progress(progress: StudyProgress): void;
  /** A machine-readable fact; shown only under `--json`. */
  event(event: object): void;
  /** Something a person should read, on a line of its own; an event under `--json`. */
  notice(text: string): void;
  /** Clears the progress line before other output. */
  finish(): void;
}

/** Seconds between two plain log lines of one phase when nobody watches a terminal. */
const logEveryMs = 5000;

function clockText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** NDJSON events on stderr under `--json`; a single rewritten line on a terminal; sparse log lines elsewhere. */
export function openReporter(options: { readonly json: boolean; readonly clock?: Clock }): Reporter {
  const { json, clock = systemClock } = options;
  const startedMs = clock.now();
  const out = process.stderr;
  if (json) {
    const write = (event: object) => void out.write(`${JSON.stringify(event)}\n`);
    return {
      progress: (progress) => write({ type: 'progress', tMs: clock.now(), ...progress }),
      event: write,
      notice: (text) => write({ type: 'notice', tMs: clock.now(), text }),
      finish: () => {},
    };
  }
  const lineOf = ({ phase, text, etaMs, deviceHours }: StudyProgress) => {
    const left = etaMs === undefined ? '' : ` (${clockText(etaMs)} left)`;
    const spent = deviceHours ? `  ${hoursText(deviceHours.spent)}/${hoursText(deviceHours.budget)} device hours` : '';
    return `${clockText(clock.now() - startedMs).padStart(6)}${left}${spent}  ${phase.padEnd(8)} ${text}`;
  };
  if (out.isTTY) {
    const emptyLine = '\r\u001b[2K';
    return {
      notice: (text) => void out.write(`${emptyLine}${text}\n`),
      progress: (progress) => void out.write(`${emptyLine}${lineOf(progress).slice(0, (out.columns ?? 100) - 1)}`),
      event: () => {},
      finish: () => void out.write(emptyLine),
    };
  }
  let lastMs = Number.NEGATIVE_INFINITY;
  let lastPhase = '';
  return {
    notice: (text) => void out.write(`${text}\n`),
    progress: (progress) => {
      if (progress.phase === lastPhase && clock.now() - lastMs < logEveryMs) return;
      lastMs = clock.now();
      lastPhase = progress.phase;
      out.write(`${lineOf(progress)}\n`);
    },
    event: () => {},
    finish: () => {},
  };
}

/** Tells everything through a structured log, how it stands every few seconds. */
export function logReporter(log: StudyLog, clock: Clock = systemClock): Reporter {
  let lastMs = Number.NEGATIVE_INFINITY;
  return {
    notice: log.say,
    event: (event) => log.event(event as JournalEvent),
    progress: (progress) => {
      if (clock.now() - lastMs < logEveryMs) return;
      lastMs = clock.now();
      log.progress(progress);
    },
    finish: () => {},
  };
}

/** Aborts on the first Ctrl-C or SIGTERM, saying so; a second one ends the process at once. */
export function interruptible(reporter: Reporter, howToResume: string): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    reporter.notice(`stopping; ${howToResume} (press Ctrl-C again to stop at once)`);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}

/** What a long piece of work hears of the person who waits for it, and tells: to stop, how it stands, what they should know. */
export function watchedBy(reporter: Reporter, howToResume: string) {
  return {
    signal: interruptible(reporter, howToResume),
    onProgress: reporter.progress,
    onNotice: reporter.notice,
  };
}

/** {@link watchedBy} of one piece of work after another on the same data: no notice twice. */
export function watchedTogether(reporter: Reporter, howToResume: string): ReturnType<typeof watchedBy> {
  const told = new Set<string>();
  const onNotice = (text: string): void => {
    if (!told.has(text)) reporter.notice(text);
    told.add(text);
  };
  return { ...watchedBy(reporter, howToResume), onNotice };
}
