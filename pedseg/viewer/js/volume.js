// Volumes in the browser: voxels with x fastest, a slice out of them, packed bits, and the sides of the patient.

const PLANES = ["axial", "coronal", "sagittal"];
const AXES = [[2, 0, 1], [1, 0, 2], [0, 1, 2]]; // of each plane: the axis through it, across and up

// One slice of a box of voxels as an array of its own, across fastest; `box` is [x, y, z, width, depth, height].
function cutSlice(voxels, box, plane, index) {
  const [axis, across, up] = AXES[plane], size = box.slice(3), steps = [1, size[0], size[0] * size[1]];
  const k = index - box[axis];
  if (k < 0 || k >= size[axis]) return null;
  const width = size[across], height = size[up], start = k * steps[axis];
  if (plane === 0) return { values: voxels.subarray(start, start + width * height), width, height };
  const values = new voxels.constructor(width * height);
  for (let v = 0; v < height; v++) {
    let from = start + v * steps[up];
    for (let u = 0; u < width; u++, from += steps[across]) values[v * width + u] = voxels[from];
  }
  return { values, width, height };
}

function bytesOf(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

async function inflate(view) {
  const stream = new Blob([bytesOf(view)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Eight voxels a byte, the first in the lowest bit, as NumPy's `packbits(bitorder="little")`.
function packBits(mask) {
  const bits = new Uint8Array((mask.length + 7) >> 3);
  for (let k = 0; k < mask.length; k++) if (mask[k]) bits[k >> 3] |= 1 << (k & 7);
  return bits;
}

// The sides of the patient that a direction (right, anterior, superior) points to, the main one first.
function sideLetters(direction) {
  const letters = direction.map((part, axis) => [Math.abs(part), ["LR", "PA", "IS"][axis][part > 0 ? 1 : 0]]);
  return letters.filter(([size]) => size > 0.38).sort((a, b) => b[0] - a[0]).map(([, letter]) => letter).join("");
}
