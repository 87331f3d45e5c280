// Label maps in the browser: the boxes of their organs, and organ surfaces.

// A label map with the box of every organ: { labels, dims, boxes: Map(organ id -> [[low, high] per axis]) }.
export function labelMap(labels, dims) {
  const boxes = new Map();
  for (let z = 0, i = 0; z < dims[2]; z++) {
    for (let y = 0; y < dims[1]; y++) {
      for (let x = 0; x < dims[0]; x++, i++) {
        const organ = labels[i];
        if (!organ) continue;
        if (!boxes.has(organ)) boxes.set(organ, [[x, x], [y, y], [z, z]]);
        boxes.get(organ).forEach((ends, axis) => {
          const place = [x, y, z][axis];
          if (place < ends[0]) ends[0] = place;
          if (place > ends[1]) ends[1] = place;
        });
      }
    }
  }
  return { labels, dims, boxes };
}

// The surface of one organ in millimeters (naive surface nets, then smoothed): { points, triangles }.
export function surface({ labels, dims, boxes }, organ, spacing, smoothings = 12) {
  const low = boxes.get(organ).map(([a]) => a - 1), size = boxes.get(organ).map(([a, b]) => b - a + 2);
  const inside = (x, y, z) => x >= 0 && y >= 0 && z >= 0 && x < dims[0] && y < dims[1] && z < dims[2]
    && labels[x + dims[0] * (y + dims[1] * z)] === organ;
  const vertex = new Int32Array(size[0] * size[1] * size[2]).fill(-1), at = (x, y, z) => x + size[0] * (y + size[1] * z);
  const points = [], quads = [];
  for (let z = 0; z < size[2]; z++) for (let y = 0; y < size[1]; y++) for (let x = 0; x < size[0]; x++) {
    let count = 0;
    for (let k = 0; k < 8; k++) count += inside(low[0] + x + (k & 1), low[1] + y + (k >> 1 & 1), low[2] + z + (k >> 2));
    if (count === 0 || count === 8) continue;
    vertex[at(x, y, z)] = points.length / 3; // of the cell between eight voxels, in its middle
    points.push(low[0] + x + 0.5, low[1] + y + 0.5, low[2] + z + 0.5);
  }
  const units = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  for (let z = 0; z < size[2]; z++) for (let y = 0; y < size[1]; y++) for (let x = 0; x < size[0]; x++) {
    const here = inside(low[0] + x, low[1] + y, low[2] + z);
    units.forEach((unit, axis) => {
      if (here === inside(low[0] + x + unit[0], low[1] + y + unit[1], low[2] + z + unit[2])) return;
      const u = units[(axis + 1) % 3], v = units[(axis + 2) % 3]; // four cells share the edge between the two voxels
      const cell = (i, j) => vertex[at(...[x, y, z].map((c, k) => c - i * u[k] - j * v[k]))];
      const quad = [cell(0, 0), cell(1, 0), cell(1, 1), cell(0, 1)];
      quads.push(here ? quad : quad.reverse());
    });
  }
  const smooth = relaxed(Float32Array.from(points), quads, smoothings);
  for (let i = 0; i < smooth.length; i++) smooth[i] *= spacing[i % 3];
  return { points: smooth, triangles: Uint32Array.from(quads.flatMap(([a, b, c, d]) => [a, b, c, a, c, d])) };
}

// Taubin's smoothing: every vertex towards the mean of its neighbors and back a little, so that nothing shrinks.
function relaxed(points, quads, rounds) {
  const sums = new Float32Array(points.length), counts = new Uint16Array(points.length / 3);
  for (let round = 0; round < 2 * rounds; round++) {
    sums.fill(0);
    counts.fill(0);
    for (const quad of quads) {
      quad.forEach((from, k) => {
        const to = quad[(k + 1) % 4];
        for (const [a, b] of [[from, to], [to, from]]) {
          counts[a]++;
          for (let axis = 0; axis < 3; axis++) sums[3 * a + axis] += points[3 * b + axis];
        }
      });
    }
    const step = round % 2 ? -0.53 : 0.5;
    for (let i = 0; i < points.length; i++) {
      points[i] += step * (sums[i] / Math.max(1, counts[Math.floor(i / 3)]) - points[i]);
    }
  }
  return points;
}
