import { normEpsilon } from '../models/build-transformer.ts';
import type { TransformerSpec } from '../models/transformer.ts';
import { pythonFile } from './python-text.ts';
import { sourceDocstring, type SourceOptions, torchCheck, torchImports, torchLoad, torchNeeds } from './source.ts';

/** A transformer as one file of PyTorch source: `Attention`, `FeedForward`, `Layer` and `Network`. */
export function transformerSource(spec: TransformerSpec, options: SourceOptions): string {
  const { width, heads, feedForward } = spec;
  const constants = `WIDTH = ${width}\nHEADS = ${heads}\nFEED_FORWARD = ${feedForward}`;
  return pythonFile([
    `${sourceDocstring(spec, torchNeeds(options))}\n\n${torchImports(options)}\n\n${constants}`,
    attentionClass(spec),
    feedForwardClass(spec),
    layerClass,
    networkClass(spec),
    options.withWeights && torchLoad('Network()', 'Network'),
    options.withWeights && torchCheck('expected["tokens"].long()', options),
  ]);
}

function normOf({ norm, biases }: TransformerSpec): string {
  if (norm === 'rms-norm') return `nn.RMSNorm(WIDTH, eps=${normEpsilon})`;
  return `nn.LayerNorm(WIDTH, eps=${normEpsilon}, bias=${biases ? 'True' : 'False'})`;
}

/** Lines of a constructor: a matrix with or without a bias by each name. */
function linears({ biases }: TransformerSpec, from: string, to: string, names: readonly string[]): string {
  return names
    .map((name) => `        self.${name} = nn.Linear(${from}, ${to}, bias=${biases ? 'True' : 'False'})`)
    .join('\n');
}

function attentionClass(spec: TransformerSpec): string {
  return `class Attention(nn.Module):
    """x + attention(norm(x)); a position sees itself and those before it (Vaswani et al. 2017)."""

    def __init__(self):
        super().__init__()
        self.norm = ${normOf(spec)}
${linears(spec, 'WIDTH', 'WIDTH', ['query', 'key', 'value', 'output'])}

    def forward(self, x: Tensor) -> Tensor:
        n, positions, _ = x.shape
        normed = self.norm(x)
        q, k, v = (
            part(normed).view(n, positions, HEADS, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.output(mixed.transpose(1, 2).reshape(n, positions, WIDTH))`;
}

function feedForwardClass(spec: TransformerSpec): string {
  const { gated } = spec;
  return `class FeedForward(nn.Module):
    """x + ${gated ? 'down(silu(gate(y)) * up(y)) with y = norm(x) (SwiGLU, Shazeer 2020)' : 'down(gelu(up(norm(x))))'}."""

    def __init__(self):
        super().__init__()
        self.norm = ${normOf(spec)}
${linears(spec, 'WIDTH', 'FEED_FORWARD', gated ? ['up', 'gate'] : ['up'])}
${linears(spec, 'FEED_FORWARD', 'WIDTH', ['down'])}

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        return x + self.down(${gated ? 'F.silu(self.gate(normed)) * self.up(normed)' : 'F.gelu(self.up(normed))'})`;
}

const layerClass = `class Layer(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a residual connection."""

    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.feed_forward = FeedForward()

    def forward(self, x: Tensor) -> Tensor:
        return self.feed_forward(self.attention(x))`;

function networkClass(spec: TransformerSpec): string {
  const { layers, vocabulary, context, tiedHead, learnedPositions } = spec;
  return `class Network(nn.Module):
    """Tokens \`[n, positions]\` int64, ${context} positions at most, to logits \`[n, positions, ${vocabulary}]\` of the next."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(${vocabulary}, WIDTH)${learnedPositions ? `\n        self.positions = nn.Embedding(${context}, WIDTH)` : ''}
        self.layers = nn.Sequential(*(Layer() for _ in range(${layers})))
        self.final_norm = ${normOf(spec)}${tiedHead ? '' : `\n        self.head = nn.Linear(WIDTH, ${vocabulary}, bias=False)`}

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)${learnedPositions ? ' + self.positions.weight[: tokens.shape[1]]' : ''}
        x = self.final_norm(self.layers(x))
        return ${tiedHead ? 'F.linear(x, self.embedding.weight)' : 'self.head(x)'}`;
}
