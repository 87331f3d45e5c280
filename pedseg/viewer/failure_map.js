// The failures of a study as a map, organ by model and center, and the failure that the page's address names.
// Also used by the exhibit, which has no kernel: `drawMap` needs none.

export function drawMap(box, { organs, columns, counts, tested }, choose) {
  const most = Math.max(1, ...counts.flat());
  const cell = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const table = cell("table", "", { class: "pedseg-map" });
  table.append(cell("caption", `Scans that failed, of ${tested} in each center. Choose a number to list them.`));
  const head = document.createElement("thead"), centers = document.createElement("tr"), models = document.createElement("tr");
  centers.append(cell("td", ""));
  for (const center of new Set(columns.map((column) => column.center))) {
    const span = columns.filter((column) => column.center === center).length;
    centers.append(cell("th", `children of ${center}`, { scope: "colgroup", colspan: span }));
  }
  models.append(cell("td", ""));
  for (const column of columns) {
    const name = cell("th", "", { scope: "col" });
    name.append(cell("span", column.title));
    models.append(name);
  }
  head.append(centers, models);
  const body = document.createElement("tbody");
  organs.forEach((organ, i) => {
    const row = document.createElement("tr");
    if (i && organs[i - 1].evaluated !== organ.evaluated) row.className = "others";
    row.append(cell("th", organ.plain, { scope: "row" }));
    columns.forEach((column, j) => {
      const count = counts[i][j], place = document.createElement("td");
      const words = `${organ.plain}, ${column.title}, children of ${column.center}: ${count} failed`;
      const button = cell("button", count || "·", { type: "button", "aria-label": words, title: words });
      button.style.setProperty("--share", count / most);
      button.classList.toggle("strong", count / most > 0.5);
      button.disabled = !count;
      button.addEventListener("click", () => choose(i, j));
      place.append(button);
      row.append(place);
    });
    body.append(row);
  });
  table.append(head, body);
  box.replaceChildren(table);
}

// JupyterLab and Notebook keep addresses of their own; Voilà does not.
const isOwnPage = () => !/\/(lab|tree|notebooks|doc)(\/|$)/.test(location.pathname);

export default {
  render({ model, el }) {
    const box = document.createElement("div");
    el.append(box);
    const draw = () => drawMap(box, model.get("cells"), (i, j) => {
      model.set("chosen", [i, j, Date.now()]);
      model.save_changes();
    });
    const read = () => {
      const fragment = location.hash.slice(1);
      if (!isOwnPage() || fragment === model.get("fragment")) return;
      model.set("fragment", fragment);
      model.save_changes();
    };
    const write = () => {
      const fragment = model.get("fragment");
      if (isOwnPage() && fragment !== location.hash.slice(1)) history.replaceState(null, "", `#${fragment}`);
    };
    draw();
    read();
    model.on("change:cells", draw);
    model.on("change:fragment", write);
    window.addEventListener("hashchange", read);
    return () => window.removeEventListener("hashchange", read);
  },
};
