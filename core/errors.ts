import type { InfeasibleReason } from './trial.ts';

/**
 * What went wrong, for programs (`code`), for queues (`retry`) and for people (`message`).
 * Messages follow one template: where, what was expected, what was got.
 */
export abstract class RidgepointError extends Error {
  /** Stable across versions and processes; match this, never the text. */
  abstract readonly code: string;
  /** Whether the same call may succeed later without the user changing anything. */
  readonly retry: boolean = false;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A study file, flag, spec or other input written by a person is wrong. CLI exit code 2. */
export class ConfigError extends RidgepointError {
  readonly code = 'config';
}

/** A file of data, a model or a journal does not hold what its format promises. CLI exit code 2. */
export class InvalidFileError extends RidgepointError {
  readonly code = 'invalid-file';
}

/** No network can meet the limit asked for; the message names the nearest that was found. CLI exit code 4. */
export class UnreachableLimitError extends RidgepointError {
  readonly code = 'unreachable-limit';
}

/** A target cannot run this network: too large for it, or with an operator it lacks. The network's fault, not the machine's. CLI exit code 2. */
export class InfeasibleModelError extends RidgepointError {
  readonly code = 'infeasible-model';
  readonly reason: InfeasibleReason;
  readonly limit: number | undefined;
  readonly observed: number | undefined;

  constructor(message: string, about: Inability & { readonly cause?: unknown }) {
    super(message, about.cause === undefined ? undefined : { cause: about.cause });
    this.reason = about.reason;
    this.limit = about.limit;
    this.observed = about.observed;
  }
}

/** Why a target cannot run a network, and by how much where that is a number. */
interface Inability {
  readonly reason: InfeasibleReason;
  readonly limit?: number | undefined;
  readonly observed?: number | undefined;
}

/** The machine, a driver or a child process failed, not the candidate. CLI exit code 5. */
export class EnvironmentError extends RidgepointError {
  readonly code: string;
  override readonly retry: boolean;

  /** @param options.code a finer code than `environment`, e.g. one that came from another process. */
  constructor(message: string, options?: { cause?: unknown; retry?: boolean; code?: string }) {
    super(message, options);
    this.code = options?.code ?? 'environment';
    this.retry = options?.retry ?? false;
  }
}

/** The user pressed Ctrl-C or the caller aborted. CLI exit code 130. */
export class InterruptedError extends RidgepointError {
  readonly code = 'interrupted';
  override readonly retry = true;
}

/** An error as plain data, so that it survives process and queue boundaries. */
export interface WireError {
  readonly name: string;
  readonly code: string;
  readonly retry: boolean;
  readonly message: string;
  /** Of an {@link InfeasibleModelError}. */
  readonly inability?: Inability;
}

/** Any thrown value as data; foreign errors get the code `unexpected`. */
export function toWire(error: unknown): WireError {
  if (error instanceof InfeasibleModelError) {
    const { name, code, retry, message, reason, limit, observed } = error;
    return { name, code, retry, message, inability: { reason, limit, observed } };
  }
  if (error instanceof RidgepointError)
    return { name: error.name, code: error.code, retry: error.retry, message: error.message };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { name: 'Error', code: 'unexpected', retry: false, message };
}

/** The error a {@link WireError} stood for; other codes come back as {@link EnvironmentError} that keeps them. */
export function fromWire(wire: WireError): RidgepointError {
  switch (wire.code) {
    case 'config':
      return new ConfigError(wire.message);
    case 'invalid-file':
      return new InvalidFileError(wire.message);
    case 'infeasible-model':
      return new InfeasibleModelError(wire.message, wire.inability ?? { reason: 'unsupported' });
    case 'unreachable-limit':
      return new UnreachableLimitError(wire.message);
    case 'interrupted':
      return new InterruptedError(wire.message);
    default:
      return new EnvironmentError(wire.message, { retry: wire.retry, code: wire.code });
  }
}
