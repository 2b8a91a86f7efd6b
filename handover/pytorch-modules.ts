// Python: the source that a hand-over holds, in the order in which a file has it.

const samePadding = `def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after an axis that make its extent ceil(size / stride); an odd one stands after."""
    reach = (math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1
    total = max(0, reach - size)
    return total // 2, total - total // 2`;

const conv2d = `class Conv2d(nn.Conv2d):
    """A convolution without bias and with SAME padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, dilation=dilation, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        settings = self.kernel_size[0], self.stride[0], self.dilation[0]
        top, bottom = same_padding(x.shape[2], *settings)
        left, right = same_padding(x.shape[3], *settings)
        padding = top, left
        if padding != (bottom, right):
            x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
        return F.conv2d(x, self.weight, None, self.stride, padding, self.dilation, self.groups)`;

const convNorm = `class ConvNorm(nn.Module):
    """Convolution, batch norm and, where it is given, an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        dilation: int = 1,
        groups: int = 1,
        activation: type[nn.Module] = nn.Identity,
    ):
        super().__init__()
        self.conv = Conv2d(inputs, outputs, kernel, stride, dilation, groups)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))`;

const maxPool = `def max_pool(x: Tensor, kernel: int, stride: int) -> Tensor:
    """The largest value of each window with SAME padding, which never is the largest."""
    top, bottom = same_padding(x.shape[2], kernel, stride)
    left, right = same_padding(x.shape[3], kernel, stride)
    return F.max_pool2d(F.pad(x, (left, right, top, bottom), value=-math.inf), kernel, stride)`;

const averagePool = `def average_pool(x: Tensor, stride: int) -> Tensor:
    """The mean of each window with SAME padding, which is not counted."""
    top, bottom = same_padding(x.shape[2], stride, stride)
    left, right = same_padding(x.shape[3], stride, stride)
    pads = (left, right, top, bottom)
    counted = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), pads), stride)
    return F.avg_pool2d(F.pad(x, pads), stride) / counted`;

const spaceToDepth = `def space_to_depth(x: Tensor, block: int) -> Tensor:
    """Blocks of pixels as channels: channel (i * block + j) * c + k is pixel (i, j) of plane k."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * block**2, h // block, w // block)`;

const pooledConvNorm = `class PooledConvNorm(ConvNorm):
    """A shortcut that averages before its 1x1 convolution (ResNet-D)."""

    def __init__(self, inputs: int, outputs: int, *, pool: int):
        super().__init__(inputs, outputs)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(average_pool(x, self.pool))`;

const squeezeExcite = `class SqueezeExcite(nn.Module):
    """Scales every channel by what two 1x1 convolutions make of all channels' means (Hu et al. 2018)."""

    def __init__(self, channels: int, squeezed: int, activation: type[nn.Module], gate: type[nn.Module]):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.excite = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.excite(self.activation(self.squeeze(means))))


def squeeze_excite(
    channels: int, squeezed: int, activation: type[nn.Module], gate: type[nn.Module]
) -> SqueezeExcite | nn.Identity:
    return SqueezeExcite(channels, squeezed, activation, gate) if squeezed > 0 else nn.Identity()`;

const stochasticDepth = `class StochasticDepth(nn.Module):
    """Leaves a residual branch out for some of the examples, in training only (Huang et al. 2016)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)`;

const mbconv = `class MBConv(nn.Module):
    """1x1 expansion, depthwise convolution, squeeze-excite, 1x1 projection (Sandler et al. 2018, Tan & Le 2019)."""

    def __init__(
        self,
        inputs: int,
        expanded: int,
        outputs: int,
        activation: type[nn.Module],
        *,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        squeezed: int = 0,
        squeeze_activation: type[nn.Module] | None = None,
        gate: type[nn.Module] = nn.Sigmoid,
        skip: bool = False,
        drop: float = 0.0,
    ):
        super().__init__()
        self.expand = ConvNorm(inputs, expanded, activation=activation) if expanded != inputs else nn.Identity()
        self.depthwise = ConvNorm(
            expanded, expanded, kernel, stride, dilation=dilation, groups=expanded, activation=activation
        )
        self.squeeze_excite = squeeze_excite(expanded, squeezed, squeeze_activation or activation, gate)
        self.project = ConvNorm(expanded, outputs)
        self.drop = StochasticDepth(drop)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        branch = self.project(self.squeeze_excite(self.depthwise(self.expand(x))))
        return x + self.drop(branch) if self.skip else branch`;

