import { normEpsilon } from '../models/build-transformer.ts';
import type { TransformerSpec } from '../models/transformer.ts';
import { pythonFile } from './python-text.ts';
import { sourceDocstring, type SourceOptions, torchCheck, torchLoad } from './source.ts';

/** A transformer as one file of PyTorch source: `attention`, `feed_forward` and `Network`. */
export function transformerSource(spec: TransformerSpec, options: SourceOptions): string {
  const { layers, heads, width, vocabulary, context, feedForward, gated, biases, tiedHead, learnedPositions } = spec;
  const imports = options.withWeights
    ? 'import sys\nfrom pathlib import Path\n\nimport torch\nfrom safetensors.torch import load_file\nfrom torch import Tensor, nn\nfrom torch.nn import functional as F'
    : 'import torch\nfrom torch import Tensor, nn\nfrom torch.nn import functional as F';
  const bias = biases ? 'True' : 'False';
  const norm =
    spec.norm === 'rms-norm'
      ? `nn.RMSNorm(WIDTH, eps=${normEpsilon})`
      : `nn.LayerNorm(WIDTH, eps=${normEpsilon}, bias=${bias})`;
  const attention = `class Attention(nn.Module):
    """x + attention(norm(x)); a position sees itself and those before it (Vaswani et al. 2017)."""

    def __init__(self):
        super().__init__()
        self.norm = ${norm}
        self.query = nn.Linear(WIDTH, WIDTH, bias=${bias})
        self.key = nn.Linear(WIDTH, WIDTH, bias=${bias})
        self.value = nn.Linear(WIDTH, WIDTH, bias=${bias})
        self.output = nn.Linear(WIDTH, WIDTH, bias=${bias})

    def forward(self, x: Tensor) -> Tensor:
        n, positions, _ = x.shape
        normed = self.norm(x)
        q, k, v = (
            part(normed).view(n, positions, HEADS, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.output(mixed.transpose(1, 2).reshape(n, positions, WIDTH))`;
  const feedForwardClass = `class FeedForward(nn.Module):
    """x + ${gated ? 'down(silu(gate(y)) * up(y)) with y = norm(x) (SwiGLU, Shazeer 2020)' : 'down(gelu(up(norm(x))))'}."""

    def __init__(self):
        super().__init__()
        self.norm = ${norm}
        self.up = nn.Linear(WIDTH, FEED_FORWARD, bias=${bias})${gated ? `\n        self.gate = nn.Linear(WIDTH, FEED_FORWARD, bias=${bias})` : ''}
        self.down = nn.Linear(FEED_FORWARD, WIDTH, bias=${bias})

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        return x + self.down(${gated ? 'F.silu(self.gate(normed)) * self.up(normed)' : 'F.gelu(self.up(normed))'})`;
  const layer = `class Layer(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a residual connection."""

    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.feed_forward = FeedForward()

    def forward(self, x: Tensor) -> Tensor:
        return self.feed_forward(self.attention(x))`;
  const network = `class Network(nn.Module):
    """Tokens \`[n, positions]\` int64, ${context} positions at most, to logits \`[n, positions, ${vocabulary}]\` of the next."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(${vocabulary}, WIDTH)${learnedPositions ? `\n        self.positions = nn.Embedding(${context}, WIDTH)` : ''}
        self.layers = nn.Sequential(*(Layer() for _ in range(${layers})))
        self.final_norm = ${norm}${tiedHead ? '' : `\n        self.head = nn.Linear(WIDTH, ${vocabulary}, bias=False)`}

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)${learnedPositions ? ' + self.positions.weight[: tokens.shape[1]]' : ''}
        x = self.final_norm(self.layers(x))
        return ${tiedHead ? 'F.linear(x, self.embedding.weight)' : 'self.head(x)'}`;
  const constants = `WIDTH = ${width}\nHEADS = ${heads}\nFEED_FORWARD = ${feedForward}`;
  return pythonFile([
    `${sourceDocstring(spec, options.withWeights ? 'torch, and safetensors to load the weights' : 'torch')}\n\n${imports}\n\n${constants}`,
    attention,
    feedForwardClass,
    layer,
    network,
    options.withWeights && torchLoad('Network()', 'Network'),
    options.withWeights && torchCheck('expected["tokens"].long()', options),
  ]);
}
