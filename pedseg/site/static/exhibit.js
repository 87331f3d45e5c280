// The exhibit: a study's patients with the contours of its networks, organ by organ and failure by failure.
// Slices are drawn by the reading room's own viewer, surfaces by NiiVue; there is no kernel behind the page.

import { drawMap } from "../exhibit/failure_map.js";
import { SliceViewer } from "../exhibit/slices.js";
import { labelMap, surface } from "./surfaces.js";

const FILES = new URL("../exhibit/", import.meta.url);
const DASHES = { truth: [], model: [7, 5] }; // pixels on and off
const SEE_THROUGH = { Lung_L: 0.15, Lung_R: 0.15, "Bowel^Stomach": 0.6 }; // others lie behind them
const FILTERS = ["group", "kind", "cause", "about", "by", "center"]; // of the list of failures
const POOR_DSC = 0.7, FALSE_ML = 1, BEHIND_FOCUS = 0.25;
const room = document.getElementById("exhibit"), $ = (name) => room.querySelector(`[data-part=${name}]`);

// What the slices share with the kernel in the reading room, here without a kernel.
class State {
  constructor(values) {
    this.values = values;
    this.handlers = {};
    this.onKey = this.onHover = () => {};
  }
  get(name) { return this.values[name]; }
  set(name, value) {
    this.values[name] = value;
    for (const handle of this.handlers[`change:${name}`] ?? []) handle();
  }
  on(name, handle) { (this.handlers[name] ??= []).push(handle); }
  save_changes() {}
  send({ event, data }) { if (event === "key") this.onKey(data); }
}

// NiiVue draws after every step; between `pause` and `resume` it waits, and draws once.
class Drawing extends niivue.Niivue {
  drawScene() { return this.paused ? undefined : super.drawScene(); }
  pause() { this.paused = true; }
  resume() {
    this.paused = false;
    this.drawScene();
  }
}

class Exhibit {
  constructor(study) {
    Object.assign(this, study);
    this.organById = new Map(this.organs.map((organ) => [organ.id, organ]));
    this.caseByKey = new Map(this.cases.map((patient) => [patient.key, patient]));
    this.opened = null; // the patient on the screen: scan, label maps by model
    this.failure = -1; // place in `listed`
    this.state = new State({
      crosshair: [], marker: [], focused_organ: 0, arrangement: "planes", window: Object.values(this.windows)[0],
      contour_style: { lines: true, fill: false, opacity: 1, smooth: true, hidden: [] }, visible_organs: this.visibleOrgans("nine"),
      colors: Object.fromEntries(this.organs.map((organ) => [organ.id, organ.color])),
      dark: this.organs.filter((organ) => organ.dark).map((organ) => organ.id), drag_mode: "window", pen: { on: false },
    });
  }

  // --- setting up ---------------------------------------------------------------------------------

