/**
 * Channels to the nearest multiple of `divisor`, at least one of them, and never more than 10 % below what was
 * asked: `round_filters` of the EfficientNet release, `make_divisible` of the MobileNets'.
 */
export function roundChannels(wanted: number, divisor = 8): number {
  const rounded = Math.max(divisor, Math.floor((wanted + divisor / 2) / divisor) * divisor);
  return rounded < 0.9 * wanted ? rounded + divisor : rounded;
}
