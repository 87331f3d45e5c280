// Contours of a label map in one slice: closed lines round each organ, along the voxels' edges or smoothed.

const STEP = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // right, up, left, down

// The closed lines of every wanted label as arrays of corners [u0, v0, u1, v1 …]; corner (u, v) is that of voxel (u, v)
// nearest to the first one. Inside lies on the left; where two voxels touch at a corner, the lines stay apart.
function traceSlice({ values, width, height }, wanted) {
  const boxes = new Map();
  for (let v = 0, k = 0; v < height; v++) {
    for (let u = 0; u < width; u++, k++) {
      const label = values[k];
      if (!label || !wanted.has(label)) continue;
      const box = boxes.get(label);
      if (!box) boxes.set(label, [u, v, u, v]);
      else {
        if (u < box[0]) box[0] = u;
        if (u > box[2]) box[2] = u;
        box[3] = v;
      }
    }
  }
  const lines = new Map();
  for (const [label, box] of boxes) lines.set(label, traceLabel(values, width, label, box));
  return lines;
}

function traceLabel(values, width, label, [left, bottom, right, top]) {
  const across = right - left + 2, edges = new Uint8Array(across * (top - bottom + 2)); // bit d: an edge starts towards d
  const is = (u, v) => u >= left && u <= right && v >= bottom && v <= top && values[v * width + u] === label;
  for (let v = bottom; v <= top; v++) {
    for (let u = left; u <= right; u++) {
      if (values[v * width + u] !== label) continue;
      const corner = (v - bottom) * across + (u - left);
      if (!is(u, v - 1)) edges[corner] |= 1;
      if (!is(u + 1, v)) edges[corner + 1] |= 2;
      if (!is(u, v + 1)) edges[corner + across + 1] |= 4;
      if (!is(u - 1, v)) edges[corner + across] |= 8;
    }
  }
  const loops = [];
  for (let start = 0; start < edges.length; start++) while (edges[start]) loops.push(follow(edges, across, start, left, bottom));
  return loops;
}

function follow(edges, across, start, left, bottom) {
  const loop = [];
  let at = start, direction = [0, 1, 2, 3].find((d) => edges[start] >> d & 1);
  do {
    loop.push(left + at % across, bottom + Math.floor(at / across));
    edges[at] &= ~(1 << direction);
    at += STEP[direction][0] + STEP[direction][1] * across;
    const turns = [direction + 1 & 3, direction, direction + 3 & 3]; // left first
    direction = turns.find((d) => edges[at] >> d & 1) ?? -1;
  } while (at !== start && direction >= 0);
  return loop;
}

// Put a closed line into a path: `x` and `y` map positions (voxel centers are whole numbers) to pixels.
function addLoop(path, loop, x, y, smooth) {
  const count = loop.length / 2, us = new Float32Array(count), vs = new Float32Array(count);
  for (let k = 0; k < count; k++) {
    const next = smooth ? (k + 1) % count : k; // smooth lines run through the middles of the edges
    us[k] = (loop[2 * k] + loop[2 * next]) / 2 - 0.5;
    vs[k] = (loop[2 * k + 1] + loop[2 * next + 1]) / 2 - 0.5;
  }
  if (!smooth) {
    for (let k = 0; k < count; k++) path[k ? "lineTo" : "moveTo"](x(us[k]), y(vs[k]));
    return path.closePath();
  }
  const weight = count > 8 ? 0.25 : 0; // single voxels keep their size
  const soft = (values, k) => {
    const before = values[(k + count - 1) % count], after = values[(k + 1) % count];
    return values[k] * (1 - 2 * weight) + weight * (before + after);
  };
  const px = us.map((_, k) => x(soft(us, k))), py = vs.map((_, k) => y(soft(vs, k)));
  path.moveTo((px[count - 1] + px[0]) / 2, (py[count - 1] + py[0]) / 2);
  for (let k = 0; k < count; k++) {
    const next = (k + 1) % count;
    path.quadraticCurveTo(px[k], py[k], (px[k] + px[next]) / 2, (py[k] + py[next]) / 2);
  }
  return path.closePath();
}
