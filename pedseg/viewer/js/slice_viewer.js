// Axial, coronal and sagittal slices on a plain canvas: no WebGL, so that remote desktops and old machines are served.
// `model` holds the settings (see slices.py) and takes events; the site's exhibit uses the same class without a kernel.

const LINE_WIDTH = 1.7; // pixels
const KEYS = { a: 0, c: 1, s: 2 }; // the plane that the arrow keys scroll
const MAX_ZOOM = 16;
const ON_CPU = { willReadFrequently: true }; // without a graphics card, a canvas that imitates one takes 25 times as long

class SliceViewer {
  constructor(model, el) {
    Object.assign(this, { model, el, plane: 0, volume: null, layers: [], pointers: new Map(), pen: new Pen(this) });
    el.classList.add("pedseg-slices");
    el.tabIndex = 0;
    el.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes single letters for its own commands
    el.setAttribute("role", "application");
    el.setAttribute("aria-label", "CT slices. Arrow keys scroll; A, C and S choose the plane; the tab Keys lists all.");
    this.canvas = document.createElement("canvas");
    el.appendChild(this.canvas);
    this.resetViews();
    this.listen();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(el);
  }

  get(name) { return this.model.get(name); }

  share(name, value) {
    this.model.set(name, value);
    if (!this.isAlone) this.model.save_changes(); // nobody answers behind a dead kernel
  }

