// Contours, letters and keys over NiiVue's slices. This text is joined to ipyniivue's own module, so that it sees its
// Niivue object: NIIVUE and INNER stand for the two names that slices.py found there.

const AXES = [[2, 0, 1], [1, 0, 2], [0, 1, 2]]; // slice, across, up: axial, coronal, sagittal
const PLANES = ["axial", "coronal", "sagittal"];
const KEYS = { a: 0, c: 1, s: 2 };

class Overlay {
  constructor(nv, model, el) {
    this.nv = nv;
    this.model = model;
    this.el = el;
    this.plane = 0; // the plane that the arrow keys leaf through
    this.layers = [];
    el.classList.add("pedseg-slices");
    el.tabIndex = 0;
    el.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes single letters for its own commands
    el.setAttribute("role", "application");
    el.setAttribute("aria-label", "CT slices; arrow keys leaf, A C S choose the plane");
    const frame = nv.canvas.parentNode;
    frame.style.position = "relative";
    this.canvas = document.createElement("canvas");
    this.canvas.className = "pedseg-overlay";
    Object.assign(this.canvas.style, { position: "absolute", left: 0, top: 0, pointerEvents: "none" });
    frame.appendChild(this.canvas);
    const draw = nv.drawScene.bind(nv);
    nv.drawScene = () => {
      const result = draw();
      this.draw();
      return result;
    };
    const on = (name, act) => model.on(`change:${name}`, act);
    on("layers", () => this.unpack());
    for (const name of ["shown", "look", "marker", "focus"]) on(name, () => this.draw());
    on("at", () => this.go(model.get("at")));
    on("arrangement", () => this.arrange());
    on("pen", () => this.takePen());
    on("drawing", () => this.loadDrawing());
    on("tool", () => this.takeTool());
    on("undone", () => { nv.drawUndo(); this.report(true); });
    el.addEventListener("keydown", (event) => this.key(event), true);
    nv.canvas.addEventListener("pointermove", (event) => this.move(event));
    nv.canvas.addEventListener("pointerup", () => this.report(true));
    for (const name of ["wheel", "pointerdown"]) {
      nv.canvas.addEventListener(name, (event) => { this.plane = this.planeAt(event) ?? this.plane; }, true);
    }
    new ResizeObserver(() => this.wide !== this.isWide() && this.arrange()).observe(nv.canvas);
    this.unpack();
    this.arrange();
    this.takeTool();
    if (model.get("at").length) this.go(model.get("at"));
    if (model.get("pen").on) { this.takePen(); this.loadDrawing(); }
  }

  // --- what there is to draw ------------------------------------------------------------------------

  unpack() {
    this.layers = this.model.get("layers").map((layer) => {
      const own = ({ buffer, byteOffset, byteLength }) => buffer.slice(byteOffset, byteOffset + byteLength); // aligned
      const table = new Int32Array(own(layer.table)), points = new Uint16Array(own(layer.points));
      const lines = new Map();
      for (let row = 0; row < table.length; row += 5) {
        const key = table[row] * 65536 + table[row + 1];
        if (!lines.has(key)) lines.set(key, []);
        lines.get(key).push([table[row + 2], table[row + 3], table[row + 4]]);
      }
      return { ...layer, points, lines };
    });
    this.draw();
  }

  dims() {
    return this.nv.volumes.length ? this.nv.volumes[0].dimsRAS.slice(1, 4) : null;
  }

  voxel() {
    const dims = this.dims();
    return [...this.nv.scene.crosshairPos].map((f, k) => Math.min(dims[k] - 1, Math.max(0, Math.floor(f * dims[k]))));
  }

  // How fractions of the volume map to pixels in one tile: both axes are linear, whatever zoom and convention.
  tile(number) {
    const slice = this.nv.screenSlices[number];
    if (!slice || slice.axCorSag > 2 || slice.AxyzMxy.length < 4) return null;
    const [left, top, width, height] = slice.leftTopWidthHeight;
    const [, across, up] = AXES[slice.axCorSag];
    const x = [left + 0.3 * width, left + 0.7 * width], y = [top + 0.3 * height, top + 0.7 * height];
    const a = this.nv.screenXY2TextureFrac(x[0], y[0], number, false);
    const b = this.nv.screenXY2TextureFrac(x[1], y[1], number, false);
    const line = (f0, f1, p0, p1) => { const m = (p1 - p0) / (f1 - f0); return [m, p0 - m * f0]; };
    return {
      plane: slice.axCorSag, box: [Math.min(left, left + width), top, Math.abs(width), height],
      x: line(a[across], b[across], x[0], x[1]), y: line(a[up], b[up], y[0], y[1]),
    };
  }

