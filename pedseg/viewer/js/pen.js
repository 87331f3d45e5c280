// The pen: a mask of one organ that is painted, erased, or circled on a slice. Only the box that changed is sent, in bits.

class Pen {
  constructor(viewer) {
    this.viewer = viewer;
    this.mask = null; // one byte a voxel, x fastest
    this.version = 0;
    this.changed = null; // lowest and highest voxel of the stroke
  }

  get settings() { return this.viewer.model.get("pen"); }

  get isOn() { return this.settings.on && this.mask !== null; }

  clear() { this.mask = null; }

  // Take a box of voxels from the kernel; the first one of a session clears the mask.
  async receive({ box, fresh, scan }, view) {
    const values = await inflate(view), { volume } = this.viewer;
    if (!volume || volume.id !== scan) return;
    const [nx, ny, nz] = volume.dims;
    if (fresh || !this.mask) this.mask = new Uint8Array(nx * ny * nz);
    const [x, y, z, width, depth, height] = box;
    for (let k = 0, from = 0; k < height; k++) {
      for (let j = 0; j < depth; j++, from += width) {
        this.mask.set(values.subarray(from, from + width), ((z + k) * ny + y + j) * nx + x);
      }
    }
    this.version++;
    this.viewer.draw();
  }

  begin(tile, u, v) {
    this.changed = [[Infinity, Infinity, Infinity], [-1, -1, -1]];
    this.tile = tile;
    this.path = [[u, v]];
    if (this.paints) this.stamp(u, v);
  }

  get paints() { return ["brush", "eraser"].includes(this.settings.tool); }

  move(u, v) {
    const [lastU, lastV] = this.path[this.path.length - 1];
    this.path.push([u, v]);
    if (this.paints) {
      const count = Math.max(1, Math.ceil(2 * Math.hypot(u - lastU, v - lastV)));
      for (let k = 1; k <= count; k++) this.stamp(lastU + (u - lastU) * k / count, lastV + (v - lastV) * k / count);
    }
    this.viewer.draw();
  }

  end() {
    if (!this.path) return;
    if (!this.paints) this.fill();
    this.path = null;
    this.report();
    this.viewer.draw();
  }

  // Paint at the crosshair: the pen of the keyboard.
  dab(tile, u, v) {
    this.begin(tile, u, v);
    this.end();
  }

  set(u, v, value) {
    const { dims } = this.viewer.volume, { axis, across, up, index } = this.tile, voxel = [0, 0, 0];
    if (u < 0 || v < 0 || u >= dims[across] || v >= dims[up]) return;
    voxel[axis] = index; voxel[across] = u; voxel[up] = v;
    const place = (voxel[2] * dims[1] + voxel[1]) * dims[0] + voxel[0];
    if (this.mask[place] === value) return;
    this.mask[place] = value;
    const [low, high] = this.changed;
    for (let k = 0; k < 3; k++) { low[k] = Math.min(low[k], voxel[k]); high[k] = Math.max(high[k], voxel[k]); }
  }

  stamp(u, v) {
    const { across, up } = this.tile, spacing = this.viewer.volume.spacing, mm = this.settings.radius_mm;
    const value = this.settings.tool === "eraser" ? 0 : 1, ru = mm / spacing[across], rv = mm / spacing[up];
    this.set(Math.round(u), Math.round(v), value);
    for (let j = Math.ceil(v - rv); j <= v + rv; j++) {
      const half = ru * Math.sqrt(Math.max(0, 1 - ((j - v) / rv) ** 2));
      for (let i = Math.ceil(u - half); i <= u + half; i++) this.set(i, j, value);
    }
    this.version++;
  }

  // Fill what was circled: a voxel counts as inside if its center is.
  fill() {
    const value = this.settings.tool === "cut" ? 0 : 1, path = this.path, n = path.length;
    const low = Math.ceil(Math.min(...path.map((p) => p[1]))), high = Math.max(...path.map((p) => p[1]));
    for (let v = low; v <= high; v++) {
      const crossings = [];
      for (let k = 0; k < n; k++) {
        const [u0, v0] = path[k], [u1, v1] = path[(k + 1) % n];
        if (v0 <= v !== v1 <= v) crossings.push(u0 + (v - v0) / (v1 - v0) * (u1 - u0));
      }
      crossings.sort((a, b) => a - b);
      for (let k = 0; k + 1 < crossings.length; k += 2) {
        for (let u = Math.ceil(crossings[k]); u <= crossings[k + 1]; u++) this.set(u, v, value);
      }
    }
    this.version++;
  }

  report() {
    const [low, high] = this.changed, { dims, id } = this.viewer.volume;
    if (high[0] < 0) return;
    const size = high.map((h, k) => h - low[k] + 1), values = new Uint8Array(size[0] * size[1] * size[2]);
    for (let z = 0, to = 0; z < size[2]; z++) {
      for (let y = 0; y < size[1]; y++, to += size[0]) {
        const from = ((low[2] + z) * dims[1] + low[1] + y) * dims[0] + low[0];
        values.set(this.mask.subarray(from, from + size[0]), to);
      }
    }
    this.viewer.model.send({ event: "stroke", scan: id, box: [...low, ...size] }, undefined, [packBits(values).buffer]);
  }
}