  listen() {
    const { model, canvas, el } = this, on = (name, act) => model.on(`change:${name}`, act);
    for (const name of ["visible_organs", "contour_style", "marker", "focused_organ", "arrangement", "window", "pen"]) {
      on(name, () => this.draw());
    }
    on("crosshair", () => { this.place = this.get("crosshair"); this.draw(); });
    on("reset_count", () => this.reset());
    el.addEventListener("keydown", (event) => this.onKey(event), true);
    canvas.addEventListener("pointerdown", (event) => this.onPointerDown(event));
    canvas.addEventListener("pointermove", (event) => this.onPointerMove(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.onPointerUp(event));
    canvas.addEventListener("pointerleave", () => { this.cursor = null; this.draw(); });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
  }

  stop() { this.observer.disconnect(); }

  // --- what is shown ------------------------------------------------------------------------------

  // A scan: `dims` voxels, `spacing` in mm, `axes` (for each voxel axis its direction in the patient: right, anterior,
  // superior), `voxels` in HU, x fastest, which may still arrive slice by slice (`arrived`).
  setVolume({ id, dims, spacing, axes, voxels, arrived }) {
    this.volume = { id, dims, spacing, axes, voxels, box: [0, 0, 0, ...dims], arrived, version: 0 };
    this.layers = [];
    this.pictures = new Map();
    this.measured = null;
    this.pen.clear();
    this.resetViews();
    this.draw();
  }

  // The contours: each layer has a name, `values` (organ ids) in a `box`, and how it is drawn.
  setLayers(layers) {
    this.layers = layers.map((layer) => ({ ...layer, lines: layer.lines ?? new Map() }));
    this.draw();
  }

  touchVolume() {
    this.volume.version++;
    this.draw();
  }

  resetViews() { this.views = PLANES.map(() => ({ zoom: 1, pan: [0, 0] })); }

  reset() {
    this.resetViews();
    this.measured = null;
    this.draw();
  }

  dims() { return this.volume?.dims; }

  crosshair() {
    const voxel = this.place ?? this.get("crosshair"), dims = this.dims();
    return voxel?.length === 3 ? voxel.map((v, k) => Math.min(dims[k] - 1, Math.max(0, v))) : dims.map((n) => n >> 1);
  }

  // --- the layout -----------------------------------------------------------------------------------

  resize() {
    const ratio = window.devicePixelRatio || 1, { clientWidth, clientHeight } = this.el;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.scale = ratio;
    this.paint();
  }

  layout() {
    const { width, height } = this.canvas, name = this.get("arrangement");
    if (name === "beside") return [[0, 0, 0, 0.5, 1], [0, 0.5, 0, 0.5, 1]];
    if (name !== "planes") return [[PLANES.indexOf(name), 0, 0, 1, 1]];
    if (width > 1.15 * height) return [[0, 0, 0, 0.58, 1], [1, 0.58, 0, 0.42, 0.5], [2, 0.58, 0.5, 0.42, 0.5]];
    return [[0, 0, 0, 1, 0.56], [1, 0, 0.56, 0.5, 0.44], [2, 0.5, 0.56, 0.5, 0.44]];
  }

  // The tiles: each with its place in pixels and `x`, `y`, `u`, `v`, which turn voxels into pixels and back. The right
  // side of the patient is on the left, as radiologists look, and the nose of a sagittal slice, too.
  tiles() {
    const { width, height } = this.canvas, { dims, spacing } = this.volume, crosshair = this.crosshair();
    return this.layout().map(([plane, ...share], number) => {
      const [axis, across, up] = AXES[plane], gap = Math.round(this.scale);
      const left = share[0] * width + gap, top = share[1] * height + gap;
      const box = [left, top, share[2] * width - 2 * gap, share[3] * height - 2 * gap], { zoom, pan } = this.views[plane];
      const field = [dims[across] * spacing[across], dims[up] * spacing[up]];
      const perMm = zoom * Math.min(box[2] / field[0], box[3] / field[1]);
      const centerX = left + box[2] / 2 + pan[0] * perMm, centerY = top + box[3] / 2 + pan[1] * perMm;
      const du = perMm * spacing[across], dv = perMm * spacing[up];
      const x0 = centerX + field[0] * perMm / 2 - du / 2, y0 = centerY + field[1] * perMm / 2 - dv / 2;
      return {
        number, plane, axis, across, up, box, index: crosshair[axis], perMm, du, dv,
        x: (u) => x0 - u * du, y: (v) => y0 - v * dv, u: (x) => (x0 - x) / du, v: (y) => (y0 - y) / dv,
      };
    });
  }

  tileAt(event) {
    if (!this.volume) return null;
    const bounds = this.canvas.getBoundingClientRect(), scale = this.canvas.width / bounds.width;
    const x = (event.clientX - bounds.left) * scale, y = (event.clientY - bounds.top) * scale;
    const tile = this.tiles().find(({ box }) => x >= box[0] && y >= box[1] && x < box[0] + box[2] && y < box[1] + box[3]);
    return tile && { tile, x, y, u: tile.u(x), v: tile.v(y) };
  }

  voxelAt({ tile, u, v }) {
    const voxel = [0, 0, 0], dims = this.dims();
    voxel[tile.axis] = tile.index; voxel[tile.across] = Math.round(u); voxel[tile.up] = Math.round(v);
    return voxel.map((value, k) => Math.min(dims[k] - 1, Math.max(0, value)));
  }

  // --- drawing --------------------------------------------------------------------------------------

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    const paint = () => {
      if (this.waiting) this.paint();
      this.waiting = false;
    };
    requestAnimationFrame(paint);
    setTimeout(paint, 50); // without a graphics card, 3-D keeps the browser from giving frames
  }

  paint() {
    const context = this.canvas.getContext("2d", ON_CPU), { width, height } = this.canvas;
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (!this.volume || width < 2) return;
    const { hidden } = this.get("contour_style"), beside = this.get("arrangement") === "beside";
    for (const tile of this.tiles()) {
      const side = Math.min(tile.number, 1);
      context.save();
      context.beginPath();
      context.rect(...tile.box);
      context.clip();
      this.drawSlice(context, tile);
      this.layers.forEach((layer, k) => {
        if (layer.always || !hidden.includes(k) && (!beside || k === side)) this.drawLayer(context, tile, layer);
      });
      if (this.pen.isOn) this.drawMask(context, tile);
      this.drawCrosshair(context, tile);
      this.drawMarker(context, tile);
      this.drawMeasure(context, tile);
      this.drawCursor(context, tile);
      context.restore();
      this.drawLabels(context, tile, beside ? this.layers[side]?.name : "");
    }
    this.el.dataset.drawn = String(performance.now());
    this.el.dataset.voxel = this.crosshair().join(" ");
    this.el.dataset.pen = this.pen.isOn ? this.get("pen").tool : "";
    this.canvas.style.cursor = this.get("pen").on && !this.pen.isOn ? "progress" : ""; // its mask is on the way
  }

