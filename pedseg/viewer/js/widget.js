// The slice viewer as a widget (anywidget): scan and contours come from the kernel, packed and piece by piece.

const PIECES_AT_ONCE = 3, PIECE_BYTES = 4e6;

class KernelSlices {
  constructor(model, el) {
    this.model = model;
    this.viewer = new SliceViewer(model, el);
    model.on("change:scan", () => this.openScan());
    model.on("change:layers", () => this.openLayers());
    model.on("change:session", () => this.openSession());
    model.on("msg:custom", (content, buffers) => this.receive(content, buffers));
    this.openScan();
    this.openLayers();
    this.openSession();
  }

  openScan() {
    const scan = this.model.get("scan");
    delete this.viewer.el.dataset.whole;
    if (!scan.id) return;
    const [nx, ny, nz] = scan.shape;
    const voxels = new Int16Array(nx * ny * nz).fill(-1024), arrived = new Uint8Array(nz);
    this.viewer.setVolume({ id: scan.id, dims: scan.shape, spacing: scan.spacing_mm, axes: scan.axes, voxels, arrived });
    this.asked = new Uint8Array(nz);
    this.perPiece = Math.max(1, Math.floor(PIECE_BYTES / (2 * nx * ny)));
    for (let k = 0; k < PIECES_AT_ONCE; k++) this.askForPiece();
    this.openLayers();
    this.openSession();
  }

  // The slices nearest to the crosshair first.
  askForPiece() {
    const { id, shape } = this.model.get("scan"), nz = shape[2], middle = this.viewer.crosshair()[2];
    let first = -1;
    for (let d = 0; d < nz && first < 0; d++) first = [middle + d, middle - d].find((z) => this.asked[z] === 0) ?? -1;
    if (first < 0) return;
    let last = first;
    while (last - first + 1 < this.perPiece && this.asked[last + 1] === 0) last++;
    while (last - first + 1 < this.perPiece && this.asked[first - 1] === 0) first--;
    this.asked.fill(1, first, last + 1);
    this.model.send({ event: "slices", scan: id, data: [first, last + 1] });
  }

  receive(content, buffers) {
    if (content.event === "slices") this.takePiece(content, buffers[0]);
    if (content.event === "mask") this.viewer.pen.receive(content, buffers[0]);
  }

  takePiece({ scan, data: [first, end] }, buffer) {
    const { volume } = this.viewer;
    if (volume?.id !== scan || volume.arrived[first]) return;
    const bytes = bytesOf(buffer), aligned = bytes.byteOffset % 2 ? bytes.slice() : bytes;
    const values = new Int16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
    volume.voxels.set(values, first * volume.dims[0] * volume.dims[1]);
    volume.arrived.fill(1, first, end);
    this.askForPiece();
    const whole = volume.arrived.every(Boolean), z = this.viewer.crosshair()[2];
    if (whole) {
      this.viewer.el.dataset.whole = scan;
      this.viewer.share("whole", scan);
    }
    if (whole || first <= z && z < end || performance.now() - (this.drawn ?? 0) > 700) {
      this.drawn = performance.now();
      this.viewer.touchVolume();
    }
  }

  async openLayers() {
    const layers = this.model.get("layers"), scan = this.model.get("scan").id, known = (this.known ??= new Map());
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const opened = await Promise.all(layers.map(async (layer) => {
      const old = known.get(layer.key);
      return old ? { ...layer, values: old.values, lines: old.lines } : { ...layer, values: await inflate(layer.labels), lines: new Map() };
    }));
    if (turn !== this.turn || this.viewer.volume?.id !== scan) return;
    this.known = new Map(opened.map((layer) => [layer.key, layer]));
    this.viewer.setLayers(opened);
  }

  openSession() {
    this.viewer.pen.clear();
    if (this.model.get("session")) this.model.send({ event: "mask" });
    this.viewer.draw();
  }