const fusedMbconv = `class FusedMBConv(nn.Module):
    """Dense convolution to the expanded width, squeeze-excite, 1x1 projection (Gupta & Akin 2020, Tan & Le 2021)."""

    def __init__(
        self,
        inputs: int,
        expanded: int,
        outputs: int,
        activation: type[nn.Module],
        *,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        squeezed: int = 0,
        squeeze_activation: type[nn.Module] | None = None,
        gate: type[nn.Module] = nn.Sigmoid,
        project: bool = True,
        project_stride: int = 1,
        skip: bool = False,
        drop: float = 0.0,
    ):
        super().__init__()
        self.fused = ConvNorm(inputs, expanded, kernel, stride, dilation=dilation, activation=activation)
        self.squeeze_excite = squeeze_excite(expanded, squeezed, squeeze_activation or activation, gate)
        self.project = ConvNorm(expanded, outputs, stride=project_stride) if project else nn.Identity()
        self.drop = StochasticDepth(drop)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        branch = self.project(self.squeeze_excite(self.fused(x)))
        return x + self.drop(branch) if self.skip else branch`;

const basicBlock = `class BasicBlock(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: type[nn.Module],
        *,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        shortcut: nn.Module | None = None,
        drop: float = 0.0,
    ):
        super().__init__()
        self.first = ConvNorm(inputs, outputs, kernel, stride, dilation=dilation, activation=activation)
        self.second = ConvNorm(outputs, outputs, kernel, dilation=dilation)
        self.drop = StochasticDepth(drop)
        self.shortcut = shortcut or nn.Identity()
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.drop(self.second(self.first(x))) + self.shortcut(x))`;

const bottleneck = `class Bottleneck(nn.Module):
    """1x1, k x k and 1x1 convolution and a shortcut (He et al. 2016; with groups, Radosavovic et al. 2020)."""

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        activation: type[nn.Module],
        *,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        squeezed: int = 0,
        squeeze_activation: type[nn.Module] | None = None,
        gate: type[nn.Module] = nn.Sigmoid,
        shortcut: nn.Module | None = None,
        drop: float = 0.0,
    ):
        super().__init__()
        self.reduce = ConvNorm(inputs, inner, activation=activation)
        self.spatial = ConvNorm(
            inner, inner, kernel, stride, dilation=dilation, groups=groups, activation=activation
        )
        self.squeeze_excite = squeeze_excite(inner, squeezed, squeeze_activation or activation, gate)
        self.expand = ConvNorm(inner, outputs)
        self.drop = StochasticDepth(drop)
        self.shortcut = shortcut or nn.Identity()
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.expand(self.squeeze_excite(self.spatial(self.reduce(x))))
        return self.activation(self.drop(branch) + self.shortcut(x))`;

/** What networks of pictures are made of in PyTorch, by name; each stands behind what it uses. */
export const pytorchModules: Readonly<Record<string, string>> = {
  same_padding: samePadding,
  Conv2d: conv2d,
  ConvNorm: convNorm,
  max_pool: maxPool,
  average_pool: averagePool,
  space_to_depth: spaceToDepth,
  PooledConvNorm: pooledConvNorm,
  squeeze_excite: squeezeExcite,
  StochasticDepth: stochasticDepth,
  MBConv: mbconv,
  FusedMBConv: fusedMbconv,
  BasicBlock: basicBlock,
  Bottleneck: bottleneck,
};