  drawSlice(context, tile) {
    const picture = this.picture(tile.plane, tile.index), { width, height } = picture;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "medium";
    context.setTransform(-tile.du, 0, 0, -tile.dv, tile.x(-0.5), tile.y(-0.5));
    context.drawImage(picture, 0, 0, width, height);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  // One slice in gray as a canvas of its own, kept until window or voxels change.
  picture(plane, index) {
    const [low, high] = this.get("window"), key = `${index} ${low} ${high} ${this.volume.version}`;
    const kept = this.pictures.get(plane);
    if (kept?.key === key) return kept.canvas;
    const { values, width, height } = cutSlice(this.volume.voxels, this.volume.box, plane, index);
    const canvas = kept?.canvas ?? document.createElement("canvas");
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", ON_CPU), image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer), scale = 255 / Math.max(1, high - low);
    for (let k = 0; k < values.length; k++) {
      const gray = Math.max(0, Math.min(255, (values[k] - low) * scale)) | 0;
      pixels[k] = 0xff000000 | gray << 16 | gray << 8 | gray;
    }
    context.putImageData(image, 0, 0);
    this.pictures.set(plane, { key, canvas });
    return canvas;
  }

  drawLayer(context, tile, layer) {
    const style = this.get("contour_style"), visible = new Set(layer.always ? [1] : this.get("visible_organs"));
    const key = `${tile.plane} ${tile.index} ${[...visible]}`;
    if (!layer.lines.has(key)) {
      const slice = cutSlice(layer.values, layer.box, tile.plane, tile.index);
      if (layer.lines.size > 64) layer.lines.clear();
      layer.lines.set(key, slice ? traceSlice(slice, visible) : new Map());
    }
    for (const [organ, loops] of layer.lines.get(key)) {
      const color = layer.color || this.get("colors")[organ], focused = organ === this.get("focused_organ");
      const path = this.path(tile, loops, layer.box, style.smooth !== false);
      if (style.fill && !layer.always) this.fillPath(context, path, color, style.opacity * (layer.fill ?? 1));
      if (style.lines || layer.always) {
        const alpha = layer.always ? 1 : Math.max(0.25, style.fill ? 1 : style.opacity);
        const lightRim = this.get("dark").includes(organ) && !layer.color;
        this.strokePath(context, path, color, { dash: layer.dash, width: focused ? 1.7 : 1, alpha, lightRim });
      }
    }
  }

  path(tile, loops, box, smooth) {
    const path = new Path2D(), u0 = box[tile.across], v0 = box[tile.up];
    for (const loop of loops) addLoop(path, loop, (u) => tile.x(u + u0), (v) => tile.y(v + v0), smooth);
    return path;
  }

  fillPath(context, path, color, alpha) {
    context.globalAlpha = alpha;
    context.fillStyle = color;
    context.fill(path, "evenodd");
    context.globalAlpha = 1;
  }

  strokePath(context, path, color, { dash = [], width = 1, alpha = 1, lightRim = false }) {
    const pixels = this.scale * LINE_WIDTH * width;
    context.lineJoin = "round";
    context.globalAlpha = alpha;
    context.setLineDash(dash.map((length) => length * this.scale));
    for (const [stroke, extra] of [[lightRim ? "rgba(255,255,255,0.65)" : "rgba(0,0,0,0.7)", 1.6], [color, 0]]) {
      context.lineWidth = pixels + extra * this.scale;
      context.strokeStyle = stroke;
      context.stroke(path);
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
  }

  // What the pen has drawn: filled lightly, with a white rim, in the color of its organ.
  drawMask(context, tile) {
    const { mask, path } = this.pen, { color } = this.get("pen"), smooth = this.get("contour_style").smooth !== false;
    const lines = traceSlice(cutSlice(mask, this.volume.box, tile.plane, tile.index), new Set([1]));
    for (const loops of lines.values()) {
      const line = this.path(tile, loops, this.volume.box, smooth);
      this.fillPath(context, line, color, 0.3);
      this.strokePath(context, line, "#ffffff", { width: 1.9 });
      this.strokePath(context, line, color, { width: 1 });
    }
    if (path && !this.pen.paints && this.pen.tile.number === tile.number) {
      const circled = new Path2D();
      path.forEach(([u, v], k) => circled[k ? "lineTo" : "moveTo"](tile.x(u), tile.y(v)));
      this.strokePath(context, circled, "#ffffff", { dash: [4, 3] });
    }
  }

  drawCrosshair(context, tile) {
    const voxel = this.crosshair(), x = tile.x(voxel[tile.across]), y = tile.y(voxel[tile.up]), gap = 9 * this.scale;
    const [left, top, width, height] = tile.box;
    context.strokeStyle = "rgba(89,191,255,0.6)";
    context.lineWidth = this.scale;
    context.beginPath();
    for (const [x0, y0, x1, y1] of [
      [left, y, x - gap, y], [x + gap, y, left + width, y], [x, top, x, y - gap], [x, y + gap, x, top + height],
    ]) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  }

  drawMarker(context, tile) {
    const marker = this.get("marker");
    if (!marker.length || Math.abs(tile.index - marker[tile.axis]) > 1) return;
    for (const [color, width] of [["black", 4], ["white", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width * this.scale;
      context.beginPath();
      context.arc(tile.x(marker[tile.across]), tile.y(marker[tile.up]), 13 * this.scale, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  drawMeasure(context, tile) {
    const line = this.measured;
    if (!line || line.plane !== tile.plane || line.index !== tile.index) return;
    const { spacing } = this.volume, ends = [line.from, line.to].map(([u, v]) => [tile.x(u), tile.y(v)]), path = new Path2D();
    path.moveTo(...ends[0]);
    path.lineTo(...ends[1]);
    this.strokePath(context, path, "#ffe066", {});
    const mm = Math.hypot((line.to[0] - line.from[0]) * spacing[tile.across], (line.to[1] - line.from[1]) * spacing[tile.up]);
    this.text(context, `${mm.toFixed(1)} mm`, ends[1][0] + 8 * this.scale, ends[1][1] - 14 * this.scale, "#ffe066");
  }

  drawCursor(context, tile) {
    if (!this.pen.isOn || !this.pen.paints || this.cursor?.tile.number !== tile.number) return;
    context.strokeStyle = this.get("pen").tool === "eraser" ? "#ffb86b" : "#ffffff";
    context.lineWidth = this.scale;
    context.beginPath();
    const radius = Math.max(2 * this.scale, this.get("pen").radius_mm * tile.perMm);
    context.arc(this.cursor.x, this.cursor.y, radius, 0, 2 * Math.PI);
    context.stroke();
  }

  text(context, text, x, y, color = "#ffffff", align = "left", weight = "") {
    context.font = `${weight} ${13 * this.scale}px system-ui, sans-serif`;
    context.textAlign = align;
    context.textBaseline = "top";
    context.lineWidth = 3 * this.scale;
    context.strokeStyle = "rgba(0,0,0,0.8)";
    context.lineJoin = "round";
    context.strokeText(text, x, y);
    context.fillStyle = color;
    context.fillText(text, x, y);
  }

  // Plane, slice and millimeters in the corner of a tile; at its rims the sides of the patient.
  drawLabels(context, tile, layerName) {
    const { dims, spacing, axes } = this.volume, [left, top, width, height] = tile.box, pad = 6 * this.scale;
    const lines = [PLANES[tile.plane], `${tile.index + 1}/${dims[tile.axis]}`, `${Math.round(tile.index * spacing[tile.axis])} mm`];
    if (layerName) lines.unshift(layerName);
    if (this.views[tile.plane].zoom !== 1) lines.push(`× ${this.views[tile.plane].zoom.toFixed(1)}`);
    const active = tile.plane === this.plane;
    lines.forEach((line, k) => {
      this.text(context, line, left + pad, top + pad + 16 * k * this.scale, active ? "#ffffff" : "#b8b8b8");
    });
    const right = sideLetters(axes[tile.across].map((part) => -part)), other = sideLetters(axes[tile.across]);
    const above = sideLetters(axes[tile.up]), below = sideLetters(axes[tile.up].map((part) => -part));
    const middle = top + height / 2 - 7 * this.scale, size = 13 * this.scale;
    this.text(context, other, left + pad, middle, "#ffffff", "left", "600");
    this.text(context, right, left + width - pad, middle, "#ffffff", "right", "600");
    this.text(context, above, left + width / 2, top + pad / 2, "#ffffff", "center", "600");
    this.text(context, below, left + width / 2, top + height - pad / 2 - size, "#ffffff", "center", "600");
  }

  // --- mouse, touch and keyboard ----------------------------------------------------------------------

  setCrosshair(voxel) {
    const moves = String(voxel) !== String(this.crosshair());
    this.place = voxel;
    this.el.dataset.voxel = voxel.join(" ");
    this.draw();
    if (moves) this.share("crosshair", voxel);
  }

  scroll(plane, by) {
    if (!this.volume) return;
    const voxel = [...this.crosshair()], axis = AXES[plane][0];
    voxel[axis] = Math.min(this.dims()[axis] - 1, Math.max(0, voxel[axis] + by));
    this.setCrosshair(voxel);
  }

  zoom({ tile, x, y }, factor) {
    const view = this.views[tile.plane], zoom = Math.min(MAX_ZOOM, Math.max(1, view.zoom * factor)), [left, top, w, h] = tile.box;
    const perMm = tile.perMm * zoom / view.zoom, offset = [x - left - w / 2, y - top - h / 2];
    view.pan = zoom === 1 ? [0, 0] : view.pan.map((mm, k) => offset[k] / perMm - (offset[k] / tile.perMm - mm));
    view.zoom = zoom;
    this.draw();
  }

  onWheel(event) {
    const place = this.tileAt(event);
    if (!place || !event.deltaY) return;
    event.preventDefault();
    this.plane = place.tile.plane;
    if (event.ctrlKey || event.metaKey) return this.zoom(place, Math.exp(-Math.sign(event.deltaY) * 0.15));
    this.scroll(place.tile.plane, event.deltaY > 0 ? -1 : 1);
  }

  onPointerDown(event) {
    const place = this.tileAt(event);
    if (!place) return;
    this.el.focus({ preventScroll: true });
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.plane = place.tile.plane;
    if (this.pointers.size > 1) return this.cancelDrag();
    const touch = event.pointerType === "touch", draws = this.pen.isOn && event.button === 0;
    const mode = draws ? "pen" : touch ? `touch ${this.get("drag_mode")}` : event.button === 0 ? "crosshair" : this.get("drag_mode");
    this.drag = { mode, place, last: place, window: this.get("window"), moved: false };
    if (mode === "pen") this.pen.begin(place.tile, place.u, place.v);
    if (mode === "crosshair") this.setCrosshair(this.voxelAt(place));
    this.draw();
  }

  cancelDrag() {
    if (this.drag?.mode === "pen") this.pen.end();
    this.drag = null;
  }

  onPointerMove(event) {
    const place = this.tileAt(event);
    this.cursor = place;
    if (this.pointers.has(event.pointerId) && this.pointers.size === 2) return this.pinch(event);
    if (!this.drag) {
      if (this.pen.isOn) this.draw();
      return this.hover(place);
    }
    const { tile } = this.drag.place, bounds = this.canvas.getBoundingClientRect(), scale = this.canvas.width / bounds.width;
    const now = { x: (event.clientX - bounds.left) * scale, y: (event.clientY - bounds.top) * scale };
    Object.assign(now, { tile, u: tile.u(now.x), v: tile.v(now.y) });
    const dx = (now.x - this.drag.last.x) / scale, dy = (now.y - this.drag.last.y) / scale;
    this.drag.moved ||= Math.hypot(now.x - this.drag.place.x, now.y - this.drag.place.y) > 6 * this.scale;
    if (this.drag.mode === "pen") this.pen.move(now.u, now.v);
    else if (this.drag.mode === "crosshair") this.setCrosshair(this.voxelAt(now));
    else if (!this.drag.mode.startsWith("touch") || this.drag.moved) this.dragBy(now, dx, dy);
    this.drag.last = now;
  }

  dragBy(now, dx, dy) {
    const mode = this.drag.mode.replace("touch ", ""), { tile } = this.drag.place;
    if (mode === "pan") {
      const { pan } = this.views[tile.plane];
      this.views[tile.plane].pan = [pan[0] + dx * this.scale / tile.perMm, pan[1] + dy * this.scale / tile.perMm];
    } else if (mode === "scroll") {
      const step = Math.max(3, tile.box[3] / this.scale / this.dims()[tile.axis]), slices = (this.drag.rest ?? 0) - dy / step;
      this.drag.rest = slices - Math.trunc(slices);
      this.scroll(tile.plane, Math.trunc(slices));
    } else if (mode === "measure") {
      const { u, v } = this.drag.place;
      this.measured = { plane: tile.plane, index: tile.index, from: [u, v], to: [now.u, now.v] };
    } else {
      const [low, high] = this.get("window"), width = Math.min(4000, Math.max(10, high - low + 2 * dx));
      const center = Math.min(2000, Math.max(-1000, (low + high) / 2 + 2 * dy));
      this.share("window", [Math.max(-2000, Math.round(center - width / 2)), Math.min(4000, Math.round(center + width / 2))]);
    }
    this.draw();
  }

  pinch(event) {
    const spread = () => {
      const [a, b] = [...this.pointers.values()];
      return { size: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 };
    };
    const before = spread();
    this.pointers.set(event.pointerId, event);
    const after = spread(), place = this.tileAt(after);
    if (!place || !before.size) return;
    this.zoom(place, after.size / before.size);
    const { pan, zoom } = this.views[place.tile.plane], perMm = this.tileAt(after).tile.perMm / this.scale;
    if (zoom === 1) return;
    pan[0] += (after.clientX - before.clientX) / perMm;
    pan[1] += (after.clientY - before.clientY) / perMm;
  }

  onPointerUp(event) {
    this.pointers.delete(event.pointerId);
    if (this.drag?.mode === "pen") this.pen.end();
    if (this.drag?.mode.startsWith("touch") && !this.drag.moved) this.setCrosshair(this.voxelAt(this.drag.place));
    this.drag = null;
    this.draw();
  }

  hover(place) {
    const now = performance.now();
    if (!place || now - (this.hovered || 0) < 80) return;
    this.hovered = now;
    if (!this.isAlone) this.model.send({ event: "hover", data: this.voxelAt(place) });
  }

  onKey(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const undo = (event.ctrlKey || event.metaKey) && { z: event.shiftKey ? "y" : "u", y: "y" }[key];
    if (!undo && (event.ctrlKey || event.metaKey || event.altKey) || !this.volume) return;
    const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 };
    if (undo) this.model.send({ event: "key", data: undo });
    else if (event.shiftKey && key.startsWith("Arrow")) this.moveInPlane(key);
    else if (key in steps) this.scroll(this.plane, steps[key]);
    else if (key in KEYS) {
      this.plane = KEYS[key];
      this.draw();
    } else if (key === " " && this.pen.isOn) this.dab();
    else if (key === "+" || key === "-" || key === "=") this.zoomAtCrosshair(key === "-" ? 1 / 1.25 : 1.25);
    else if (key === "r") this.reset();
    else if (/^[a-z0-9[\]]$/.test(key)) this.model.send({ event: "key", data: key });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  activeTile() {
    const tiles = this.tiles();
    return tiles.find((tile) => tile.plane === this.plane) ?? tiles[0];
  }

  moveInPlane(key) {
    const voxel = [...this.crosshair()], { across, up } = this.activeTile();
    const axis = key === "ArrowLeft" || key === "ArrowRight" ? across : up;
    voxel[axis] += key === "ArrowLeft" || key === "ArrowUp" ? 1 : -1;
    this.setCrosshair(voxel.map((v, k) => Math.min(this.dims()[k] - 1, Math.max(0, v))));
  }

  zoomAtCrosshair(factor) {
    const tile = this.activeTile(), voxel = this.crosshair();
    this.zoom({ tile, x: tile.x(voxel[tile.across]), y: tile.y(voxel[tile.up]) }, factor);
  }

  dab() {
    const tile = this.activeTile(), voxel = this.crosshair();
    if (this.pen.paints) this.pen.dab(tile, voxel[tile.across], voxel[tile.up]);
  }
}
