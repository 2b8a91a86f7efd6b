import { polynomialFit } from '../../core/least-squares.ts';
import type { AllocationTuple, Confirmed, ParamsCount } from './law.ts';

/**
 * An allocation mapping of two power laws, its parameters (k_N, a, k_D, b): N = k_N·C^a, D = k_D·C^b, C in training FLOPs.
 * Fitted apart, a and b need not sum to 1, and 6·N·D misses C by a little.
 */
export interface PowerLaw {
  readonly paramsCoefficient: number;
  readonly paramsExponent: number;
  readonly dataCoefficient: number;
  readonly dataExponent: number;
}

/** A power law that somebody published. */
export interface PublishedPowerLaw extends PowerLaw {
  readonly name: string;
  readonly source: string;
  readonly confirmed: Confirmed;
  readonly paramsCount: ParamsCount;
}

/** The allocation tuple of a compute budget in FLOPs. */
export function allocateByPowerLaw(law: PowerLaw, flops: number): AllocationTuple {
  return {
    params: law.paramsCoefficient * flops ** law.paramsExponent,
    data: law.dataCoefficient * flops ** law.dataExponent,
  };
}

/** Power laws through optima, by least squares in logarithms, N and D apart. At least two budgets. */
export function powerLawThrough(optima: readonly (AllocationTuple & { readonly flops: number })[]): PowerLaw {
  const logFlops = optima.map(({ flops }) => Math.log(flops));
  const fit = (values: readonly number[]) => polynomialFit(logFlops, values.map(Math.log), 1) as [number, number];
  const [kN, a] = fit(optima.map(({ params }) => params));
  const [kD, b] = fit(optima.map(({ data }) => data));
  return { paramsCoefficient: Math.exp(kN), paramsExponent: a, dataCoefficient: Math.exp(kD), dataExponent: b };
}
