// Python: the functions that build a network in Keras, in the order in which a file has them.

const convNorm = `def conv_norm(x, width, kernel=1, stride=1, *, name, dilation=1, groups=1, activation=None):
    """Convolution with SAME padding, batch norm and, where it is given, an activation."""
    x = layers.Conv2D(
        width, kernel, stride, "same", dilation_rate=dilation, groups=groups, use_bias=False, name=f"{name}.conv"
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}.norm")(x)
    return layers.Activation(activation)(x) if activation else x`;

const depthwiseNorm = `def depthwise_norm(x, kernel, stride, *, name, dilation, activation):
    """The same of a convolution of each plane by itself."""
    x = layers.DepthwiseConv2D(
        kernel, stride, "same", dilation_rate=dilation, use_bias=False, name=f"{name}.conv"
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}.norm")(x)
    return layers.Activation(activation)(x)`;

const spaceToDepth = `def space_to_depth(x, block):
    """Blocks of pixels as channels: channel (i * block + j) * c + k is pixel (i, j) of plane k."""
    _, h, w, c = x.shape
    x = layers.Reshape((h // block, block, w // block, block, c))(x)
    return layers.Reshape((h // block, w // block, block * block * c))(layers.Permute((1, 3, 2, 4, 5))(x))`;

const squeezeExcite = `def squeeze_excite(x, squeezed, activation, gate, name):
    """Scales every channel by what two 1x1 convolutions make of all channels' means (Hu et al. 2018)."""
    means = layers.GlobalAveragePooling2D(keepdims=True)(x)
    scale = layers.Conv2D(squeezed, 1, activation=activation, name=f"{name}.squeeze")(means)
    scale = layers.Conv2D(x.shape[-1], 1, activation=gate, name=f"{name}.excite")(scale)
    return layers.Multiply()([x, scale])`;

const residual = `def residual(branch, shortcut, drop):
    """The sum; training leaves the branch out for some of the examples (Huang et al. 2016)."""
    if drop > 0:
        branch = layers.Dropout(drop, noise_shape=(None, 1, 1, 1))(branch)
    return layers.Add()([branch, shortcut])`;

const gateSettings = `squeezed=0, squeeze_activation=None, gate="sigmoid"`;

const mbconv = `def mbconv(
    inputs, expanded, width, activation, *, kernel, name, stride=1, dilation=1,
    ${gateSettings}, skip=False, drop=0.0,
):
    """1x1 expansion, depthwise convolution, squeeze-excite, 1x1 projection (Sandler et al. 2018, Tan & Le 2019)."""
    x = inputs
    if expanded != x.shape[-1]:
        x = conv_norm(x, expanded, activation=activation, name=f"{name}.expand")
    x = depthwise_norm(x, kernel, stride, dilation=dilation, activation=activation, name=f"{name}.depthwise")
    if squeezed:
        x = squeeze_excite(x, squeezed, squeeze_activation or activation, gate, f"{name}.squeeze_excite")
    x = conv_norm(x, width, name=f"{name}.project")
    return residual(x, inputs, drop) if skip else x`;

const fusedMbconv = `def fused_mbconv(
    inputs, expanded, width, activation, *, kernel, name, stride=1, dilation=1,
    ${gateSettings}, project=True, project_stride=1, skip=False, drop=0.0,
):
    """Dense convolution to the expanded width, squeeze-excite, 1x1 projection (Gupta & Akin 2020, Tan & Le 2021)."""
    x = conv_norm(inputs, expanded, kernel, stride, dilation=dilation, activation=activation, name=f"{name}.fused")
    if squeezed:
        x = squeeze_excite(x, squeezed, squeeze_activation or activation, gate, f"{name}.squeeze_excite")
    if project:
        x = conv_norm(x, width, stride=project_stride, name=f"{name}.project")
    return residual(x, inputs, drop) if skip else x`;

const shortcutOf = `def shortcut_of(x, width, stride, kind, name):
    """What a branch is added to: the input, in the branch's shape."""
    if kind is None:
        return x
    if kind == "average_pool" and stride > 1:
        x, stride = layers.AveragePooling2D(stride, padding="same")(x), 1
    return conv_norm(x, width, stride=stride, name=f"{name}.shortcut")`;

const basicBlock = `def basic_block(inputs, width, activation, *, kernel, name, stride=1, dilation=1, shortcut=None, drop=0.0):
    """Two convolutions and a shortcut (He et al. 2016)."""
    x = conv_norm(inputs, width, kernel, stride, dilation=dilation, activation=activation, name=f"{name}.first")
    x = conv_norm(x, width, kernel, dilation=dilation, name=f"{name}.second")
    return layers.Activation(activation)(residual(x, shortcut_of(inputs, width, stride, shortcut, name), drop))`;

const bottleneck = `def bottleneck(
    inputs, inner, width, activation, *, kernel, name, stride=1, dilation=1, groups=1,
    ${gateSettings}, shortcut=None, drop=0.0,
):
    """1x1, k x k and 1x1 convolution and a shortcut (He et al. 2016; with groups, Radosavovic et al. 2020)."""
    x = conv_norm(inputs, inner, activation=activation, name=f"{name}.reduce")
    if groups == inner > 1:
        x = depthwise_norm(x, kernel, stride, dilation=dilation, activation=activation, name=f"{name}.spatial")
    else:
        x = conv_norm(
            x, inner, kernel, stride, dilation=dilation, groups=groups, activation=activation, name=f"{name}.spatial"
        )
    if squeezed:
        x = squeeze_excite(x, squeezed, squeeze_activation or activation, gate, f"{name}.squeeze_excite")
    x = conv_norm(x, width, name=f"{name}.expand")
    return layers.Activation(activation)(residual(x, shortcut_of(inputs, width, stride, shortcut, name), drop))`;

/** What networks are built by in Keras, by name; each stands behind what it uses. */
export const kerasFunctions: Readonly<Record<string, string>> = {
  conv_norm: convNorm,
  depthwise_norm: depthwiseNorm,
  space_to_depth: spaceToDepth,
  squeeze_excite: squeezeExcite,
  residual,
  mbconv,
  fused_mbconv: fusedMbconv,
  shortcut_of: shortcutOf,
  basic_block: basicBlock,
  bottleneck,
};
