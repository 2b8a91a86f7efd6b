import { ConfigError } from '../core/errors.ts';
import { type Multipliers, power } from './multipliers.ts';

/**
 * A fixed recipe for growing a base, without looking at the accelerator. φ = 0 is the base; every
 * multiplier grows with φ.
 */
export interface ScalingRule {
  readonly name: string;
  /** Nominal multipliers at size φ ≥ 0, any real number. */
  multipliers(phi: number): Multipliers;
}

/** EfficientNet's coefficients, found by a grid on B0 (Tan & Le 2019): FLOPs grow as 1.920^φ. */
export const efficientNetCoefficients: Multipliers = { depth: 1.2, width: 1.1, resolution: 1.15 };

/** EfficientNet-X's coefficients on a V100, derived from its released tables: FLOPs grow as 2^φ. */
export const efficientNetXGpuCoefficients: Multipliers = { depth: 1.3, width: 1.158, resolution: 1.0714 };

/** (α, β, γ)^φ. @throws {ConfigError} unless all are at least 1 and one is more. */
export function compoundRule(name: string, coefficients: Multipliers): ScalingRule {
  const { depth, width, resolution } = coefficients;
  const factors = [depth, width, resolution];
  if (!factors.every((factor) => Number.isFinite(factor) && factor >= 1) || factors.every((factor) => factor === 1))
    throw new ConfigError(
      `scaling rule ${name}: expected depth, width and resolution factors of at least 1, not all 1, got ${factors.join('/')}`,
    );
  return { name, multipliers: (phi) => power(coefficients, phi) };
}

/**
 * Fast scaling (Dollár et al. 2021): for a multiply-add multiple s and exponents e on depth, width and
 * resolution, d = s^(e_d/Σ), w = s^(e_w/2Σ), r = s^(e_r/2Σ), so that d·w²·r² = s.
 */
export function fastScaling(s: number, exponents: Multipliers): Multipliers {
  const sum = exponents.depth + exponents.width + exponents.resolution;
  return {
    depth: s ** (exponents.depth / sum),
    width: s ** (exponents.width / (2 * sum)),
    resolution: s ** (exponents.resolution / (2 * sum)),
  };
}

/** Exponents of `dWr`: mostly width (Dollár et al. 2021). */
export const dWrExponents: Multipliers = { depth: 1, width: 8, resolution: 1 };

/** Fast scaling as a rule, with s = 2^φ. */
export function fastScalingRule(name: string, exponents: Multipliers): ScalingRule {
  return { name, multipliers: (phi) => fastScaling(2 ** phi, exponents) };
}

/**
 * A rule by its name in a study file: `efficientnet` (1.2/1.1/1.15), `dWr`, or depth/width/resolution
 * coefficients such as `1.2/1.1/1.15`.
 * @throws {ConfigError} for anything else.
 */
export function parseRule(text: string): ScalingRule {
  if (text === 'efficientnet') return compoundRule(text, efficientNetCoefficients);
  if (text === 'dWr') return fastScalingRule(text, dWrExponents);
  const match = /^\s*(\d*\.?\d+)\s*\/\s*(\d*\.?\d+)\s*\/\s*(\d*\.?\d+)\s*$/.exec(text);
  if (match === null)
    throw new ConfigError(
      `scaling rule: expected efficientnet, dWr or depth/width/resolution such as 1.2/1.1/1.15, got ${JSON.stringify(text)}`,
    );
  const [depth, width, resolution] = match.slice(1).map(Number) as [number, number, number];
  return compoundRule(text.trim(), { depth, width, resolution });
}
