import type { PreprocessingFile } from './manifest.ts';

// The two programs of a bundle: short, whole, and reading the bundle’s own files.

/** Node: classifies a picture, or for channels that no image library knows a file of bytes, channel first. */
export function nodeProgram({ input, picture }: PreprocessingFile): string {
  const isPicture = input.channelOrder !== 'as-stored';
  const colours = input.channelOrder === 'RGB' ? 'srgb' : 'b-w';
  const fit = picture.crop === 'centre-square' ? 'cover' : 'fill';
  const read = isPicture
    ? `const image = sharp(process.argv[2]).autoOrient().flatten({ background: '#000' }).toColourspace('${colours}');
const size = { width, height, fit: '${fit}', kernel: 'linear' };
const pixels = await image.resize(size).removeAlpha().raw().toBuffer(); // row, column, channel`
    : 'const pixels = readFileSync(process.argv[2]); // bytes: channel, row, column';
  const index = isPicture ? '(i % plane) * channels + c' : 'i';
  return `// Classifies a ${isPicture ? 'picture: node run.mjs picture.jpg' : 'file of bytes: node run.mjs pixels.bin'}
// Needs: npm install onnxruntime-node${isPicture ? ' sharp' : ''}
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ort from 'onnxruntime-node';
${isPicture ? "import sharp from 'sharp';\n" : ''}
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const json = (name) => JSON.parse(readFileSync(path(name), 'utf8'));
const { input, mean, std } = json('preprocessing.json');
const { channels, height, width } = input;
const plane = height * width;
${read}
const values = Float32Array.from({ length: channels * plane }, (_, i) => {
  const c = Math.floor(i / plane);
  return (pixels[${index}] / 255 - mean[c]) / std[c];
});
const session = await ort.InferenceSession.create(path('model.onnx'));
const { logits } = await session.run({ image: new ort.Tensor('float32', values, [1, channels, height, width]) });
const best = logits.data.indexOf(Math.max(...logits.data));
console.log(JSON.stringify({ label: json('labels.json')[best], index: best, logit: logits.data[best] }));
`;
}

/** Python: the same. Pillow’s BILINEAR is the filter of training, to the bit. */
export function pythonProgram({ input, picture }: PreprocessingFile): string {
  const isPicture = input.channelOrder !== 'as-stored';
  const mode = input.channelOrder === 'RGB' ? 'RGB' : 'L';
  const crop =
    picture.crop === 'centre-square'
      ? `side = min(picture.size)
left, top = (picture.width - side) // 2, (picture.height - side) // 2
picture = picture.crop((left, top, left + side, top + side))
`
      : '';
  const read = isPicture
    ? `picture = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGBA")
picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture).convert("${mode}")
${crop}pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)
pixels = pixels.reshape(height, width, channels).transpose(2, 0, 1)`
    : `pixels = np.fromfile(sys.argv[1], np.uint8).astype(np.float32).reshape(channels, height, width)`;
  return `"""Classifies a ${isPicture ? 'picture: python run.py picture.jpg' : 'file of bytes, channel first: python run.py pixels.bin'}

Needs: pip install onnxruntime numpy${isPicture ? ' pillow' : ''}
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
${isPicture ? 'from PIL import Image, ImageOps\n' : ''}
here = Path(__file__).parent
settings = json.loads((here / "preprocessing.json").read_text())
labels = json.loads((here / "labels.json").read_text())
channels, height, width = (settings["input"][key] for key in ("channels", "height", "width"))
${read}
mean, std = (np.array(settings[key], np.float32).reshape(-1, 1, 1) for key in ("mean", "std"))
session = onnxruntime.InferenceSession(here / "model.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(["logits"], {"image": ((pixels / 255 - mean) / std)[None]})
best = int(logits[0].argmax())
print(json.dumps({"label": labels[best], "index": best, "logit": float(logits[0, best])}))
`;
}