  draw() {
    const nv = this.nv, dims = this.dims(), source = nv.canvas;
    const pen = this.canvas.getContext("2d");
    if (this.canvas.width !== source.width || this.canvas.height !== source.height) {
      this.canvas.width = source.width;
      this.canvas.height = source.height;
    }
    this.canvas.style.width = `${source.clientWidth}px`;
    this.canvas.style.height = `${source.clientHeight}px`;
    pen.clearRect(0, 0, source.width, source.height);
    if (!dims) return;
    const scale = nv.uiData?.dpr || 1, at = this.voxel(), look = this.model.get("look");
    const shown = new Set(this.model.get("shown")), solo = this.model.get("arrangement") === "beside";
    nv.screenSlices.forEach((_, number) => {
      const tile = this.tile(number);
      if (!tile) return;
      pen.save();
      pen.beginPath();
      pen.rect(...tile.box);
      pen.clip();
      const slice = at[AXES[tile.plane][0]];
      this.layers.forEach((layer, k) => {
        if (look.hidden.includes(k) && !layer.always) return;
        if (!solo || layer.always || k === Math.min(number, 1)) this.drawLayer(pen, tile, layer, slice, dims, shown, look, scale);
      });
      this.drawMarker(pen, tile, dims, at, scale);
      pen.restore();
      this.drawWords(pen, tile, slice, dims, scale, this.place(number), solo ? this.layers[Math.min(number, 1)]?.name : "");
    });
    this.drawnAt = performance.now();
    this.el.dataset.drawn = String(this.drawnAt);
    this.el.dataset.voxel = at.join(" ");
  }

