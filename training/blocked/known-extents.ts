/** How a convolution's windows lie, as ONNX writes it; its defaults where absent. */
export interface Windows {
  readonly strides?: readonly number[];
  readonly dilations?: readonly number[];
  readonly pads?: readonly number[];
}

/** Operators of operands of equal extents, or of scalars beside them. */
const elementwise: ReadonlySet<string> = new Set(
  'Add Sub Mul Max Neg Pow Relu Clip Sigmoid HardSigmoid QuickGelu'.split(' '),
);

/** Extents of ONNX values as far as they follow from what is known, so that views that change nothing can be left out. */
export class KnownExtents {
  readonly #extents = new Map<string, readonly number[]>();

  of(value: string): readonly number[] | undefined {
    return this.#extents.get(value);
  }

  set(value: string, extents: readonly number[]): void {
    this.#extents.set(value, extents);
  }

  /** Notes those of an operator's output. */
  derive(value: string, opType: string, inputs: readonly string[]): void {
    if (!elementwise.has(opType)) return;
    const [first, ...others] = inputs.map((input) => this.of(input)).filter((extents) => extents?.length !== 0);
    if (first && others.every((extents) => extents?.join() === first.join())) this.set(value, first);
  }

  /** Notes those of a pool over whole planes. */
  derivePooled(value: string, image: string): void {
    const extents = this.of(image);
    if (extents) this.set(value, [...extents.slice(0, 2), 1, 1]);
  }

  /** Notes those of a convolution's output. */
  deriveConvolved(value: string, image: string, weights: string, windows: Windows): void {
    const { strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0] } = windows;
    const [batch, , ...plane] = this.of(image) ?? [];
    const [out, , ...kernel] = this.of(weights) ?? [];
    if (batch === undefined || out === undefined) return;
    const extents = plane.map((extent, axis) => {
      const span = ((kernel[axis] as number) - 1) * (dilations[axis] as number) + 1;
      const whole = extent + (pads[axis] as number) + (pads[axis + 2] as number);
      return Math.floor((whole - span) / (strides[axis] as number)) + 1;
    });
    this.set(value, [batch, out, ...extents]);
  }
}
