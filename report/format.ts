// Numbers as people read them. Units follow a no-break space; the minus sign is U+2212.

/** Between a number and its unit. */
const space = '\u00a0';
const minus = '\u2212';

/** At least `digits` significant digits, never an exponent, whole digits kept: 0.4213 → 0.421, 1234.5 → 1235. */
export function significant(value: number, digits = 3): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  // Rounding may carry to the next power of ten (0.9996 → 1.00), so the exponent is read after it.
  const exponent = Number(
    Math.abs(value)
      .toExponential(digits - 1)
      .split('e')[1],
  );
  return value.toFixed(Math.min(20, Math.max(0, digits - 1 - exponent))).replace('-', minus);
}

/** A share 0–1 as a percentage without its sign, e.g. 71.2. */
export function percentNumber(share: number, decimals = 1): string {
  return (share * 100).toFixed(decimals);
}

/** A share 0–1 as `71.2 %`. */
export function percent(share: number, decimals = 1): string {
  return `${percentNumber(share, decimals)}${space}%`;
}

/** Time as `0.421 ms`. */
export function milliseconds(ms: number): string {
  return `${significant(ms)}${space}ms`;
}

/** A limit or setting as written by a person: no padded zeros, e.g. 2 → `2 ms`. */
export function milliseconds0(ms: number): string {
  return `${Number(ms.toPrecision(4))}${space}ms`;
}

/** A signed difference with one decimal, e.g. +2.1 or −0.3; zero carries no sign. */
export function signed(value: number, decimals = 1): string {
  const text = Math.abs(value).toFixed(decimals);
  if (Number(text) === 0) return text;
  return `${value < 0 ? minus : '+'}${text}`;
}

/** Large counts with three significant digits: 1234 → `1.23 k`, 5.3e6 → `5.30 M`. */
export function amount(value: number): string {
  for (const [size, prefix] of [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const)
    if (Math.abs(value) >= size * 0.9995) return `${significant(value / size)}${space}${prefix}`;
  return Number.isInteger(value) ? String(value) : significant(value);
}

/** Bytes in powers of 1024: `1.50 MiB`. */
export function byteSize(bytes: number): string {
  for (const [size, unit] of [
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
    [2 ** 10, 'KiB'],
  ] as const)
    if (bytes >= size) return `${significant(bytes / size)}${space}${unit}`;
  return `${bytes}${space}B`;
}

/** Wall time as its two largest units: `2 h 05 min`, `2 min 31 s`, `4.2 s`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)}${space}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${space}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}${space}min ${twoDigits(whole % 60)}${space}s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}${space}h ${twoDigits(minutes % 60)}${space}min`;
}

/** Whole number with thin groups of thousands: 12800 → `12 800`. */
export function grouped(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(?:\d{3})+$)/g, '\u202f');
}

/** Point in time as `2026-11-03 14:05 UTC`. */
export function utcMinute(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** The noun with its count: `1 trial`, `3 trials`. */
export function plural(count: number, singular: string, many = `${singular}s`): string {
  return `${count}${space}${count === 1 ? singular : many}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

/** A number as `format` writes it; `–` where there is none. */
export function optional(value: number | null | undefined, format: (value: number) => string): string {
  return value === undefined || value === null ? '–' : format(value);
}

/** Model names are file names: their end tells them apart. */
export function shortened(text: string, most: number): string {
  return text.length <= most ? text : `…${text.slice(1 - most)}`;
}