  // The kernel is gone: the slices stay, everything else must be started again.
  showDisconnected() {
    const { el } = this.viewer;
    if (this.viewer.isAlone) return;
    this.viewer.isAlone = true;
    const note = document.createElement("div");
    note.className = "pedseg-disconnected pedseg-error";
    note.setAttribute("role", "alert");
    note.textContent = "The program behind this page has stopped. You can still scroll through these slices; "
      + "for everything else reload the page, or in JupyterLab choose Run, Run All Cells.";
    el.prepend(note);
    el.closest(".pedseg-room")?.classList.add("pedseg-dead");
    for (const list of el.closest(".pedseg-room")?.querySelectorAll("select, input, button") ?? []) list.disabled = true;
  }
}

// Names and states for screen readers, which the widgets of a notebook do not give.
function nameControls(room) {
  const set = (element, name, value) => { if (element && element.getAttribute(name) !== value) element.setAttribute(name, value); };
  for (const list of room.querySelectorAll("select, input[type=text], input[type=number]")) {
    const label = list.title || list.parentElement?.title || list.closest(".jupyter-widgets")?.querySelector("label")?.textContent;
    if (label) set(list, "aria-label", label);
  }
  for (const handle of room.querySelectorAll(".noUi-handle")) {
    const slider = handle.closest(".jupyter-widgets"), label = slider?.title || slider?.querySelector("label")?.textContent;
    const end = slider?.querySelectorAll(".noUi-handle").length > 1 ? (handle.classList.contains("noUi-handle-lower") ? ", low" : ", high") : "";
    set(handle, "aria-label", `${label || "slider"}${end}`);
  }
  for (const readout of room.querySelectorAll(".widget-readout[contenteditable]")) {
    set(readout, "role", "textbox");
    set(readout, "aria-label", `${readout.closest(".jupyter-widgets")?.querySelector("label")?.textContent || "slider"}, as a number`);
  }
  for (const button of room.querySelectorAll(".widget-toggle-button")) set(button, "aria-pressed", String(button.classList.contains("mod-active")));
  for (const group of room.querySelectorAll(".widget-toggle-buttons")) set(group, "role", "group");
  for (const panel of room.querySelectorAll(".widget-tab-contents")) set(panel, "tabindex", "0"); // to scroll it
  for (const table of room.querySelectorAll("table.pedseg")) set(table.closest(".widget-html"), "tabindex", "0");
  for (const plot of room.querySelectorAll(".k3d-target canvas")) set(plot, "aria-label", "organs in 3-D");
}

function watchRoom(el) {
  const room = el.closest(".pedseg-room");
  if (!room || room.dataset.named) return;
  room.dataset.named = "true";
  if (!document.querySelector("main, [role=main]")) room.setAttribute("role", "main");
  let queued = false;
  new MutationObserver(() => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => { queued = false; nameControls(room); });
  }).observe(room, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
  nameControls(room);
}

function webglState() {
  try {
    return document.createElement("canvas").getContext("webgl2") ? "ok" : "none";
  } catch {
    return "none";
  }
}

export default {
  render({ model, el }) {
    const slices = new KernelSlices(model, el), kernel = kernelOf(model);
    kernel?.statusChanged?.connect((_, status) => {
      if (["dead", "restarting", "autorestarting", "terminating"].includes(status)) slices.showDisconnected();
    });
    const lost = (event) => {
      if (!event.target.closest?.(".pedseg-room")) return;
      event.preventDefault();
      model.set("webgl", "lost");
      model.save_changes();
    };
    document.addEventListener("webglcontextlost", lost, true);
    requestAnimationFrame(() => watchRoom(el));
    if (matchMedia("(pointer: coarse)").matches && model.get("drag_mode") === "window") model.set("drag_mode", "scroll");
    model.set("webgl", webglState());
    model.set("ready", String(Date.now()));
    model.save_changes();
    return () => {
      slices.viewer.stop();
      document.removeEventListener("webglcontextlost", lost, true);
    };
  },
};

function kernelOf(model) {
  const manager = model.widget_manager;
  return manager?.kernel ?? manager?.context?.sessionContext?.session?.kernel;
}
