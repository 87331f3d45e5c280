// Contours, orientation letters and shortcuts over NiiVue's slices. This text is joined to ipyniivue's own module, so
// that it sees its Niivue object: NIIVUE and INNER stand for the two names that slices.py found there.

const AXES = [[2, 0, 1], [1, 0, 2], [0, 1, 2]]; // slice, across, up: axial, coronal, sagittal
const PLANES = ["axial", "coronal", "sagittal"];
const LINE_WIDTH = 1.7; // pixels
const SHORTCUTS = { a: 0, c: 1, s: 2 }; // the plane that the arrow keys scroll

class Overlay {
  constructor(nv, model, el) {
    this.nv = nv;
    this.model = model;
    this.el = el;
    this.plane = 0; // the plane that the arrow keys scroll
    this.layers = [];
    el.classList.add("pedseg-slices");
    el.tabIndex = 0;
    el.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes single letters for its own commands
    el.setAttribute("role", "application");
    el.setAttribute("aria-label", "CT slices; arrow keys scroll, A C S choose the plane");
    this.canvas = document.createElement("canvas");
    this.canvas.className = "pedseg-overlay";
    Object.assign(this.canvas.style, { position: "absolute", left: 0, top: 0, pointerEvents: "none" });
    nv.canvas.parentNode.style.position = "relative";
    nv.canvas.parentNode.appendChild(this.canvas);
    const drawScene = nv.drawScene.bind(nv);
    nv.drawScene = () => {
      const result = drawScene();
      this.draw();
      return result;
    };
    this.listen();
    this.unpackLayers();
    this.arrange();
    this.setDragMode();
    this.moveCrosshair(model.get("crosshair"));
    if (model.get("pen").on) this.setPen();
  }

  listen() {
    const { model, el, nv } = this, on = (name, act) => model.on(`change:${name}`, act);
    on("layers", () => this.unpackLayers());
    for (const name of ["visible_organs", "contour_style", "marker", "focused_organ"]) on(name, () => this.draw());
    on("crosshair", () => this.moveCrosshair(model.get("crosshair")));
    on("arrangement", () => this.arrange());
    on("pen", () => this.setPen());
    on("pen_input", () => this.loadDrawing());
    on("drag_mode", () => this.setDragMode());
    on("undo_count", () => { nv.drawUndo(); this.report(true); });
    el.addEventListener("keydown", (event) => this.onKey(event), true);
    nv.canvas.addEventListener("pointermove", (event) => this.onPointerMove(event));
    nv.canvas.addEventListener("pointerup", () => this.report(true));
    nv.canvas.addEventListener("wheel", () => setTimeout(() => this.reportCrosshair(), 0));
    for (const name of ["wheel", "pointerdown"]) {
      nv.canvas.addEventListener(name, (event) => { this.plane = this.tileAt(event)?.plane ?? this.plane; }, true);
    }
    new ResizeObserver(() => this.wide !== this.isWide() && this.arrange()).observe(nv.canvas);
  }

  // --- drawing --------------------------------------------------------------------------------------

  unpackLayers() {
    const aligned = ({ buffer, byteOffset, byteLength }) => buffer.slice(byteOffset, byteOffset + byteLength);
    this.layers = this.model.get("layers").map((layer) => ({
      ...layer, table: new Int32Array(aligned(layer.table)), points: new Uint16Array(aligned(layer.points)),
    }));
    this.draw();
  }

  dims() {
    return this.nv.volumes.length ? this.nv.volumes[0].dimsRAS.slice(1, 4) : null;
  }

  voxel(fractions = this.nv.scene.crosshairPos) {
    return this.dims().map((n, axis) => Math.min(n - 1, Math.max(0, Math.floor(fractions[axis] * n))));
  }