  drawLayer(pen, tile, layer, slice, dims, shown, look, scale) {
    const [, across, up] = AXES[tile.plane], colors = this.model.get("colors"), dark = this.model.get("dark");
    const paths = new Map();
    for (const [organ, start, length] of layer.lines.get(tile.plane * 65536 + slice) || []) {
      if (!layer.always && !shown.has(organ)) continue;
      if (!paths.has(organ)) paths.set(organ, new Path2D());
      const path = paths.get(organ);
      for (let k = start; k < start + length; k++) {
        const x = tile.x[0] * ((layer.points[2 * k] - 1) / 2 / dims[across]) + tile.x[1];
        const y = tile.y[0] * ((layer.points[2 * k + 1] - 1) / 2 / dims[up]) + tile.y[1];
        if (k === start) path.moveTo(x, y); else path.lineTo(x, y);
      }
      path.closePath();
    }
    pen.lineJoin = "round";
    for (const [organ, path] of paths) {
      const color = layer.color || colors[organ], focus = organ === this.model.get("focus");
      if (look.fill && !layer.always) {
        pen.globalAlpha = look.opacity * (layer.fill ?? 1);
        pen.fillStyle = color;
        pen.fill(path, "evenodd");
      }
      if (look.lines || layer.always) {
        const width = scale * look.width * (focus ? 1.7 : 1);
        pen.globalAlpha = layer.always ? 1 : Math.max(0.25, look.fill ? 1 : look.opacity);
        pen.setLineDash(layer.dash.map((d) => d * scale));
        pen.lineWidth = width + 1.6 * scale;
        pen.strokeStyle = dark.includes(organ) && !layer.color ? "rgba(255,255,255,0.65)" : "rgba(0,0,0,0.7)";
        pen.stroke(path);
        pen.lineWidth = width;
        pen.strokeStyle = color;
        pen.stroke(path);
      }
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  drawMarker(pen, tile, dims, at, scale) {
    const marker = this.model.get("marker");
    if (!marker.length) return;
    const [axis, across, up] = AXES[tile.plane];
    if (Math.abs(at[axis] - marker[axis]) > 1) return;
    const x = tile.x[0] * ((marker[across] + 0.5) / dims[across]) + tile.x[1];
    const y = tile.y[0] * ((marker[up] + 0.5) / dims[up]) + tile.y[1];
    for (const [color, width] of [["black", 4], ["white", 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = width * scale;
      pen.beginPath();
      pen.arc(x, y, 13 * scale, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  // Where a tile may draw: its share of the canvas, wider than its picture.
  place(number) {
    const { width, height } = this.nv.canvas, [x, y, w, h] = this.nv.getCustomLayout()?.[number]?.position ?? [0, 0, 1, 1];
    return [x * width, y * height, w * width, h * height];
  }

  drawWords(pen, tile, slice, dims, scale, place, name) {
    const [left, top, , height] = tile.box, axis = AXES[tile.plane][0];
    const millimeters = Math.round(slice * this.model.get("spacing_mm")[axis]);
    pen.font = `${12 * scale}px sans-serif`;
    pen.shadowColor = "black";
    pen.shadowBlur = 3 * scale;
    pen.fillStyle = tile.plane === this.plane ? "#ffffff" : "#b8b8b8";
    pen.textBaseline = "top";
    const lines = [PLANES[tile.plane], `${slice + 1}/${dims[axis]}`, `${millimeters} mm`];
    if (name) lines.unshift(name);
    lines.forEach((text, k) => pen.fillText(text, place[0] + 6 * scale, place[1] + (6 + 15 * k) * scale));
    const letters = this.letters(tile), [, , width] = tile.box;
    pen.font = `600 ${13 * scale}px sans-serif`;
    pen.fillStyle = "#ffffff";
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    const rim = 11 * scale;
    pen.fillText(letters[0], left + rim, top + height / 2);
    pen.fillText(letters[1], left + width - rim, top + height / 2);
    pen.fillText(letters[2], left + width / 2, top + rim);
    pen.fillText(letters[3], left + width / 2, top + height - rim);
    pen.textAlign = "start";
    pen.shadowBlur = 0;
  }

  // The sides of the patient at the rims, read off the picture itself: which way each axis runs on the screen.
  letters(tile) {
    const [, across, up] = AXES[tile.plane], ends = [["L", "R"], ["P", "A"], ["I", "S"]];
    const x = tile.x[0] > 0 ? ends[across] : [...ends[across]].reverse();
    const y = tile.y[0] < 0 ? ends[up] : [...ends[up]].reverse();
    return [x[0], x[1], y[1], y[0]];
  }

  // --- what one does --------------------------------------------------------------------------------

  go(voxel) {
    const dims = this.dims();
    if (!dims || voxel.length !== 3) return;
    this.nv.scene.crosshairPos = voxel.map((v, k) => (v + 0.5) / dims[k]);
    this.nv.drawScene();
  }

  tell() {
    const voxel = this.voxel();
    if (String(voxel) === String(this.model.get("at"))) return;
    this.model.set("at", voxel);
    this.model.save_changes();
  }

  planeAt(event) {
    const [x, y] = this.pixel(event);
    for (let k = 0; k < this.nv.screenSlices.length; k++) {
      const tile = this.tile(k), [l, t, w, h] = tile?.box ?? [0, 0, -1, -1];
      if (x >= l && x <= l + w && y >= t && y <= t + h) return tile.plane;
    }
    return null;
  }

  // Where on the canvas the pointer is, in its own pixels.
  pixel(event) {
    const bounds = this.nv.canvas.getBoundingClientRect(), scale = this.nv.uiData?.dpr || 1;
    return [(event.clientX - bounds.left) * scale, (event.clientY - bounds.top) * scale];
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 }, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in steps) {
      const voxel = this.voxel(), axis = AXES[this.plane][0];
      voxel[axis] = Math.min(this.dims()[axis] - 1, Math.max(0, voxel[axis] + steps[key]));
      this.go(voxel);
      this.tell();
    } else if (key in KEYS) {
      this.plane = KEYS[key];
      this.draw();
    } else if (key.length === 1 && /[a-z0-9[\]+\-]/.test(key)) {
      this.model.send({ event: "pedseg_key", data: key });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  isWide() {
    return this.nv.canvas.clientWidth > 1.15 * this.nv.canvas.clientHeight;
  }

  arrange() {
    const place = (type, position) => ({ sliceType: type, position });
    const layouts = {
      planes: this.isWide()
        ? [place(0, [0, 0, 0.58, 1]), place(1, [0.58, 0, 0.42, 0.5]), place(2, [0.58, 0.5, 0.42, 0.5])]
        : [place(0, [0, 0, 1, 0.54]), place(1, [0, 0.54, 0.5, 0.46]), place(2, [0.5, 0.54, 0.5, 0.46])],
      axial: [place(0, [0, 0, 1, 1])],
      coronal: [place(1, [0, 0, 1, 1])],
      sagittal: [place(2, [0, 0, 1, 1])],
      beside: [place(0, [0, 0, 0.5, 1]), place(0, [0.5, 0, 0.5, 1])],
    };
    const name = this.model.get("arrangement");
    if (PLANES.includes(name)) this.plane = PLANES.indexOf(name);
    this.wide = this.isWide();
    this.nv.setCustomLayout(layouts[name]);
  }

  takeTool() {
    const modes = this.nv.dragModes, tool = this.model.get("tool");
    this.nv.opts.dragMode = tool === "measure" ? modes.measurement : tool === "move" ? modes.pan : modes.contrast;
  }

  // --- the pen --------------------------------------------------------------------------------------

  takePen() {
    const pen = this.model.get("pen"), nv = this.nv;
    if (nv.opts.drawingEnabled !== pen.on) nv.setDrawingEnabled(pen.on);
    nv.opts.penSize = pen.size;
    nv.setPenValue(pen.erase ? 0 : 1, pen.filled);
    nv.setDrawOpacity(0.45);
    if (pen.on && !this.drawing) this.loadDrawing();
    if (!pen.on && nv.drawBitmap) nv.closeDrawing();
    this.drawing = pen.on;
  }

  loadDrawing() {
    const start = this.model.get("drawing"), nv = this.nv;
    if (!this.model.get("pen").on || !start || !start.byteLength) return;
    if (!nv.drawBitmap) nv.createEmptyDrawing();
    if (start.byteLength !== nv.drawBitmap.length) return;
    nv.drawBitmap.set(new Uint8Array(start.buffer, start.byteOffset, start.byteLength));
    nv.drawClearAllUndoBitmaps();
    nv.drawAddUndoBitmap();
    nv.refreshDrawing(true);
  }

  move(event) {
    if (event.buttons) return this.report(false);
    const now = performance.now();
    if (now - (this.hovered || 0) < 80) return;
    this.hovered = now;
    const [x, y] = this.pixel(event), dims = this.dims();
    for (let k = 0; dims && k < this.nv.screenSlices.length; k++) {
      const place = this.nv.screenXY2TextureFrac(x, y, k, true);
      if (place[0] < 0) continue;
      this.model.send({ event: "pedseg_hover", data: dims.map((n, a) => Math.min(n - 1, Math.floor(place[a] * n))) });
      return;
    }
  }

  // The kernel is gone: the slices stay, everything else must be started again.
  lost() {
    if (this.el.querySelector(".pedseg-lost")) return;
    const note = document.createElement("div");
    note.className = "pedseg-lost pedseg-trouble";
    note.setAttribute("role", "alert");
    note.textContent = "The program behind this page has stopped. You can still leaf through these slices; for everything else reload the page, or in JupyterLab choose Run, Run All Cells.";
    this.el.prepend(note);
  }

  // Tell the kernel where the crosshair is and what has been drawn: at once at the end, now and then before.
  report(finished) {
    this.tell();
    if (!this.model.get("pen").on || !this.nv.drawBitmap) return;
    const now = performance.now();
    if (!finished && now - (this.told || 0) < 300) return;
    this.told = now;
    setTimeout(() => {
      const copy = this.nv.drawBitmap.slice();
      this.model.set("drawn", new DataView(copy.buffer));
      this.model.save_changes();
    }, finished ? 30 : 0);
  }
}

export default {
  initialize: (context) => INNER.initialize(context),
  async render(context) {
    const stop = await INNER.render(context);
    const nv = NIIVUE, { model, el } = context;
    if (nv?.canvas) {
      const overlay = new Overlay(nv, model, el);
      nv.canvas.addEventListener("wheel", () => setTimeout(() => overlay.tell(), 0));
      const manager = model.widget_manager, kernel = manager?.kernel ?? manager?.context?.sessionContext?.session?.kernel;
      kernel?.statusChanged?.connect((_, status) => {
        if (["dead", "restarting", "autorestarting", "terminating"].includes(status)) overlay.lost();
      });
      model.set("ready", `${nv._gl ? "webgl" : "none"} ${Date.now()}`);
      model.save_changes();
    }
    return stop;
  },
};