  async start() {
    this.slices = new SliceViewer(this.state, $("slices-box"));
    this.fillLists();
    this.listen();
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const name of ["model", "organ"]) {
      const choice = [...$(name).options].find((option) => option.value === asked.get(name));
      if (choice) $(name).value = choice.value;
    }
    const wanted = this.failures.find((failure) => asked.has("failure") && failure.fragment === `${new URLSearchParams({ failure: asked.get("failure") })}`);
    const first = this.failures.find((failure) => failure.selected) ?? this.cases[0];
    const child = this.caseByKey.has(asked.get("child")) ? asked.get("child") : first.case ?? first.key;
    await this.open(wanted?.case ?? child);
    if (wanted) await this.openFailure(this.list({ group: wanted.group }).indexOf(wanted), asked.get("model"));
    else this.chooseOrgan();
    room.dataset.ready = "true";
    await new Promise((shown) => setTimeout(shown, 50)); // the slices first: two more canvases take their time
    await this.startSurfaces();
  }

  async startSurfaces() {
    const options = { dragAndDropEnabled: false, show3Dcrosshair: false, isOrientCube: false, loadingText: "",
      backColor: [0, 0, 0, 1], sliceType: 4 };
    const views = {};
    for (const name of ["truth", "model"]) {
      views[name] = new Drawing(options);
      views[name].pause();
      views[name].setRenderAzimuthElevation(180, 8); // from the front
      await views[name].attachToCanvas($(`surface-${name}`));
    }
    views.truth.broadcastTo([views.model], { "3d": true });
    views.model.broadcastTo([views.truth], { "3d": true });
    this.views = views;
    this.drawSurfaces();
    room.dataset.surfaces = "true";
  }

  fillLists() {
    const option = (value, text) => new Option(text, value);
    const centers = [...new Set(this.cases.map((patient) => patient.center))];
    $("child").replaceChildren(...centers.map((center) => {
      const group = document.createElement("optgroup");
      group.label = center;
      group.append(...this.cases.filter((c) => c.center === center).map((c) => option(c.key, c.title)));
      return group;
    }));
    $("model").replaceChildren(...this.models.map((m) => option(m.key, m.title)), option("", "nobody (truth alone)"));
    $("organ").replaceChildren(option("nine", "nine evaluated organs"), option("all", `all ${this.organs.length} organs`),
      ...this.organs.map((organ) => option(organ.id, organ.plain)));
    $("window").replaceChildren(...Object.keys(this.windows).map((name) => option(name, name)));
    const words = (entries) => Object.entries(entries).map(([key, text]) => option(key, text));
    $("group").replaceChildren(option("selected", "a varied dozen"), ...words(this.lists));
    $("kind").replaceChildren(option("", "all kinds"), ...words(this.kinds));
    $("cause").replaceChildren(option("", "all causes"), ...words(this.causes));
    $("about").replaceChildren(option("", "all organs"), ...this.organs.map((organ) => option(organ.id, organ.plain)));
    $("by").replaceChildren(option("", "all networks"), ...this.models.map((m) => option(m.key, m.title)));
    $("center").replaceChildren(option("", "all hospitals"), ...centers.map((center) => option(center, center)));
    drawMap($("map"), this.map, (row, column) => {
      const { name, evaluated } = this.map.organs[row], { model, center } = this.map.columns[column];
      const organ = this.organs.find((o) => o.name === name);
      this.list({ group: evaluated ? "evaluated" : "others", about: organ.id, by: model, center });
      $("failures").focus();
    });
    this.listFailures();
  }

  listen() {
    const on = (name, act) => $(name).addEventListener("change", act);
    on("child", () => this.leaveFailure() || this.open($("child").value));
    on("model", () => this.show());
    on("organ", () => this.chooseOrgan());
    on("window", () => this.setWindow());
    on("arrangement", () => this.state.set("arrangement", $("arrangement").value));
    for (const name of FILTERS) on(name, () => this.listFailures());
    on("failures", () => this.openFailure(Number($("failures").value)));
    $("slice").addEventListener("input", () => this.scrollTo(Number($("slice").value)));
    $("previous").addEventListener("click", () => this.step(-1));
    $("next").addEventListener("click", () => this.step(1));
    this.state.on("change:crosshair", () => this.describe());
    this.state.onKey = (key) => this.press(key);
    document.addEventListener("keydown", (event) => {
      const typing = /^(INPUT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range";
      const inside = room.contains(event.target) || event.target === document.body;
      if (typing || !inside || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
      if (/^Arrow(Up|Down)$|^Page/.test(event.key) && event.target === document.body) return; // the page's own
      if (this.press(event.key.toLowerCase())) event.preventDefault();
    });
  }

  press(key) {
    const cycle = (name) => {
      $(name).selectedIndex = ($(name).selectedIndex + 1) % $(name).options.length;
      $(name).dispatchEvent(new Event("change"));
    };
    const windows = Object.keys(this.windows);
    if (key === "n") this.step(1);
    else if (key === "b") this.step(-1);
    else if (key === "m") cycle("model");
    else if (key === "o") cycle("organ");
    else if (key === "t") this.toggleTruth();
    else if (windows[Number(key) - 1]) {
      $("window").value = windows[Number(key) - 1];
      this.setWindow();
    } else return false;
    return true;
  }

  // --- one patient --------------------------------------------------------------------------------

  async fetchLabels(patient, source) {
    const image = await niivue.NVImage.loadFromUrl({ url: new URL(`${patient.key}/${source}.nii.gz`, FILES).href });
    return labelMap(image.img, image.dimsRAS.slice(1, 4));
  }

  async open(key, voxel = null) {
    const patient = this.caseByKey.get(key);
    this.wanted = key;
    room.dataset.busy = "true";
    const [scan, truth] = await Promise.all([
      niivue.NVImage.loadFromUrl({ url: new URL(`${key}/ct.nii.gz`, FILES).href}),
      this.fetchLabels(patient, "truth"),
    ]);
    if (this.wanted !== key) return; // another one was asked for meanwhile
    this.opened = { patient, scan, sources: new Map([["truth", truth]]) };
    this.spacing = [...scan.pixDimsRAS.slice(1, 4)];
    $("child").value = key;
    this.state.values.marker = [];
    this.state.values.crosshair = voxel ?? patient.start;
    const axes = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    this.slices.setVolume({ id: key, dims: [...scan.dimsRAS.slice(1, 4)], spacing: this.spacing, axes, voxels: scan.img });
    this.state.set("crosshair", voxel ?? patient.start);
    await this.show();
  }

  // The model's contours over the truth, and both in 3-D.
  async show() {
    const opened = this.opened, model = $("model").value;
    room.dataset.busy = "true";
    if (model && !opened.sources.has(model)) {
      opened.sources.set(model, await this.fetchLabels(opened.patient, model));
    }
    if (this.opened !== opened || $("model").value !== model) return;
    const layers = ["truth", ...(model ? [model] : [])].map((source, k) => {
      const map = opened.sources.get(source);
      const name = k ? this.titleOf(model) : "truth", dash = k ? DASHES.model : DASHES.truth;
      return { name, dash, values: map.labels, box: [0, 0, 0, ...map.dims] };
    });
    this.slices.setLayers(layers);
    this.drawSurfaces();
    this.fillTable();
    this.describe();
    this.tellFailure();
    this.remember();
    room.dataset.busy = "false";
  }

  leaveFailure() {
    this.state.values.focused_organ = Number($("organ").value) || 0;
    this.state.values.marker = [];
  }

  titleOf(model) { return this.models.find((m) => m.key === model)?.title ?? "nobody"; }

  visibleOrgans(choice) {
    if (choice === "all") return this.organs.map((organ) => organ.id);
    return choice === "nine" ? this.organs.filter((o) => o.evaluated).map((o) => o.id) : [Number(choice)];
  }

  chooseOrgan() {
    const choice = $("organ").value, organ = Number(choice) || 0;
    this.state.set("visible_organs", this.visibleOrgans(choice));
    this.state.set("focused_organ", organ);
    if (organ) this.goTo(this.centerOf(organ));
    this.drawSurfaces();
    this.fillTable();
    this.remember();
  }

  // The voxel of an organ nearest to the middle of it, in the truth, else where the model has put it.
  centerOf(organ) {
    for (const source of ["truth", $("model").value]) {
      const map = this.opened.sources.get(source);
      if (!map?.boxes.has(organ)) continue;
      const { labels, dims } = map, middle = map.boxes.get(organ).map(([a, b]) => (a + b) / 2);
      let best = null, least = Infinity;
      for (let i = 0; i < labels.length; i++) {
        if (labels[i] !== organ) continue;
        const voxel = [i % dims[0], Math.floor(i / dims[0]) % dims[1], Math.floor(i / dims[0] / dims[1])];
        const far = voxel.reduce((sum, v, k) => sum + (v - middle[k]) ** 2, 0);
        if (far < least) [least, best] = [far, voxel];
      }
      return best;
    }
    return null;
  }

  goTo(voxel) { if (voxel) this.state.set("crosshair", voxel); }

  scrollTo(index) {
    const voxel = [...this.state.get("crosshair")];
    voxel[[2, 1, 0][this.slices.plane]] = index;
    this.goTo(voxel);
  }

  setWindow() {
    this.state.set("window", this.windows[$("window").value]);
  }

  toggleTruth() {
    const style = this.state.get("contour_style"), hidden = style.hidden.includes(0) ? [] : [0];
    this.state.set("contour_style", { ...style, hidden });
  }

  // --- words --------------------------------------------------------------------------------------

  describe() {
    if (!this.opened) return;
    const { scan, sources } = this.opened, voxel = this.state.get("crosshair"), [nx, ny] = scan.dimsRAS.slice(1, 3);
    const place = voxel[0] + nx * (voxel[1] + ny * voxel[2]), model = $("model").value;
    const nameAt = (source) => this.organById.get(sources.get(source).labels[place])?.plain ?? "no organ";
    const words = [`${Math.round(scan.img[place])} HU`, `truth: ${nameAt("truth")}`];
    if (sources.has(model)) words.push(`${this.titleOf(model)}: ${nameAt(model)}`);
    $("crosshair").textContent = words.join(" · ");
    const axis = [2, 1, 0][this.slices.plane];
    $("slice").max = scan.dimsRAS[axis + 1] - 1;
    $("slice").value = voxel[axis];
    $("slice-name").textContent = ["axial", "coronal", "sagittal"][this.slices.plane];
  }

  fillTable() {
    const model = $("model").value, scores = this.opened?.patient.scores[model] ?? {};
    const number = (value, digits) => value === null || value === undefined ? "–" : value.toFixed(digits);
    const rows = this.state.get("visible_organs").filter((id) => scores[id]).map((id) => {
      const [truth, predicted, dsc, hd95] = scores[id], row = document.createElement("tr");
      const cells = truth === null
        ? ["absent", predicted ? `${number(predicted, 1)} false` : "none", "–", "–"]
        : [number(truth, 1), predicted ? number(predicted, 1) : "missed", number(dsc, 2), number(hd95, 0)];
      row.classList.toggle("poor", truth === null ? predicted > FALSE_ML : (dsc ?? 0) < POOR_DSC);
      const name = document.createElement("th"), swatch = document.createElement("i");
      name.scope = "row";
      swatch.style.borderColor = this.organById.get(id).color;
      name.append(swatch, this.organById.get(id).plain);
      row.append(name, ...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return row;
    });
    $("scores").replaceChildren(...rows);
    $("scores-title").textContent = model ? `Scores: ${this.titleOf(model)}` : "Choose a network to see its scores.";
  }

  remember() {
    const parts = { child: this.opened.patient.key, model: $("model").value, organ: $("organ").value };
    const line = this.listed[this.failure];
    const shown = line?.case === parts.child ? `${line.fragment}&model=${parts.model}` : new URLSearchParams(parts);
    history.replaceState(null, "", `#${shown}`);
  }

  // --- 3-D ----------------------------------------------------------------------------------------

  drawSurfaces() {
    if (!this.opened || !this.views) return;
    const model = $("model").value, shown = this.state.get("visible_organs");
    const { spacing } = this;
    $("model-name").textContent = model ? this.titleOf(model) : "";
    for (const [name, source] of [["truth", "truth"], ["model", model]]) {
      const view = this.views[name], map = this.opened.sources.get(source);
      view.pause();
      while (view.meshes.length) view.removeMesh(view.meshes[0]);
      if (!map) { view.resume(); continue; }
      map.surfaces ??= new Map();
      // What is seen through is drawn last: it would hide what lies behind.
      const order = [...shown].sort((a, b) => this.opacity(b, shown) - this.opacity(a, shown));
      for (const organ of order.filter((id) => map.boxes.has(id))) {
        if (!map.surfaces.has(organ)) map.surfaces.set(organ, surface(map, organ, spacing));
        const { points, triangles } = map.surfaces.get(organ), color = this.organById.get(organ).color;
        const rgba = [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));
        view.addMesh(new niivue.NVMesh(points.slice(), triangles.slice(), this.organById.get(organ).name,
          new Uint8Array([...rgba, 255]), this.opacity(organ, shown), true, view.gl));
      }
      view.resume();
    }
  }

  // A failure's organ stands out among the others; without one, what lies behind lungs and bowel is seen through them.
  opacity(organ, shown) {
    const focused = this.state.get("focused_organ");
    if (shown.length === 1 || organ === focused) return 1;
    return focused ? BEHIND_FOCUS : SEE_THROUGH[this.organById.get(organ).name] ?? 1;
  }

  // --- failures -----------------------------------------------------------------------------------

  // The failures by these filters and no others.
  list(filters) {
    for (const name of FILTERS) $(name).value = filters[name] ?? "";
    return this.listFailures();
  }

  listFailures() {
    const { group, kind, cause, about, by, center } = Object.fromEntries(FILTERS.map((name) => [name, $(name).value]));
    this.listed = this.failures.filter((f) => (group === "selected" ? f.selected : f.group === group)
      && (!kind || f.kinds.includes(kind)) && (!cause || f.causes.includes(cause)) && (!about || f.organ === Number(about))
      && (!by || f.failures.some((failure) => failure.model === by)) && (!center || f.center === center));
    $("failures").replaceChildren(...this.listed.map((f, k) => new Option(f.line, k)));
    this.failure = -1;
    $("count").textContent = this.listed.length ? `${this.listed.length} lines, the gravest first` : "none by these filters";
    $("sentence").textContent = "";
    return this.listed;
  }

  // What the chosen network did to the organ of the open failure; nothing, if it did not fail.
  tellFailure() {
    const model = $("model").value, line = this.listed[this.failure];
    if (line) $("sentence").textContent = line.failures.filter((f) => f.model === model).map((f) => f.sentence).join(" ")
      || `${this.titleOf(model)} did not fail here.`;
  }

  step(by) {
    const place = this.failure < 0 && by < 0 ? this.listed.length - 1 : this.failure + by;
    if (place >= 0 && place < this.listed.length) this.openFailure(place);
  }

  async openFailure(place, by = $("by").value) {
    const failure = this.listed[this.failure = place];
    const { model, voxel: at } = failure.failures.find((f) => f.model === by) ?? failure.failures[0];
    $("failures").value = place;
    $("count").textContent = `${place + 1} of ${this.listed.length}`;
    $("model").value = model;
    $("organ").value = this.organById.get(failure.organ).evaluated ? "nine" : "all";
    this.state.set("visible_organs", this.visibleOrgans($("organ").value));
    this.state.set("focused_organ", failure.organ);
    if (this.opened.patient.key === failure.case) await this.show();
    else await this.open(failure.case, at);
    if (this.listed[this.failure] !== failure) return;
    const voxel = at ?? this.centerOf(failure.organ);
    this.state.set("marker", voxel ?? []);
    this.goTo(voxel ?? this.opened.patient.start);
  }
}

function fail(text) {
  $("error").hidden = false;
  $("error").textContent = text;
}

try {
  if (!document.createElement("canvas").getContext("webgl2")) throw new Error("This browser has no WebGL 2: use another one.");
  const answer = await fetch(new URL("exhibit.json", FILES));
  if (!answer.ok) throw new Error("The scans of the exhibit are not here: build the site with `python3 run.py site`.");
  await new Exhibit(await answer.json()).start();
} catch (error) {
  fail(location.protocol === "file:" ? "Browsers read scans from a web server only: python3 -m http.server." : error.message);
}