  // One slice on the canvas: its box in pixels, and `x` and `y`, which map voxels to pixels. Both are linear, whatever
  // the zoom and the convention, so two points of NiiVue's own mapping are enough.
  tile(number) {
    const slice = this.nv.screenSlices[number];
    if (!slice || slice.axCorSag > 2 || slice.AxyzMxy.length < 4) return null;
    const [left, top, width, height] = slice.leftTopWidthHeight, dims = this.dims();
    const [axis, across, up] = AXES[slice.axCorSag];
    const x = [left + 0.3 * width, left + 0.7 * width], y = [top + 0.3 * height, top + 0.7 * height];
    const [a, b] = [0, 1].map((k) => this.nv.screenXY2TextureFrac(x[k], y[k], number, false));
    const linear = (f0, f1, p0, p1, n) => (voxel) => p0 + ((voxel + 0.5) / n - f0) * (p1 - p0) / (f1 - f0);
    return {
      number, axis, across, up, plane: slice.axCorSag,
      box: [Math.min(left, left + width), top, Math.abs(width), height],
      x: linear(a[across], b[across], x[0], x[1], dims[across]), y: linear(a[up], b[up], y[0], y[1], dims[up]),
    };
  }

  draw() {
    const nv = this.nv, source = nv.canvas, context = this.canvas.getContext("2d");
    if (this.canvas.width !== source.width || this.canvas.height !== source.height) {
      this.canvas.width = source.width;
      this.canvas.height = source.height;
    }
    this.canvas.style.width = `${source.clientWidth}px`;
    this.canvas.style.height = `${source.clientHeight}px`;
    context.clearRect(0, 0, source.width, source.height);
    if (!this.dims()) return;
    this.scale = nv.uiData?.dpr || 1; // pixels of the canvas in one of the page
    const crosshair = this.voxel(), { hidden } = this.model.get("contour_style");
    const beside = this.model.get("arrangement") === "beside"; // truth on the left, model on the right
    nv.screenSlices.forEach((_, number) => {
      const tile = this.tile(number);
      if (!tile) return;
      const index = crosshair[tile.axis], side = Math.min(number, 1);
      context.save();
      context.beginPath();
      context.rect(...tile.box);
      context.clip();
      this.layers.forEach((layer, k) => {
        if (layer.always || !hidden.includes(k) && (!beside || k === side)) this.drawLayer(context, tile, layer, index);
      });
      this.drawMarker(context, tile, index);
      context.restore();
      this.drawLabels(context, tile, index, beside ? this.layers[side]?.name : "");
    });
    this.el.dataset.drawn = String(performance.now());
    this.el.dataset.voxel = crosshair.join(" ");
  }

  drawLayer(context, tile, layer, index) {
    const get = (name) => this.model.get(name), style = get("contour_style"), visible = new Set(get("visible_organs"));
    const paths = new Map(), scale = this.scale;
    for (let row = 0; row < layer.table.length; row += 5) {
      if (layer.table[row] !== tile.plane || layer.table[row + 1] !== index) continue;
      const [organ, start, length] = layer.table.subarray(row + 2, row + 5);
      if (!layer.always && !visible.has(organ)) continue;
      if (!paths.has(organ)) paths.set(organ, new Path2D());
      const path = paths.get(organ);
      for (let k = start; k < start + length; k++) {
        const x = tile.x(layer.points[2 * k] / 2 - 1), y = tile.y(layer.points[2 * k + 1] / 2 - 1);
        if (k === start) path.moveTo(x, y); else path.lineTo(x, y);
      }
      path.closePath();
    }
    context.lineJoin = "round";
    for (const [organ, path] of paths) {
      const color = layer.color || get("colors")[organ];
      if (style.fill && !layer.always) {
        context.globalAlpha = style.opacity * (layer.fill ?? 1);
        context.fillStyle = color;
        context.fill(path, "evenodd");
      }
      if (style.lines || layer.always) {
        const width = scale * LINE_WIDTH * (organ === get("focused_organ") ? 1.7 : 1);
        const lightRim = get("dark").includes(organ) && !layer.color;
        context.globalAlpha = layer.always ? 1 : Math.max(0.25, style.fill ? 1 : style.opacity);
        context.setLineDash(layer.dash.map((d) => d * scale));
        context.lineWidth = width + 1.6 * scale;
        context.strokeStyle = lightRim ? "rgba(255,255,255,0.65)" : "rgba(0,0,0,0.7)";
        context.stroke(path);
        context.lineWidth = width;
        context.strokeStyle = color;
        context.stroke(path);
      }
    }
  }

