/** Least and greatest of values, however many: as arguments of `Math.min` some hundred thousand overflow the stack. */
export function extent(values: readonly number[]): readonly [least: number, greatest: number] {
  let [least, greatest] = [Infinity, -Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  return [least, greatest];
}
