// What a reader can do on the page. All text goes in as text, never as markup.
"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  root.classList.add("scripted");

  function made(name, text, className) {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  // --- light and dark -------------------------------------------------------
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme || (wish.matches ? "dark" : "light");
  function shown() {
    byId("theme").textContent = theme() === "dark" ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", "Show the page " + byId("theme").textContent.toLowerCase());
    drawAll();
  }
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    shown();
  });
  wish.addEventListener("change", shown);

  // --- charts ---------------------------------------------------------------
  const chosen = {};
  function draw(place, spec) {
    const name = place.dataset.chart;
    chosen[name] = spec;
    place.dataset.drawn = "";
    const turn = turnOf.set(name, (turnOf.get(name) || 0) + 1).get(name);
    const live = made("div", undefined, "live"), paper = made("div", undefined, "paper");
    const both = theme() === "light" ? [embedded(live, spec, "light")]
      : [embedded(live, spec, "dark"), embedded(paper, spec, "light")];
    return Promise.all(both).then(
      () => {
        if (turn !== turnOf.get(name)) return;  // somebody chose again meanwhile
        place.replaceChildren(live, ...(both.length > 1 ? [paper] : []));
        place.dataset.drawn = "yes";
      },
      (fault) => { place.dataset.drawn = "no"; console.error(name, fault); });
  }
  // Paper is white, whatever the screen is: a dark chart has a light twin that only printers see.
  const turnOf = new Map();
  function embedded(place, spec, look) {
    return vegaEmbed(place, spec, {
      actions: false, renderer: "svg", config: data.themes[look],
      loader: { load: () => Promise.reject(new Error("this page loads nothing")) },
    });
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      draw(entry.target, specOf(entry.target.dataset.chart));
    }
  }, { rootMargin: "400px" });
  function specOf(name) {
    if (chosen[name]) return chosen[name];
    if (name === "layers") return data.specs["layers:" + byId("layers-model").value];
    return data.specs[name];
  }
  function drawAll() {
    for (const place of all("[data-chart]")) {
      near.unobserve(place);
      near.observe(place);
    }
  }
  const chartAt = (name) => document.querySelector(`[data-chart="${name}"]`);

  addEventListener("beforeprint", () => {
    for (const each of all("details.block")) each.open = true;
  });

  // --- spikes and potentials of a chosen layer ------------------------------
  function withValues(name, values) {
    const spec = structuredClone(specOf(name));
    spec.data.values = values;
    return spec;
  }
  function rasterValues(layer, sample) {
    const values = [];
    const twins = layer.twin[sample] || layer.spikes[sample];
    layer.spikes[sample].forEach((row, step) => {
      for (let at = 0; at < row.length; at++) {
        const mine = row[at] !== "0", theirs = twins[step][at] !== "0";
        if (!mine && !theirs) continue;
        const fired = mine && theirs ? "both" : mine ? "integer only" : "float only";
        values.push({ step, neuron: layer.shown[at], at, fired });
      }
    });
    return values;
  }
  function potentialValues(layer, [per, lowest]) {
    const values = [];
    for (const [network, counts] of [["float", layer.before], ["integer", layer.potentials]]) {
      const total = counts.reduce((a, b) => a + b, 0) || 1;
      counts.forEach((count, at) => values.push({
        from: lowest + (at - 1) / per, to: lowest + at / per, share: 100 * count / total, network,
      }));
    }
    return values;
  }
  data.networks.forEach((network, number) => {
    const layer = byId(`layer-${number}`), sample = byId(`sample-${number}`);
    if (!layer) return;
    const redraw = () => {
      const name = `raster-${number}`, spoken = network.layers[layer.value];
      const spec = withValues(name, rasterValues(spoken, Number(sample.value)));
      spec.encoding.x.scale.domain = [0, Math.max(spoken.shown.length, 1)];
      draw(chartAt(name), spec);
      const other = `potentials-${number}`;
      draw(chartAt(other), withValues(other, potentialValues(spoken, network.bins)));
    };
    layer.addEventListener("change", redraw);
    sample.addEventListener("change", redraw);
  });

  // --- energy ---------------------------------------------------------------
  for (const input of all("input[name=stack]")) {
    input.addEventListener("change", () =>
      draw(chartAt("energy"), data.specs[input.value === "mj" ? "energy-mj" : "energy"]));
  }
  const model = byId("layers-model");
  if (model) {
    model.addEventListener("change", () => draw(chartAt("layers"), data.specs["layers:" + model.value]));
  }

  // --- the network map ------------------------------------------------------
  for (const input of all("input[name=colour]")) {
    input.addEventListener("change", () => { root.dataset.colour = input.value; });
  }
  for (const button of all("[data-blocks]")) {
    button.addEventListener("click", () => {
      for (const block of all("details.block")) block.open = button.dataset.blocks === "open";
    });
  }
  function facts(panel, title, rows, because) {
    const list = made("dl", undefined, "facts");
    for (const [key, value] of rows) list.append(made("dt", key), made("dd", value));
    panel.classList.add("filled");
    panel.replaceChildren(made("h3", title), list);
    if (because && because.length) {
      const chain = made("div", undefined, "chain"), lines = made("ol");
      for (const line of because) lines.append(made("li", line));
      chain.append(made("p", "because"), lines);
      panel.append(chain);
    }
  }
  function choose(node) {
    const number = Number(node.dataset.net), name = node.dataset.node;
    const known = data.networks[number].nodes[name];
    facts(document.querySelector(`[data-panel="${number}"]`), known.label, known.facts, known.because);
    const map = node.closest("[data-map]");
    for (const each of all(".node.chosen", map)) each.classList.remove("chosen");
    node.classList.add("chosen");
    for (const edge of all(".edge", map)) {
      edge.classList.toggle("near", edge.dataset.from === name || edge.dataset.to === name);
    }
  }
  function onPress(selector, act) {
    document.addEventListener("click", (event) => {
      const target = event.target.closest(selector);
      if (target) act(target);
    });
    document.addEventListener("keydown", (event) => {
      const target = event.target.closest && event.target.closest(selector);
      if (target && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        act(target);
      }
    });
  }
  onPress(".node", choose);
  const turns = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
  document.addEventListener("keydown", (event) => {
    const here = event.target.closest && event.target.closest(".node, .core");
    const turn = turns[event.key];
    if (!here || !turn) return;
    event.preventDefault();
    const peers = all(here.classList.contains("node") ? ".node" : ".core", here.closest("svg"));
    const next = peers[peers.indexOf(here) + turn];
    if (next) next.focus();
  });

  // --- the floor plan -------------------------------------------------------
  const classOf = (share) =>
    share <= 0 ? "u0" : data.classes.find(([least]) => share >= least)[1];
  function coloured(element, share) {
    element.classList.remove("u0", "u1", "u2", "u3", "u4", "u5");
    element.classList.add(classOf(share));
  }
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  function loadsOf(chip, measure, step) {
    const loads = chip.loads[measure];
    if (!Array.isArray(loads[0])) return loads;
    return step === "all" ? loads[0].map((_, core) => sum(loads.map((row) => row[core]))) : loads[step];
  }
  function floor(number) {
    const chip = data.networks[number].chip;
    const plan = document.querySelector(`[data-floor="${number}"]`);
    const measure = byId(`floor-measure-${number}`).value, step = byId(`floor-step-${number}`).value;
    const loads = loadsOf(chip, measure, step);
    const most = chip.limits[measure] || Math.max(...loads, 1);
    const cores = all(".core", plan), links = all(".link", plan);
    cores.forEach((core, at) => {
      coloured(core, loads[at] / most);
      core.classList.remove("critical");
    });
    const packets = chip.links.map(([, , , n]) => step === "all" ? sum(n) : n[step]);
    const busiest = Math.max(...packets, 1);
    links.forEach((link, at) => {
      coloured(link, packets[at] / busiest);
      link.classList.remove("critical");
      const [direction, x, y] = chip.links[at];
      link.querySelector("title").textContent =
        `${direction} of tile ${x},${y}: ${packets[at].toLocaleString("en")} packets`;
    });
    for (const at of step === "all" ? chip.steps.keys() : [Number(step)]) {
      const where = chip.steps[at][2];
      const core = /^core (\d+)$/.exec(where), link = /^(\w+) of tile (\d+),(\d+)$/.exec(where);
      if (core && cores[core[1]]) cores[core[1]].classList.add("critical");
      if (link) {
        chip.links.forEach(([d, x, y], i) => {
          if (d === link[1] && x === Number(link[2]) && y === Number(link[3])) links[i].classList.add("critical");
        });
      }
    }
  }
  data.networks.forEach((network, number) => {
    if (!byId(`floor-measure-${number}`)) return;
    for (const name of ["measure", "step"]) {
      byId(`floor-${name}-${number}`).addEventListener("change", () => floor(number));
    }
    floor(number);
  });
  onPress(".core", (core) => {
    const number = Number(core.dataset.net), at = Number(core.dataset.core);
    const chip = data.networks[number].chip, [board, x, y, slot] = chip.seats[at];
    const rows = [["seat", `chip ${board}, tile ${x},${y}, core ${slot} of the tile`]];
    for (const [measure, name] of Object.entries(chip.measures)) {
      const load = loadsOf(chip, measure, "all")[at], limit = chip.limits[measure];
      const share = limit ? ` of ${limit.toLocaleString("en")} (${(100 * load / limit).toFixed(1)} %)` : "";
      rows.push([name, load.toLocaleString("en") + share]);
    }
    const critical = chip.steps.flatMap(([, term, where], step) => where === `core ${at}` ? [`${step} (${term})`] : []);
    if (critical.length) rows.push(["critical in step", critical.join(", ")]);
    for (const [name, neurons] of chip.parts[at]) {
      rows.push([`${neurons.toLocaleString("en")} neurons of`, chip.populations[name]]);
    }
    facts(document.querySelector(`[data-core-panel="${number}"]`), `core ${at}`, rows);
    for (const each of all(".core.chosen", core.closest("svg"))) each.classList.remove("chosen");
    core.classList.add("chosen");
  });

  shown();
})();