  drawMarker(context, tile, index) {
    const marker = this.model.get("marker");
    if (!marker.length || Math.abs(index - marker[tile.axis]) > 1) return;
    context.setLineDash([]);
    context.globalAlpha = 1;
    for (const [color, width] of [["black", 4], ["white", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width * this.scale;
      context.beginPath();
      context.arc(tile.x(marker[tile.across]), tile.y(marker[tile.up]), 13 * this.scale, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  // Plane, slice number and millimeters in the corner of a tile, orientation letters at the rims of its picture.
  drawLabels(context, tile, index, layerName) {
    const { width, height } = this.nv.canvas, scale = this.scale, [left, top, tileWidth, tileHeight] = tile.box;
    const corner = this.nv.getCustomLayout()?.[tile.number]?.position ?? [0, 0]; // the tile is wider than its picture
    const text = [PLANES[tile.plane], `${index + 1}/${this.dims()[tile.axis]}`];
    text.push(`${Math.round(index * this.model.get("spacing_mm")[tile.axis])} mm`);
    if (layerName) text.unshift(layerName);
    context.save();
    context.shadowColor = "black";
    context.shadowBlur = 3 * scale;
    context.font = `${12 * scale}px sans-serif`;
    context.fillStyle = tile.plane === this.plane ? "#ffffff" : "#b8b8b8";
    context.textBaseline = "top";
    text.forEach((line, k) => {
      context.fillText(line, corner[0] * width + 6 * scale, corner[1] * height + (6 + 15 * k) * scale);
    });
    context.font = `600 ${13 * scale}px sans-serif`;
    context.fillStyle = "#ffffff";
    context.textBaseline = "middle";
    context.textAlign = "center";
    const [onLeft, onRight, above, below] = this.orientationLetters(tile), rim = 11 * scale;
    context.fillText(onLeft, left + rim, top + tileHeight / 2);
    context.fillText(onRight, left + tileWidth - rim, top + tileHeight / 2);
    context.fillText(above, left + tileWidth / 2, top + rim);
    context.fillText(below, left + tileWidth / 2, top + tileHeight - rim);
    context.restore();
  }

  // The patient's sides at the rims, read off the picture itself: which way each axis runs on the screen.
  orientationLetters(tile) {
    const ends = ["LR", "PA", "IS"], x = ends[tile.across], y = ends[tile.up];
    const [onLeft, onRight] = tile.x(1) > tile.x(0) ? x : [x[1], x[0]];
    const [below, above] = tile.y(1) < tile.y(0) ? y : [y[1], y[0]];
    return [onLeft, onRight, above, below];
  }

  isWide() {
    return this.nv.canvas.clientWidth > 1.15 * this.nv.canvas.clientHeight;
  }

  arrange() {
    const place = (sliceType, ...position) => ({ sliceType, position });
    const layouts = {
      planes: this.isWide()
        ? [place(0, 0, 0, 0.58, 1), place(1, 0.58, 0, 0.42, 0.5), place(2, 0.58, 0.5, 0.42, 0.5)]
        : [place(0, 0, 0, 1, 0.54), place(1, 0, 0.54, 0.5, 0.46), place(2, 0.5, 0.54, 0.5, 0.46)],
      beside: [place(0, 0, 0, 0.5, 1), place(0, 0.5, 0, 0.5, 1)],
    };
    const name = this.model.get("arrangement"), plane = PLANES.indexOf(name);
    if (plane >= 0) this.plane = plane;
    this.wide = this.isWide();
    this.nv.setCustomLayout(layouts[name] ?? [place(plane, 0, 0, 1, 1)]);
  }

  // --- interaction ----------------------------------------------------------------------------------

  moveCrosshair(voxel) {
    const dims = this.dims();
    if (!dims || voxel.length !== 3) return;
    this.nv.scene.crosshairPos = voxel.map((v, k) => (v + 0.5) / dims[k]);
    this.nv.drawScene();
  }

  reportCrosshair() {
    const voxel = this.voxel();
    if (String(voxel) === String(this.model.get("crosshair"))) return;
    this.model.set("crosshair", voxel);
    this.model.save_changes();
  }

  // The tile under the pointer, and where in the volume the pointer is.
  tileAt(event) {
    const bounds = this.nv.canvas.getBoundingClientRect(), scale = this.nv.uiData?.dpr || 1;
    const x = (event.clientX - bounds.left) * scale, y = (event.clientY - bounds.top) * scale;
    for (let k = 0; this.dims() && k < this.nv.screenSlices.length; k++) {
      const fractions = this.nv.screenXY2TextureFrac(x, y, k, true);
      if (fractions[0] >= 0) return { plane: this.nv.screenSlices[k].axCorSag, fractions };
    }
    return null;
  }

  onPointerMove(event) {
    if (event.buttons) return this.report(false);
    const now = performance.now();
    if (now - (this.hovered || 0) < 80) return;
    this.hovered = now;
    const tile = this.tileAt(event);
    if (tile) this.model.send({ event: "pedseg_hover", data: this.voxel(tile.fractions) });
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in steps) {
      const voxel = this.voxel(), axis = AXES[this.plane][0];
      voxel[axis] = Math.min(this.dims()[axis] - 1, Math.max(0, voxel[axis] + steps[key]));
      this.moveCrosshair(voxel);
      this.reportCrosshair();
    } else if (key in SHORTCUTS) {
      this.plane = SHORTCUTS[key];
      this.draw();
    } else if (/^[a-z0-9[\]+\-]$/.test(key)) {
      this.model.send({ event: "pedseg_key", data: key });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  setDragMode() {
    const { contrast, measurement, pan } = this.nv.dragModes;
    this.nv.opts.dragMode = { window: contrast, measure: measurement, pan }[this.model.get("drag_mode")];
  }

  // The kernel is gone: the slices stay, everything else must be started again.
  showDisconnected() {
    if (this.el.querySelector(".pedseg-disconnected")) return;
    const note = document.createElement("div");
    note.className = "pedseg-disconnected pedseg-error";
    note.setAttribute("role", "alert");
    note.textContent = "The program behind this page has stopped. You can still scroll through these slices; "
      + "for everything else reload the page, or in JupyterLab choose Run, Run All Cells.";
    this.el.prepend(note);
  }

  // --- the pen --------------------------------------------------------------------------------------

  setPen() {
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
    const mask = this.model.get("pen_input"), nv = this.nv;
    if (!this.model.get("pen").on || !mask?.byteLength) return;
    if (!nv.drawBitmap) nv.createEmptyDrawing();
    if (mask.byteLength !== nv.drawBitmap.length) return;
    nv.drawBitmap.set(new Uint8Array(mask.buffer, mask.byteOffset, mask.byteLength));
    nv.drawClearAllUndoBitmaps();
    nv.drawAddUndoBitmap();
    nv.refreshDrawing(true);
  }

  // Send crosshair and drawing to the kernel: at the end of a stroke at once, before that a few times a second.
  report(finished) {
    this.reportCrosshair();
    const now = performance.now();
    if (!this.model.get("pen").on || !this.nv.drawBitmap || (!finished && now - (this.reported || 0) < 300)) return;
    this.reported = now;
    setTimeout(() => {
      this.model.set("pen_output", new DataView(this.nv.drawBitmap.slice().buffer));
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
      const overlay = new Overlay(nv, model, el), manager = model.widget_manager;
      const kernel = manager?.kernel ?? manager?.context?.sessionContext?.session?.kernel;
      kernel?.statusChanged?.connect((_, status) => {
        if (["dead", "restarting", "autorestarting", "terminating"].includes(status)) overlay.showDisconnected();
      });
      model.set("ready", `${nv._gl ? "webgl" : "none"} ${Date.now()}`);
      model.save_changes();
    }
    return stop;
  },
};
